//! A client on an open connection: replay and live stream in, the queue out.

use alloc::boxed::Box;
use alloc::collections::VecDeque;

use super::queue::cost;
use super::replay::Replay;
use super::trace::{Item, Trace};
use super::{
    Age, Client, ClientAction, ClientConfig, ClientNotice, Delivery, Goodbye, Refusal, State,
    digest,
};
use crate::event::ConnId;
use crate::frame::Frame;
use crate::time::Instant;

/// A connection from its opening to its end.
#[derive(Clone, Debug)]
pub(super) struct Session {
    conn: ConnId,
    pub(super) opened: Instant,
    /// The number of the first message that no earlier connection was given.
    began: u64,
    /// The number of the next message to hand to the runtime.
    pub(super) handed: u64,
    /// The number of the first message that was handed to it.
    pub(super) given: u64,
    /// What was handed is not written yet.
    writing: bool,
    /// Up to which number messages were written, and when, oldest first.
    written: VecDeque<(u64, Instant)>,
    /// Until it is over.
    replay: Option<Box<Replay>>,
    /// Until when the server has to answer the close frame, if one was sent.
    pub(super) closing: Option<Instant>,
}

impl Session {
    fn replay_over(&self, config: &ClientConfig, others: &Trace) -> Option<Instant> {
        let replay = self.replay.as_ref()?;
        let most = self.opened + config.replay_most;
        Some(match replay.last {
            None if replay.again => self.opened + config.first_frame,
            None => self.opened + config.quiet,
            Some(_) if replay.expects_more(others) => most,
            Some(last) => (last + config.quiet).min(most),
        })
    }

    pub(super) fn next_timeout(&self, config: &ClientConfig, others: &Trace) -> Option<Instant> {
        let settled = self.written.front().map(|(_, at)| *at + config.settle);
        let over = self.replay_over(config, others);
        [settled, over, self.closing].into_iter().flatten().min()
    }
}

impl Client {
    pub(super) fn session(&mut self, conn: ConnId) -> Option<&mut Session> {
        match &mut self.state {
            State::Open(session) if session.conn == conn => Some(session),
            State::Open(_) | State::AwaitRetry { .. } | State::Dialing { .. } | State::Ended => {
                None
            }
        }
    }

    pub(super) fn opened(&mut self, now: Instant, conn: ConnId) {
        if !matches!(self.state, State::Dialing { conn: dialed, .. } if dialed == conn) {
            return;
        }
        let replay = Replay::new(self.ever, &self.others, &self.own);
        self.ever = true;
        self.state = State::Open(Session {
            conn,
            opened: now,
            began: self.own.end(),
            given: self.queue.first(),
            handed: self.queue.first(),
            writing: false,
            written: VecDeque::new(),
            replay: Some(Box::new(replay)),
            closing: None,
        });
        let frame = self.header.clone();
        self.emit(ClientAction::Send { conn, frame });
        self.notice(ClientNotice::Connected);
    }

    pub(super) fn frame(&mut self, now: Instant, conn: ConnId, frame: Frame) {
        let joined = self.joined(&frame);
        let digest = digest(&self.digest_key, &frame);
        let State::Open(session) = &mut self.state else {
            return;
        };
        if session.conn != conn {
            return;
        }
        let own_join = joined.as_ref() == Some(&self.config.uid);
        let mut age = Age::Live;
        if let Some(replay) = &mut session.replay {
            age = Age::History;
            replay.last = Some(now);
            replay.own_join |= own_join;
            replay.messages += u64::from(joined.is_none());
            if replay.again && (own_join || replay.knows(digest, &self.others, &self.own)) {
                return self.vouched();
            }
            if !replay.told && joined.is_none() {
                replay.told = true;
                let gap_possible = replay.gap_possible();
                self.notice(ClientNotice::Resumed { gap_possible });
            }
        }
        let item = Item {
            digest,
            fleeting: joined.is_some(),
            before: u64::MAX,
        };
        self.others.push(item, self.config.remember);
        self.emit(ClientAction::Deliver(Delivery { frame, age, joined }));
    }

    /// An own message may have been in the replay: if the last of those in doubt was, nothing has to wait.
    fn vouched(&mut self) {
        let State::Open(Session {
            replay: Some(replay),
            ..
        }) = &self.state
        else {
            return;
        };
        let first = self.queue.first();
        if first < self.own.end() && replay.accepted(first) == self.own.end() {
            self.proved = self.own.end();
            self.confirm(self.proved);
        }
    }

    /// All own messages before `number` are known to be accepted.
    fn confirm(&mut self, number: u64) {
        self.queue.confirm(number);
        let first = self.queue.first();
        if let State::Open(session) = &mut self.state
            && session.handed < first
        {
            session.handed = first;
            session.given = first;
        }
    }

