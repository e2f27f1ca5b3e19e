//! What is known of a stream, and following a replay along it.
//!
//! A replay is the newest part of a stream of which the client has seen a beginning (L2.7), in the same order
//! (J2.1, M3.2). So what it repeats of what is known is one *contiguous* piece, up to the newest that is known, and
//! everything behind that is new. A [`Thread`] follows that piece. While several places fit – a stream may repeat
//! itself – it follows all of them.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

/// One frame of a stream, as far as it has to be recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Item {
    /// Digest of kind and payload.
    pub(crate) digest: u64,
    /// An announcement: the history loses it when its uid joins again (J3.6).
    pub(crate) fleeting: bool,
    /// Own messages: how much of the others' stream was there when the server was known to have accepted this one
    /// before it accepted what came next. `u64::MAX` until then.
    pub(crate) before: u64,
}

/// The newest frames of a stream, numbered from its beginning.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    /// The number of the oldest one that is kept.
    base: u64,
    items: VecDeque<Item>,
    /// How often each digest is among them: most of a long replay can be passed over without a search.
    digests: BTreeMap<u64, u32>,
}

impl Trace {
    pub(crate) const fn new() -> Self {
        Self {
            base: 0,
            items: VecDeque::new(),
            digests: BTreeMap::new(),
        }
    }

    /// Adds an item, and forgets the oldest of more than `most`.
    pub(crate) fn push(&mut self, item: Item, most: usize) {
        self.items.push_back(item);
        *self.digests.entry(item.digest).or_default() += 1;
        while self.items.len() > most
            && let Some(oldest) = self.items.pop_front()
        {
            self.base += 1;
            if let Some(count) = self.digests.get_mut(&oldest.digest) {
                *count -= 1;
                if *count == 0 {
                    self.digests.remove(&oldest.digest);
                }
            }
        }
    }

    /// The number that the next item gets.
    pub(crate) fn end(&self) -> u64 {
        self.base + self.items.len() as u64
    }

    pub(crate) fn get(&self, number: u64) -> Option<&Item> {
        let index = usize::try_from(number.checked_sub(self.base)?).ok()?;
        self.items.get(index)
    }

    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut Item> {
        let index = usize::try_from(number.checked_sub(self.base)?).ok()?;
        self.items.get_mut(index)
    }
}

/// Where a replay stands in a [`Trace`].
#[derive(Clone, Debug)]
pub(crate) struct Thread {
    /// The end of the trace when the connection began.
    until: u64,
    /// The numbers that may be next, rising; empty until something of the trace was found.
    at: Vec<u64>,
    /// Items found one behind the other.
    run: u64,
    /// Whether a message is among them: an announcement may be of a new join.
    message: bool,
}

impl Thread {
    pub(crate) fn new(trace: &Trace) -> Self {
        let until = trace.end();
        Self {
            until,
            at: if until == 0 { [0].into() } else { Vec::new() },
            run: 0,
            message: false,
        }
    }

    /// Whether anything of the trace was found.
    pub(crate) fn found(&self) -> bool {
        self.run > 0
    }

    /// Whether a message of the trace was found.
    pub(crate) fn found_message(&self) -> bool {
        self.message
    }

    /// How many were found one behind the other.
    pub(crate) fn run(&self) -> u64 {
        self.run
    }

    /// The least number that may be next, if anything was found.
    pub(crate) fn next(&self) -> Option<u64> {
        self.at.first().copied().filter(|_| self.found())
    }

    /// Whether what is next may be new: all that is known has come, but for what is fleeting.
    pub(crate) fn may_be_over(&self, trace: &Trace) -> bool {
        let fleeting = |n| trace.get(n).is_none_or(|item| item.fleeting);
        let over = |&next: &u64| (next..self.until).all(fleeting);
        self.at.last().is_some_and(over)
    }

    /// Whether it is what comes next.
    pub(crate) fn follow(&mut self, trace: &Trace, digest: u64) -> bool {
        let next: Vec<u64> = self
            .at
            .iter()
            .filter_map(|&at| {
                (at..self.until)
                    .map_while(|n| Some((n, trace.get(n)?)))
                    .find(|(_, item)| item.digest == digest || !item.fleeting)
                    .filter(|(_, item)| item.digest == digest)
                    .map(|(n, _)| n + 1)
            })
            .collect();
        if next.is_empty() {
            return false;
        }
        let over = self.at.last() == Some(&self.until);
        self.note(trace, &next);
        self.at = next;
        // Several may skip to the same one.
        self.at.dedup();
        if over && self.at.last() != Some(&self.until) {
            self.at.push(self.until);
        }
        self.run += 1;
        true
    }

