//! What all messages that are coming in may hold together (M4.6).

use std::collections::BTreeMap;
use std::time::Instant;

use mles_sansio::ConnId;

/// The messages that are coming in: a client that only drips cannot keep the others out.
#[derive(Debug)]
pub struct Unfinished {
    most: usize,
    bytes: usize,
    messages: BTreeMap<ConnId, Message>,
}

#[derive(Debug)]
struct Message {
    since: Instant,
    bytes: usize,
}

impl Unfinished {
    /// None, and room for `most` bytes.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            bytes: 0,
            messages: BTreeMap::new(),
        }
    }

    /// A connection's unfinished message holds this many bytes now, none if there is none; `another` says that it is
    /// not the one from before. Gives the connections that have to give up theirs: the slowest, until the rest fits.
    #[must_use]
    pub fn hold(&mut self, conn: ConnId, bytes: usize, another: bool) -> Vec<ConnId> {
        let mut given_up = Vec::new();
        if bytes == 0 && self.messages.is_empty() {
            return given_up;
        }
        let before = self.messages.remove(&conn);
        self.bytes -= before.as_ref().map_or(0, |message| message.bytes);
        if bytes == 0 {
            return given_up;
        }
        let before = before.filter(|_| !another);
        let since = before.map_or_else(Instant::now, |message| message.since);
        self.messages.insert(conn, Message { since, bytes });
        self.bytes += bytes;
        while self.bytes > self.most
            && let Some(slowest) = self.slowest()
        {
            let gone = self.messages.remove(&slowest);
            self.bytes -= gone.map_or(0, |message| message.bytes);
            given_up.push(slowest);
        }
        given_up
    }

    /// Bytes of all of them.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn slowest(&self) -> Option<ConnId> {
        let pace = |(&conn, message): (&ConnId, &Message)| {
            let elapsed = message.since.elapsed().as_micros().max(1);
            (message.bytes as u128 * 1_000_000 / elapsed, conn)
        };
        self.messages.iter().map(pace).min().map(|(_, conn)| conn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_gives_way() {
        let [first, second, third] = [1, 2, 3].map(ConnId);
        let mut unfinished = Unfinished::new(100);
        assert_eq!(unfinished.hold(first, 0, false), []);
        assert_eq!(unfinished.hold(first, 10, false), []);
        let begun = unfinished.messages[&first].since;
        while begun.elapsed().is_zero() {}
        assert_eq!(unfinished.hold(second, 60, false), []);
        assert_eq!(unfinished.hold(first, 11, false), []);
        assert_eq!(unfinished.messages[&first].since, begun, "it is the same");
        assert_eq!(unfinished.bytes(), 71);
        // Ten bytes in an hour are slower than anything.
        let hour = std::time::Duration::from_secs(3600);
        let message = unfinished.messages.get_mut(&first).unwrap();
        message.since = begun.checked_sub(hour).unwrap();
        // Without it there is still too much, and the second has had more time than the third.
        assert_eq!(unfinished.hold(third, 60, false), [first, second]);
        assert_eq!(unfinished.bytes(), 60);
    }
}