    /// What earlier connections left without a proof gets it from the replay, or never.
    fn resolve(&mut self, replay: &Replay) {
        let State::Open(session) = &self.state else {
            return;
        };
        let settled = session.given.max(self.proved);
        let proved = replay.seen().clamp(self.proved, settled);
        self.assumed += settled - proved;
        self.proved = settled;
    }

    /// What comes when a replay is over was accepted behind all that earlier connections brought the server.
    fn mark_accepted(&mut self) {
        let State::Open(session) = &self.state else {
            return;
        };
        let before = self.others.end();
        let mut number = self.queue.first().min(session.began);
        while let Some(earlier) = number.checked_sub(1)
            && let Some(item) = self.own.get_mut(earlier)
            && item.before == u64::MAX
        {
            item.before = before;
            number = earlier;
        }
    }

    pub(super) fn written(&mut self, now: Instant, conn: ConnId) {
        let Some(session) = self.session(conn) else {
            return;
        };
        if session.writing {
            session.writing = false;
            session.written.push_back((session.handed, now));
        }
    }

    pub(super) fn session_timeout(&mut self, now: Instant) {
        let State::Open(session) = &mut self.state else {
            return;
        };
        let mut settled = None;
        while let Some((number, at)) = session.written.front().copied()
            && at + self.config.settle <= now
        {
            session.written.pop_front();
            settled = Some(number);
        }
        if let Some(number) = settled {
            self.confirm(number);
        }
        let State::Open(session) = &mut self.state else {
            return;
        };
        if let Some(over) = session.replay_over(&self.config, &self.others)
            && over <= now
            && let Some(replay) = session.replay.take()
        {
            self.replayed(&replay);
        }
        if let State::Open(session) = &self.state
            && session.closing.is_some_and(|deadline| deadline <= now)
        {
            let conn = session.conn;
            self.emit(ClientAction::Drop { conn });
            self.closed(now, Goodbye::Lost);
        }
    }

    /// The replay is over: own messages that it did not vouch for are sent again.
    fn replayed(&mut self, replay: &Replay) {
        if !replay.told {
            let gap_possible = replay.gap_possible();
            self.notice(ClientNotice::Resumed { gap_possible });
        }
        let State::Open(session) = &self.state else {
            return;
        };
        let mut resent = 0;
        // While messages of earlier connections are in doubt, nothing is handed out.
        if session.handed < self.own.end() {
            let accepted = replay.accepted(self.queue.first());
            self.confirm(accepted);
            resent = self.own.end().saturating_sub(self.queue.first());
        }
        self.resolve(replay);
        self.mark_accepted();
        self.notice(ClientNotice::CaughtUp { resent });
    }

    /// Gives the runtime a batch of messages, when it has written the last one; closes if that is what is next.
    pub(super) fn hand_out(&mut self, now: Instant) {
        let State::Open(session) = &mut self.state else {
            return;
        };
        // Whether those that earlier connections left in doubt wait for the end of the replay.
        let in_doubt = session.replay.is_some() && session.handed < self.own.end();
        if session.writing || session.closing.is_some() || in_doubt {
            return;
        }
        let conn = session.conn;
        let (mut frames, mut bytes, mut left_out) = (0, 0, false);
        let most = self.config.remember + self.config.queue_messages;
        while frames < BATCH_FRAMES
            && bytes < BATCH_BYTES
            && let Some(frame) = self.queue.get(session.handed)
        {
            let goes = frame.payload.len() < self.too_long;
            let frame = frame.clone();
            if session.handed == self.own.end() {
                let item = Item {
                    digest: digest(&self.digest_key, &frame),
                    fleeting: false,
                    before: u64::MAX,
                };
                self.own.push(item, most);
            }
            if goes {
                frames += 1;
                bytes += cost(&frame);
                session.writing = true;
                self.out.push_back(ClientAction::Send { conn, frame });
            } else if let Some(item) = self.own.get_mut(session.handed)
                && !core::mem::replace(&mut item.fleeting, true)
            {
                // A replay does not have it.
                let why = Refusal::TooBig;
                self.out.push_back(ClientAction::Refused { frame, why });
            }
            left_out |= !goes;
            session.handed += 1;
        }
        if left_out && frames == 0 {
            session.written.push_back((session.handed, now)); // It counts as sent.
        }
        let full = self.waiting && self.config.checkpoint && self.unanswered < 2;
        // A replay that may prove something is waited for.
        let unproved = session.replay.is_some() && self.proved < session.given;
        if frames == 0 && (self.finishing || full) && !unproved {
            session.closing = Some(now + self.config.close_timeout);
            self.out.push_back(ClientAction::Close { conn });
        }
    }
}

/// Messages that are handed out at once.
const BATCH_FRAMES: usize = 256;

/// Bytes that are enough for a batch.
const BATCH_BYTES: usize = 256 << 10;
