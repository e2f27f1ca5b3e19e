//! The client machine with what its user sees of it: the machine's events in, what a runtime has to do out.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::Instant;

use mles_sansio::client::{
    Client, ClientAction, ClientConfig, ClientEvent, ClientNotice, End, Goodbye, Refusal,
};
use mles_sansio::{ConnId, Frame, Seed};

use super::{Event, Progress};
use crate::clock::Clock;
use crate::dial::DialError;
use crate::random;

/// One thing to do for a client.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Open a connection; [`ClientEvent::Opened`] or [`Machine::failed`] tell what came of it.
    Dial(ConnId),
    /// Write a frame; report [`ClientEvent::Written`] when all that was given is.
    Send(ConnId, Frame),
    /// Send a close frame of code 1000 behind what was given, and read on.
    Close(ConnId),
    /// Drop the connection, or give the dial up; nothing is to be reported of it.
    Drop(ConnId),
    /// Tell the user.
    Tell(Event),
}

/// A client's machine, its clock, and a message that it had no room for.
#[derive(Debug)]
pub struct Machine {
    machine: Client,
    clock: Clock,
    receive: bool,
    progress: Progress,
    /// Until there is room for it, no further one is taken.
    refused: Option<Frame>,
    /// Why the last dial failed.
    failure: String,
    ended: bool,
    actions: VecDeque<Action>,
}

impl Machine {
    /// One that is about to dial; if not `receive`, what arrives is dropped.
    ///
    /// # Errors
    /// One line: the names are malformed, or the operating system gives no random numbers.
    pub fn new(config: ClientConfig, receive: bool) -> Result<Self, String> {
        let mut seed = [0; 32];
        random::fill(&mut seed).map_err(|error| error.to_string())?;
        let progress = Progress::new(&config);
        let machine = Client::new(config, &Seed(seed))
            .map_err(|violation| format!("these names can't be used: {violation}"))?;
        Ok(Self {
            machine,
            clock: Clock::new(),
            receive,
            progress,
            refused: None,
            failure: String::new(),
            ended: false,
            actions: VecDeque::new(),
        })
    }

    /// How far the messages are, from now on.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// Whether a message may be sent now; the others wait with the runtime.
    #[must_use]
    pub fn takes_messages(&self) -> bool {
        self.refused.is_none()
    }

