//! What the history of a channel has to be, kept beside the server.

use crate::bench::Bench;
use crate::case::{Judged, Stop};
use crate::session::{Message, Session, listed};
use crate::wire::Frame;

/// What an entry costs besides its bytes (M3.5).
pub(super) const FLAT: u64 = 64;

/// What a channel costs besides its name (M3.5).
pub(super) const CHANNEL_FLAT: u64 = 256;

#[derive(Clone)]
struct Entry {
    message: Message,
    uid: String,
    is_announcement: bool,
}

impl Entry {
    fn cost(&self) -> u64 {
        (self.message.payload.len() + self.uid.len()) as u64 + FLAT
    }
}

/// A channel with two members, and what its history has to hold. What alice says is known to be accepted as soon as bob
/// has heard it.
pub(super) struct Book {
    pub(super) alice: Session,
    pub(super) bob: Session,
    channel: String,
    uid: String,
    bound: u64,
    limit: u64,
    entries: Vec<Entry>,
    said: u64,
}

/// The bound of a channel's bytes, if a case can fill it.
pub(super) fn bound(bench: &Bench) -> Judged<u64> {
    let limits = bench.limits();
    let bound = limits.history_channel_bytes;
    let skip = |why: String| Err(Stop::Skip(why));
    if limits.limit < 8 {
        return skip(format!("the server keeps {} messages", limits.limit));
    }
    if !(16 << 10..=64 << 20).contains(&bound) {
        return skip(format!(
            "the bound of a channel, {bound} bytes, is not between 16 KiB and 64 MiB"
        ));
    }
    bench.replays_have_time(bound)?;
    if limits.history_bytes < 2 * bound {
        return skip("the bound of all channels is less than twice that of one".into());
    }
    if longest(bench) * (limits.limit - 6) < bound {
        return skip("so few messages of the largest size do not fill a history".into());
    }
    Ok(bound)
}

/// The longest payload that is used to fill a history.
fn longest(bench: &Bench) -> u64 {
    let limits = bench.limits();
    let least = limits.history_channel_bytes / (limits.limit.saturating_sub(6)).max(1) + 1;
    limits.max_message.min(least.max(1 << 20))
}

impl Book {
    /// Two members, of which one has this uid. What its history holds so far is read once.
    pub(super) fn open(bench: &mut Bench, uid: &str) -> Judged<Self> {
        let channel = bench.channel.clone();
        Self::open_on(bench, uid, &channel)
    }

    /// The same on this channel.
    pub(super) fn open_on(bench: &mut Bench, uid: &str, channel: &str) -> Judged<Self> {
        let time = bench.time_for(longest(bench));
        let mut alice = bench.open("alice")?.patient_for(time);
        alice.is_on(channel);
        let header = bench.header_on(uid, channel);
        alice.say(&header).map_err(Stop::on_the_way)?;
        let mut bob = bench.join_on("bob", channel)?.patient_for(time);
        bench.meet(&mut alice, &mut bob)?;
        let mut book = Self {
            alice,
            bob: bob.hearing_announcements(),
            channel: channel.to_owned(),
            uid: uid.to_owned(),
            bound: bench.limits().history_channel_bytes,
            limit: bench.limits().limit,
            entries: Vec::new(),
            said: 0,
        };
        book.begin(bench).map_err(Stop::on_the_way)?;
        Ok(book)
    }

    fn begin(&mut self, bench: &Bench) -> Judged {
        let mut carol = bench
            .join_on("carol", &self.channel)?
            .hearing_announcements();
        let heard = carol.until(Bench::HERE)?;
        let [hello, here] = Bench::met();
        let escaped = serde_json::json!(self.uid).to_string();
        let is_announcement = |message: &&Message| message.announces_on(&self.channel);
        if heard.len() != 3 || heard.iter().filter(is_announcement).count() != 2 {
            let expected = "a replay of two announcements, hello and here";
            return Err(Stop::fail(expected, listed(&heard)));
        }
        for message in heard {
            let text = String::from_utf8_lossy(&message.payload);
            let is_bobs = message != hello && !text.contains(&escaped);
            let uid = if is_bobs { "bob" } else { &self.uid };
            let (uid, is_announcement) = (uid.to_owned(), message != hello);
            self.store(message, &uid, is_announcement);
        }
        self.store(here, "bob", false);
        self.hears_of_carol()?;
        carol.leave();
        Ok(())
    }

    /// Her announcement is accepted, and bob hears it.
    fn hears_of_carol(&mut self) -> Judged {
        let announced = self.bob.message("the announcement of carol")?;
        if !announced.announces_on(&self.channel) {
            let expected = "bob receives the announcement of carol";
            return Err(Stop::fail(expected, announced.to_string()));
        }
        self.store(announced, "carol", true);
        Ok(())
    }