    /// Whether it is anywhere from where the thread stands; what lies between is not in the history any more, or
    /// never was (M3.8).
    pub(crate) fn find(
        &mut self,
        trace: &Trace,
        digest: u64,
        fits: impl Fn(&Item) -> bool,
    ) -> bool {
        if !trace.digests.contains_key(&digest) {
            return false;
        }
        let from = self.at.first().copied().unwrap_or(0).max(trace.base);
        let is_it = |n: &u64| trace.get(*n).is_some_and(|i| i.digest == digest && fits(i));
        let next: Vec<u64> = (from..self.until).filter(is_it).map(|n| n + 1).collect();
        if next.is_empty() {
            return false;
        }
        self.note(trace, &next);
        self.at = next;
        self.run = 1;
        true
    }

    /// What was found is before each of these.
    fn note(&mut self, trace: &Trace, next: &[u64]) {
        let item = next.first().and_then(|next| trace.get(next - 1));
        self.message |= item.is_some_and(|item| !item.fleeting);
    }

    /// Something new has come: all that is known has been there. But if nothing was found yet, it may be older than
    /// all that is kept of the trace.
    pub(crate) fn pass(&mut self, trace: &Trace) {
        if !self.at.is_empty() || trace.base == 0 {
            self.at.clear();
            self.at.push(self.until);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lower-case letters are messages, upper-case ones announcements.
    fn trace(text: &str, most: usize) -> Trace {
        let mut trace = Trace::new();
        for c in text.chars() {
            let fleeting = c.is_ascii_uppercase();
            let before = u64::MAX;
            let digest = u64::from(c);
            trace.push(
                Item {
                    digest,
                    fleeting,
                    before,
                },
                most,
            );
        }
        trace
    }

    /// What of a replay is taken for new.
    fn new(known: &str, most: usize, replay: &str) -> alloc::string::String {
        let trace = trace(known, most);
        let mut thread = Thread::new(&trace);
        let is_new = |&c: &char| {
            let digest = u64::from(c);
            let known = thread.follow(&trace, digest)
                || !thread.may_be_over(&trace) && thread.find(&trace, digest, |_| true);
            if !known {
                thread.pass(&trace);
            }
            !known
        };
        replay.chars().filter(is_new).collect()
    }

    /// J2.1, L2.7, M3.2: the replay goes on where what is known ends.
    #[test]
    fn what_is_behind_the_known_is_new() {
        for (known, replay, expected) in [
            ("", "abc", "abc"),
            ("abc", "", ""),
            ("abc", "abc", ""),
            ("abc", "abcd", "d"),
            ("abc", "cd", "d"),
            ("abc", "xyz", "xyz"),
            // What was said before and is said again is new again …
            ("abcab", "abcabc", "c"),
            ("okok", "okokok", "ok"),
            ("xok", "xokok", "ok"),
            ("aabab", "babaa", "aa"),
            // … whatever old copies are known that the history has lost.
            ("zzzzzzabczz", "abczzzz", "zz"),
            ("123121312", "1312231", "231"),
            // If it is not clear where the replay begins, as much as possible is taken for known.
            ("zzzz", "zz", ""),
            ("abab", "abab", ""),
        ] {
            assert_eq!(new(known, 99, replay), expected, "{known} {replay}");
        }
    }

    /// J3.6, J3.7, M3.8: announcements leave the history from the middle, older ones than the first message are in
    /// it, and some messages never were.
    #[test]
    fn gaps_in_the_history() {
        for (known, replay, expected) in [
            ("aBc", "acd", "d"),
            ("aBc", "acBd", "Bd"),
            ("aBCDe", "aCef", "f"),
            ("aB", "acB", "cB"),
            ("AxyBzuvw", "ABuvwn", "n"),
            ("axb", "abc", "c"),
            ("axxb", "abc", "c"),
        ] {
            assert_eq!(new(known, 99, replay), expected, "{known} {replay}");
        }
    }

    #[test]
    fn older_than_what_is_kept() {
        assert_eq!(new("abcdef", 3, "bcdefg"), "bcg", "b and c are forgotten");
        assert_eq!(new("abcdef", 3, "xyz"), "xyz");
    }
}