    /// Whether [`Event::Ended`] was told.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// When the next [`ClientEvent::Timeout`] is due; it may be in the past.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        self.machine.next_timeout().map(|at| self.clock.at(at))
    }

    /// What is to be done next, until there is nothing.
    pub fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// A connection could not be opened.
    pub fn failed(&mut self, conn: ConnId, error: DialError) {
        self.failure = error.text;
        let lasting = error.lasting;
        self.handle(ClientEvent::Failed { conn, lasting });
    }

    /// Something has happened.
    pub fn handle(&mut self, event: ClientEvent) {
        let now = self.clock.now();
        let actions: Vec<_> = self.machine.handle(now, event).collect();
        // Before anything is told that follows from it.
        let accepted = self.machine.accepted();
        self.progress.accepted.store(accepted, Ordering::Relaxed);
        for action in actions {
            self.execute(action);
        }
    }

    fn execute(&mut self, action: ClientAction) {
        let action = match action {
            ClientAction::Dial { conn } => Action::Dial(conn),
            ClientAction::Send { conn, frame } => Action::Send(conn, frame),
            ClientAction::Close { conn } => Action::Close(conn),
            ClientAction::Drop { conn } => Action::Drop(conn),
            ClientAction::Deliver(delivery) if self.receive => {
                Action::Tell(Event::Received(delivery))
            }
            ClientAction::Deliver(_) => return,
            ClientAction::Refused { frame, why } => {
                if why == Refusal::Full {
                    self.refused = Some(frame);
                }
                return;
            }
            ClientAction::Room => {
                if let Some(frame) = self.refused.take() {
                    self.handle(ClientEvent::Send { frame });
                }
                return;
            }
            ClientAction::Notice(notice) => Action::Tell(self.event(notice)),
        };
        self.actions.push_back(action);
    }

    fn event(&mut self, notice: ClientNotice) -> Event {
        match notice {
            ClientNotice::Connected => Event::Connected,
            ClientNotice::Waiting { after, delay } => {
                let what = match after {
                    None => std::mem::take(&mut self.failure),
                    Some(Goodbye::Lost) => "the connection is lost".to_owned(),
                    Some(Goodbye::Close(1012)) => "the server restarts".to_owned(),
                    Some(Goodbye::Close(4008)) => "what came was read too slowly".to_owned(),
                    Some(Goodbye::Close(code)) => {
                        format!("the server has closed the connection ({code})")
                    }
                };
                let what = if what.is_empty() {
                    "the server does not answer".to_owned()
                } else {
                    what
                };
                let why = format!("{what}; trying again in {:.1} s", delay.as_secs_f64());
                Event::Waiting { why }
            }
            ClientNotice::Resumed { gap_possible } => Event::Resumed { gap_possible },
            ClientNotice::CaughtUp { resent } => Event::CaughtUp { resent },
            ClientNotice::Ended(end) => {
                self.ended = true;
                let why = match end {
                    End::Unreachable if !self.failure.is_empty() => {
                        std::mem::take(&mut self.failure)
                    }
                    End::Unreachable
                    | End::Done
                    | End::Unproved { .. }
                    | End::Assumed { .. }
                    | End::Refused { .. } => end.to_string(),
                };
                Event::Ended { end, why }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const CONN: ConnId = ConnId(0);

    fn machine(adapt: impl FnOnce(&mut ClientConfig), receive: bool) -> Machine {
        let mut config = ClientConfig::new("alice", "c");
        adapt(&mut config);
        Machine::new(config, receive).unwrap()
    }

    fn actions(machine: &mut Machine, event: ClientEvent) -> Vec<Action> {
        machine.handle(event);
        std::iter::from_fn(|| machine.next_action()).collect()
    }

    fn open(machine: &mut Machine) {
        let dial = actions(machine, ClientEvent::Timeout);
        assert_eq!(dial, [Action::Dial(CONN)]);
        let opened = actions(machine, ClientEvent::Opened { conn: CONN });
        assert!(opened.contains(&Action::Tell(Event::Connected)));
    }

    #[test]
    fn one_message_waits_for_room() {
        let adapt = |config: &mut ClientConfig| {
            config.queue_messages = 2;
            config.backoff_first = Duration::ZERO;
        };
        let mut machine = machine(adapt, true);
        open(&mut machine);
        let send = |text: &str| ClientEvent::Send {
            frame: Frame::text(text.to_owned()),
        };
        for text in ["a", "b"] {
            machine.handle(send(text));
            assert!(machine.takes_messages());
        }
        machine.handle(send("c"));
        assert!(!machine.takes_messages());
        // A replay that has "b" proves both.
        machine.handle(ClientEvent::Written { conn: CONN });
        machine.handle(ClientEvent::Closed {
            conn: CONN,
            how: Goodbye::Lost,
        });
        let again = ConnId(1);
        machine.handle(ClientEvent::Timeout);
        machine.handle(ClientEvent::Opened { conn: again });
        while machine.next_action().is_some() {}
        for text in ["a", "b"] {
            let frame = Frame::text(text);
            machine.handle(ClientEvent::Frame { conn: again, frame });
        }
        assert!(machine.takes_messages());
        assert_eq!(machine.progress().accepted(), 2);
        assert_eq!(
            machine.next_action(),
            Some(Action::Send(again, Frame::text("c")))
        );
    }

    #[test]
    fn only_what_is_wanted_is_handed_out() {
        for receive in [true, false] {
            let mut machine = machine(|_| {}, receive);
            open(&mut machine);
            let frame = Frame::text("x");
            let told = actions(&mut machine, ClientEvent::Frame { conn: CONN, frame });
            let received = |action: &Action| matches!(action, Action::Tell(Event::Received(_)));
            assert_eq!(told.iter().any(received), receive);
        }
    }

    #[track_caller]
    fn assert_told(machine: &mut Machine, expected: &str) {
        let told = std::iter::from_fn(|| machine.next_action());
        let why = told.filter_map(|action| match action {
            Action::Tell(Event::Waiting { why } | Event::Ended { why, .. }) => Some(why),
            Action::Tell(_)
            | Action::Dial(_)
            | Action::Send(..)
            | Action::Close(_)
            | Action::Drop(_) => None,
        });
        let why: Vec<_> = why.collect();
        assert!(why.len() == 1 && why[0].starts_with(expected), "{why:?}");
    }

    #[test]
    fn what_a_person_is_told() {
        for (how, expected) in [
            (Goodbye::Lost, "the connection is lost; trying again in 0."),
            (Goodbye::Close(1012), "the server restarts; "),
            (Goodbye::Close(4008), "what came was read too slowly; "),
            (
                Goodbye::Close(1001),
                "the server has closed the connection (1001); ",
            ),
        ] {
            let mut machine = machine(|_| {}, true);
            open(&mut machine);
            machine.handle(ClientEvent::Closed { conn: CONN, how });
            assert_told(&mut machine, expected);
            assert!(!machine.has_ended());
        }
        for patient in [true, false] {
            let mut machine = machine(|config| config.patient = patient, true);
            machine.handle(ClientEvent::Timeout);
            machine.failed(CONN, passing());
            let later = if patient { "; trying again in 0." } else { "" };
            assert_told(&mut machine, &format!("nobody listens at h:1{later}"));
            assert_eq!(machine.has_ended(), !patient);
        }
    }

    fn passing() -> DialError {
        DialError {
            lasting: false,
            text: "nobody listens at h:1".to_owned(),
        }
    }
}