    /// M3.10, M3.8.
    fn store(&mut self, message: Message, uid: &str, is_announcement: bool) {
        let entry = Entry {
            message,
            uid: uid.to_owned(),
            is_announcement,
        };
        if entry.cost() > self.bound {
            return;
        }
        if is_announcement {
            self.entries
                .retain(|old| !old.is_announcement || old.uid != uid);
        }
        self.entries.push(entry);
        let alike = |entry: &Entry| entry.is_announcement == is_announcement;
        let count = self.entries.iter().filter(|entry| alike(entry)).count();
        if count as u64 > self.limit
            && let Some(oldest) = self.entries.iter().position(alike)
        {
            self.entries.remove(oldest);
        }
        while self.cost() > self.bound {
            self.entries.remove(0);
        }
    }

    /// What all entries cost.
    pub(super) fn cost(&self) -> u64 {
        self.entries.iter().map(Entry::cost).sum()
    }

    /// What the entries cost that have come first, so many.
    pub(super) fn cost_of_first(&self, count: usize) -> u64 {
        self.entries.iter().take(count).map(Entry::cost).sum()
    }

    /// How many messages there are.
    pub(super) fn messages(&self) -> u64 {
        let messages = self.entries.iter().filter(|entry| !entry.is_announcement);
        messages.count() as u64
    }

    /// What may still be stored before something is lost.
    pub(super) fn room(&self) -> u64 {
        self.bound - self.cost()
    }

    /// What an entry of alice's costs besides its payload.
    pub(super) fn overhead(&self) -> u64 {
        self.uid.len() as u64 + FLAT
    }

    /// Alice says something that costs so much, and bob hears it.
    pub(super) fn say(&mut self, cost: u64) -> Judged {
        self.say_many(1, cost)
    }

    /// The same so many times.
    pub(super) fn say_many(&mut self, count: u64, cost: u64) -> Judged {
        // So few that an outbox holds them all, if they are small.
        const AT_A_TIME: u64 = 16;
        let mut left = count;
        while left > 0 {
            let some = AT_A_TIME.min(left);
            left -= some;
            let said: Vec<_> = (0..some).map(|_| self.next_message(cost)).collect();
            for message in &said {
                let frame = Frame::text(message.payload.clone());
                self.alice.send(&frame).map_err(Stop::on_the_way)?;
            }
            for message in said {
                let heard = self.bob.hears_message(&message);
                heard.map_err(Stop::on_the_way)?;
                let uid = self.uid.clone();
                self.store(message, &uid, false);
            }
        }
        Ok(())
    }

    /// Something that was not said before and costs so much.
    fn next_message(&mut self, cost: u64) -> Message {
        self.said += 1;
        let length = usize::try_from(cost.saturating_sub(self.overhead())).unwrap_or(usize::MAX);
        // Each is different from all others, if it is long enough for that.
        let mut payload = format!("message {} ", self.said).into_bytes();
        payload.resize(length, b'.');
        Message {
            text: true,
            payload,
            frames: 1,
        }
    }

    /// How many messages it takes to fill what room there is.
    pub(super) fn count_to_fill(&self, bench: &Bench) -> u64 {
        self.room().div_ceil(longest(bench) + self.overhead())
    }

    /// Alice says as much as it takes that so much room is left.
    pub(super) fn fill(&mut self, bench: &Bench, leaving: u64) -> Judged {
        let total = self.room() - leaving;
        let most = longest(bench) + self.overhead();
        let count = total.div_ceil(most);
        for nth in 0..count {
            let next = total * (nth + 1) / count - total * nth / count;
            self.say(next)?;
        }
        Ok(())
    }

    /// Carol joins, and her replay is what it has to be. She leaves again.
    pub(super) fn read(&mut self, bench: &Bench) -> Judged {
        let mut carol = bench
            .join_on("carol", &self.channel)?
            .hearing_announcements()
            .patient_for(bench.time_for(longest(bench)));
        let all = self.entries.len();
        for (nth, entry) in self.entries.iter().enumerate() {
            let Entry { message, .. } = entry;
            let expected = format!("carol is replayed {message}, entry {} of {all}", nth + 1);
            let came = carol.message(&expected)?;
            if !came.equals(message) {
                return Err(Stop::fail(expected, came.to_string()));
            }
        }
        self.hears_of_carol().map_err(Stop::on_the_way)?;
        carol.leave();
        Ok(())
    }

    /// Both of them leave.
    pub(super) fn leave(self) {
        self.alice.leave();
        self.bob.leave();
    }
}
