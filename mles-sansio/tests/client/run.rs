//! A client to try rules on.

use std::time::Duration;

use mles_sansio::client::{
    Age, Client, ClientAction, ClientConfig, ClientEvent, ClientNotice, Goodbye,
};
use mles_sansio::{ConnId, Frame, Now, Seed};

/// A client, the time, and what has come out.
#[derive(Clone)]
pub(crate) struct Run {
    pub(crate) client: Client,
    pub(crate) now: Now,
    pub(crate) conn: ConnId,
    pub(crate) log: Vec<String>,
}

impl Run {
    pub(crate) fn new(config: ClientConfig) -> Self {
        let mut run = Self {
            client: Client::new(config, &Seed([1; 32])).expect("good names"),
            now: Now::default(),
            conn: ConnId(0),
            log: Vec::new(),
        };
        run.event(ClientEvent::Timeout);
        run
    }

    /// One that is connected and took its first replay.
    pub(crate) fn open(config: ClientConfig, replay: &str) -> Self {
        let mut run = Self::new(config);
        run.opened();
        run.replay(replay);
        run.wait(60.0);
        run.log.clear();
        run
    }

    pub(crate) fn event(&mut self, event: ClientEvent) {
        let mut sent = None;
        let actions: Vec<_> = self.client.handle(self.now, event).collect();
        for action in actions {
            let line = match action {
                ClientAction::Dial { conn } => {
                    self.conn = conn;
                    "dial".into()
                }
                ClientAction::Send { conn, frame } => {
                    sent = Some(conn);
                    format!("> {}", text(&frame))
                }
                ClientAction::Close { .. } => "close".into(),
                ClientAction::Drop { .. } => "drop".into(),
                ClientAction::Deliver(delivery) => {
                    let age = if delivery.age == Age::History {
                        "old"
                    } else {
                        "new"
                    };
                    let what = delivery
                        .joined
                        .map_or(text(&delivery.frame), |uid| format!("{uid} joined"));
                    format!("{age} {what}")
                }
                ClientAction::Refused { why, .. } => format!("{why:?}"),
                ClientAction::Room => "room".into(),
                ClientAction::Notice(ClientNotice::Connected) => continue,
                ClientAction::Notice(ClientNotice::Waiting { .. }) => "waiting".into(),
                ClientAction::Notice(ClientNotice::Resumed { gap_possible }) => {
                    if gap_possible { "gap" } else { "no gap" }.into()
                }
                ClientAction::Notice(ClientNotice::CaughtUp { resent }) => {
                    format!("resent {resent}")
                }
                ClientAction::Notice(ClientNotice::Ended(end)) => format!("{end:?}"),
            };
            self.log.push(line);
        }
        if let Some(conn) = sent {
            self.event(ClientEvent::Written { conn });
        }
    }

    pub(crate) fn opened(&mut self) {
        let conn = self.conn;
        self.event(ClientEvent::Opened { conn });
    }

    /// Each word is a frame; `+bob` is bob's announcement.
    pub(crate) fn replay(&mut self, words: &str) {
        for word in words.split_whitespace() {
            let conn = self.conn;
            let frame = match word.strip_prefix('+') {
                Some(uid) => header(uid, ""),
                None => Frame::text(word.to_owned()),
            };
            self.event(ClientEvent::Frame { conn, frame });
        }
    }

    pub(crate) fn say(&mut self, words: &str) {
        for word in words.split_whitespace() {
            let frame = Frame::text(word.to_owned());
            self.event(ClientEvent::Send { frame });
        }
    }

    pub(crate) fn closed(&mut self, code: u16) {
        let (conn, how) = (self.conn, Goodbye::Close(code));
        self.event(ClientEvent::Closed { conn, how });
    }

    pub(crate) fn lost(&mut self) {
        let (conn, how) = (self.conn, Goodbye::Lost);
        self.event(ClientEvent::Closed { conn, how });
    }

    /// Time passes.
    pub(crate) fn wait(&mut self, seconds: f64) {
        let until = self.now.mono + Duration::from_secs_f64(seconds);
        while let Some(at) = self.client.next_timeout().filter(|at| *at <= until) {
            self.now.mono = self.now.mono.max(at);
            self.event(ClientEvent::Timeout);
        }
        self.now.mono = until;
    }

    /// Until it dials again, and then on.
    pub(crate) fn again(&mut self) {
        let at = self.client.next_timeout().expect("it waits");
        self.now.mono = at;
        self.event(ClientEvent::Timeout);
        self.opened();
    }

    pub(crate) fn log(&mut self) -> String {
        std::mem::take(&mut self.log).join(", ")
    }
}

pub(crate) fn config() -> ClientConfig {
    ClientConfig::new("alice", "c")
}

pub(crate) fn header(uid: &str, auth: &str) -> Frame {
    Frame::text(format!(r#"{{"uid":"{uid}","channel":"c"{auth}}}"#))
}

pub(crate) fn text(frame: &Frame) -> String {
    let text = String::from_utf8_lossy(&frame.payload).into_owned();
    if text.starts_with('{') {
        "header".into()
    } else {
        text
    }
}
