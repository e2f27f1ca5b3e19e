//! A link between servers (`spec/peering.md`), one end of which the judge plays.

mod bench;
mod frames;

pub(crate) use frames::frames;
pub use frames::{Handshake, Heard, Kind, MINUTE, NUMBER_MOST, Name, Said, clock, random_uid};

use crate::bench::random_digits;
use crate::session::{Event, Message, Session};
use crate::wire::{Close, Frame};
use crate::{Judged, Stop, hash};
use serde_json::{Value, json};
use std::fmt;
use std::time::{Duration, Instant};

/// The judge's end of a link.
#[derive(Debug)]
pub struct Link {
    /// The WebSocket. Pings are answered while something is waited for.
    pub session: Session,
    /// Who the judge is here.
    pub uid: String,
    /// What the dialer and the acceptor have drawn for this connection.
    pub nonces: [String; 2],
    /// The path in the handshake that is sent.
    pub path: Vec<String>,
    /// The longest payload that this end says it takes.
    pub max: u64,
    key: String,
    /// The server's handshake.
    pub hello: Value,
    /// The server's clock is so much ahead of the judge's, in microseconds.
    ahead: i64,
    /// Whether this is the upper end.
    pub is_upper: bool,
    /// Whether a lower end hears of the server's path. If not, such frames are passed over: they may come at any time.
    pub hears_paths: bool,
    /// Whether messages are heard that announce a join.
    pub hears_announcements: bool,
    /// The channels that the case is about. What the server says of others is passed over; but if it joins them at its
    /// upstream, it is answered, so that nobody there has to wait.
    mine: Vec<String>,
    /// Whether the case is about all channels.
    pub minds_all: bool,
    /// How many joins of other channels were answered, and how many of those were left again.
    pub served: usize,
    /// See [`Self::served`].
    pub left: usize,
    /// The header whose payload is to come.
    header: Option<(Value, String)>,
    /// The number and time of the latest message that was sent.
    latest: (u64, u64),
}

impl Link {
    /// This end of a connection with these nonces.
    #[must_use]
    pub fn new(session: Session, nonces: [String; 2], key: String, channel: &str) -> Self {
        Self {
            session: session.hearing_announcements(),
            uid: random_uid(),
            nonces,
            path: Vec::new(),
            max: 16 << 20,
            key,
            hello: Value::Null,
            ahead: 0,
            is_upper: false,
            hears_paths: false,
            hears_announcements: false,
            mine: vec![channel.to_owned()],
            minds_all: false,
            served: 0,
            left: 0,
            header: None,
            latest: (0, 0),
        }
    }

    /// The case is about this channel, too.
    pub fn minds(&mut self, channel: &str) {
        if !self.mine.iter().any(|mine| mine == channel) {
            self.mine.push(channel.to_owned());
        }
    }

    /// The hash for this end's uid and a channel (O1.4).
    #[must_use]
    pub fn auth(&self, channel: &str) -> String {
        self.auth_of(&self.uid, channel, &self.key)
    }

    /// The hash for these on this connection.
    #[must_use]
    pub fn auth_of(&self, uid: &str, channel: &str, key: &str) -> String {
        let [dialer, acceptor] = &self.nonces;
        format!("{:016x}", hash(&[uid, channel, key, dialer, acceptor]))
    }

    /// The right handshake.
    #[must_use]
    pub fn handshake(&self) -> Handshake {
        let channel = "conformance".to_owned();
        Handshake {
            uid: self.uid.clone(),
            auth: Some(self.auth(&channel)),
            channel,
            path: self.path.clone(),
            ts: self.now(),
            max: self.max,
            probe: false,
        }
    }

    /// The uid of the server.
    #[must_use]
    pub fn server(&self) -> String {
        self.hello["uid"].as_str().unwrap_or_default().to_owned()
    }

    /// The time by the server's clock.
    #[must_use]
    pub fn now(&self) -> u64 {
        clock().saturating_add_signed(self.ahead)
    }

    /// Makes the connection a link: sends the right handshake, and takes the reply.
    ///
    /// # Errors
    /// There is no reply.
    pub fn shake(&mut self) -> Judged {
        self.shake_with(&self.handshake())
    }

    /// The same with this handshake.
    ///
    /// # Errors
    /// There is no reply.
    pub fn shake_with(&mut self, handshake: &Handshake) -> Judged {
        self.say(handshake)?;
        let reply = self.hear("a handshake in reply")?;
        if reply.kind != Kind::Handshake || reply.head["peer"] != true {
            return Err(Stop::fail("a handshake in reply", reply.to_string()));
        }
        self.take_hello(reply.head);
        Ok(())
    }

    /// Takes this for the server's handshake.
    pub(crate) fn take_hello(&mut self, hello: Value) {
        if let Some(ts) = hello["ts"].as_u64() {
            self.ahead = i64::try_from(i128::from(ts) - i128::from(clock())).unwrap_or_default();
        }
        self.hello = hello;
    }

    /// Replies to the handshake of a server that has dialed: this is the upper end then.
    ///
    /// # Errors
    /// The server does not read.
    pub fn welcome(&mut self) -> Judged {
        let reply = self.handshake();
        self.welcome_with(&reply)
    }

    /// The same with this reply.
    ///
    /// # Errors
    /// The server does not read.
    pub fn welcome_with(&mut self, reply: &Handshake) -> Judged {
        self.is_upper = true;
        self.say(reply)
    }

    /// Sends a frame.
    ///
    /// # Errors
    /// The server does not read.
    pub fn say(&mut self, frame: impl fmt::Display) -> Judged {
        self.session.say(&frame.to_string())
    }

    /// The join of a channel, or the reply to one.
    #[must_use]
    pub fn join_of(&self, channel: &str, have: &Value) -> String {
        let (uid, channel) = (&self.uid, json!(channel));
        format!(r#"{{"uid":"{uid}","channel":{channel},"peer":true,"have":{have}}}"#)
    }

    /// The leave of a channel, or the refusal of a join.
    #[must_use]
    pub fn leave_of(&self, channel: &str) -> String {
        let (uid, channel) = (&self.uid, json!(channel));
        format!(r#"{{"uid":"{uid}","channel":{channel},"peer":false}}"#)
    }

    /// That a channel is synchronised.
    #[must_use]
    pub fn done_of(&self, channel: &str) -> String {
        let (uid, channel) = (&self.uid, json!(channel));
        format!(r#"{{"uid":"{uid}","channel":{channel},"peer":true,"done":true}}"#)
    }

    /// A path.
    #[must_use]
    pub fn path_of(&self, path: &[String]) -> String {
        format!(
            r#"{{"uid":"{}","peer":true,"path":{}}}"#,
            self.uid,
            json!(path)
        )
    }

    /// A turn.
    #[must_use]
    pub fn turn_of(&self, path: &[String]) -> String {
        let (uid, path) = (&self.uid, json!(path));
        format!(r#"{{"uid":"{uid}","peer":true,"path":{path},"turn":true}}"#)
    }

    /// The name of the next message of this node, said by `eve` just now on the first of the case's channels.
    pub fn name(&mut self) -> Name {
        self.latest = (self.latest.0 + 1, self.now().max(self.latest.1 + 1));
        Name {
            uid: "eve".into(),
            channel: self.mine.first().cloned().unwrap_or_default(),
            node: self.uid.clone(),
            seq: self.latest.0,
            ts: self.latest.1,
        }
    }

    /// Sends a message.
    ///
    /// # Errors
    /// The server does not read.
    pub fn tell_message(&mut self, name: &Name, payload: &Message) -> Judged {
        let frame = match payload.text {
            true => Frame::text(payload.payload.clone()),
            false => Frame::binary(payload.payload.clone()),
        };
        self.session
            .send_together(&[Frame::text(name.to_string()), frame])
    }

    /// Sends a text message.
    ///
    /// # Errors
    /// The server does not read.
    pub fn tell(&mut self, name: &Name, text: &str) -> Judged {
        self.tell_message(name, &Message::text(text))
    }

    /// Sends the next message of this node, with this text.
    ///
    /// # Errors
    /// The server does not read.
    pub fn tells(&mut self, text: &str) -> Judged {
        let name = self.name();
        self.tell(&name, text)
    }

    /// What comes next that the case is about, or nothing in this time.
    ///
    /// # Errors
    /// What comes is no frame of a link.
    pub fn next(&mut self, within: Duration) -> Judged<Option<Said>> {
        let deadline = Instant::now() + within;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let said = match self.session.next(left)? {
                None => return Ok(None),
                Some(Event::Ping(_) | Event::Pong(_)) => continue,
                Some(Event::Close(close)) => Said::Close(close),
                Some(Event::End(end)) => Said::End(end),
                Some(Event::Message(message)) => match self.frame(message)? {
                    Some(heard) => Said::Frame(heard),
                    None => continue,
                },
            };
            return Ok(Some(said));
        }
    }

    /// What a message of the WebSocket is on the link, if that is anything to the case.
    fn frame(&mut self, message: Message) -> Judged<Option<Heard>> {
        if let Some((head, text)) = self.header.take() {
            let channel = head["channel"].as_str().unwrap_or_default();
            let passed = !self.hears_announcements && message.announces_on(channel);
            let heard = Heard {
                kind: Kind::Message,
                head,
                text,
                payload: Some(message),
            };
            return Ok((!passed && self.is_minded(&heard)).then_some(heard));
        }
        let no_frame = |came: &Message| {
            let expected = "a text frame with one JSON object, as on a link";
            Stop::fail(expected, came.to_string())
        };
        let head: Value = match message.text {
            true => serde_json::from_slice(&message.payload).unwrap_or_default(),
            false => Value::Null,
        };
        if !head.is_object() {
            return Err(no_frame(&message));
        }
        let text = String::from_utf8_lossy(&message.payload).into_owned();
        let kind = if head.get("node").is_some() {
            self.header = Some((head, text));
            return Ok(None);
        } else if head.get("channel").is_none() {
            match head["turn"] == true {
                true => Kind::Turn,
                false => Kind::Path,
            }
        } else if head["peer"] == false {
            Kind::Leave
        } else if head.get("have").is_some() {
            Kind::Join
        } else if head["done"] == true {
            Kind::Done
        } else {
            Kind::Handshake
        };
        let heard = Heard {
            kind,
            head,
            text,
            payload: None,
        };
        if kind == Kind::Path && !self.is_upper && !self.hears_paths {
            return Ok(None);
        }
        if self.is_minded(&heard) {
            return Ok(Some(heard));
        }
        if kind == Kind::Join && self.is_upper {
            // As one who has all that the server has.
            let channel = heard.channel().to_owned();
            let answers = [
                Frame::text(self.join_of(&channel, &heard.head["have"])),
                Frame::text(self.done_of(&channel)),
            ];
            self.session.send_together(&answers)?;
            self.served += 1;
        } else if kind == Kind::Leave {
            self.left += 1;
        }
        Ok(None)
    }

    /// Whether a frame is something to the case.
    fn is_minded(&self, heard: &Heard) -> bool {
        let channel = heard.channel();
        let of_a_channel = match heard.kind {
            Kind::Message | Kind::Leave | Kind::Join | Kind::Done => true,
            Kind::Path | Kind::Turn | Kind::Handshake => false,
        };
        !of_a_channel || self.minds_all || self.mine.iter().any(|mine| mine == channel)
    }

    /// The next frame.
    ///
    /// # Errors
    /// What comes instead, or that nothing comes in time.
    pub fn hear(&mut self, expected: &str) -> Judged<Heard> {
        self.hear_within(self.session.patience(), expected)
    }

    /// The next frame, in this time.
    ///
    /// # Errors
    /// As [`Self::hear`].
    pub fn hear_within(&mut self, within: Duration, expected: &str) -> Judged<Heard> {
        let expected = || format!("{} receives {expected}", self.session.who());
        let expected = expected();
        match self.next(within)? {
            Some(Said::Frame(heard)) => Ok(heard),
            Some(other) => Err(Stop::fail(expected, other.to_string())),
            None => {
                let came = format!("nothing within {:.1} s", within.as_secs_f32());
                Err(Stop::fail(expected, came))
            }
        }
    }

    /// The next frame is this about this channel.
    ///
    /// # Errors
    /// It is not.
    pub fn hears(&mut self, kind: Kind, channel: &str, expected: &str) -> Judged<Heard> {
        let heard = self.hear(expected)?;
        match heard.is(kind, channel) {
            true => Ok(heard),
            false => {
                let expected = format!("{} receives {expected}", self.session.who());
                Err(Stop::fail(expected, heard.to_string()))
            }
        }
    }

    /// The next frame is a message with this text.
    ///
    /// # Errors
    /// It is not.
    pub fn hears_text(&mut self, text: &str) -> Judged<Heard> {
        let expected = format!("the message {text:?}");
        let heard = self.hear(&expected)?;
        match heard.says(text) {
            true => Ok(heard),
            false => {
                let expected = format!("{} receives {expected}", self.session.who());
                Err(Stop::fail(expected, heard.to_string()))
            }
        }
    }

    /// The frames up to the first for which this holds, which is the last of them.
    ///
    /// # Errors
    /// None comes in time.
    pub fn until(
        &mut self,
        expected: &str,
        is_it: impl Fn(&Heard) -> bool,
    ) -> Judged<(Vec<Heard>, Heard)> {
        let deadline = Instant::now() + self.session.patience();
        let mut before = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let heard = match self.hear_within(left, expected) {
                Err(Stop::Fail { expected, came }) if !before.is_empty() => {
                    let came = format!("{}, then {came}", frames(&before));
                    return Err(Stop::Fail { expected, came });
                }
                heard => heard?,
            };
            if is_it(&heard) {
                return Ok((before, heard));
            }
            before.push(heard);
        }
    }

    /// The frames before a message with this text, which is the last of them.
    ///
    /// # Errors
    /// It does not come in time.
    pub fn until_text(&mut self, text: &str) -> Judged<(Vec<Heard>, Heard)> {
        self.until(&format!("the message {text:?} at last"), |heard| {
            heard.says(text)
        })
    }

    /// Joins a channel, having this of it, and takes the reply: it, and the messages that came before `done`.
    ///
    /// # Errors
    /// There is no reply, or no end.
    pub fn join_having(&mut self, channel: &str, have: &Value) -> Judged<(Heard, Vec<Heard>)> {
        self.minds(channel);
        self.say(self.join_of(channel, have))?;
        let reply = self.hears(Kind::Join, channel, "the reply to its join")?;
        let (before, _) = self.until("that the channel is synchronised", |heard| {
            heard.is(Kind::Done, channel)
        })?;
        Ok((reply, before))
    }

    /// The same, on the way to something else, having nothing of it.
    ///
    /// # Errors
    /// As [`Self::join_having`].
    pub fn join(&mut self, channel: &str) -> Judged<(Heard, Vec<Heard>)> {
        let joined = self.join_having(channel, &json!({}));
        joined.map_err(Stop::on_the_way)
    }

    /// As the upper end: waits for the join of a channel.
    ///
    /// # Errors
    /// It does not come in time.
    pub fn joined(&mut self, channel: &str) -> Judged<Heard> {
        let (_, join) = self.until("the join of the channel", |heard| {
            heard.is(Kind::Join, channel)
        })?;
        Ok(join)
    }

    /// As the upper end: says `done` for a channel.
    ///
    /// # Errors
    /// The server does not read.
    pub fn done(&mut self, channel: &str) -> Judged {
        self.say(self.done_of(channel))
    }

    /// As the upper end: replies to a join as one who has this of the channel.
    ///
    /// # Errors
    /// The server does not read.
    pub fn reply(&mut self, channel: &str, have: &Value) -> Judged {
        self.say(self.join_of(channel, have))
    }

    /// The server closes the connection with this code, whatever it says before.
    ///
    /// # Errors
    /// It does not.
    pub fn closed(&mut self, code: u16) -> Judged<Close> {
        self.session.closed(code)
    }

    /// Turns the link, having this path: this is its upper end then, and the server's upstream.
    ///
    /// # Errors
    /// The server does not answer with a turn.
    pub fn turn(&mut self, path: &[String]) -> Judged<Heard> {
        self.say(self.turn_of(path))?;
        let (_, turn) = self.until("the answer to its turn", |heard| heard.kind == Kind::Turn)?;
        self.is_upper = true;
        Ok(turn)
    }

    /// As the lower end: answers a turn, having this path.
    ///
    /// # Errors
    /// The server does not read.
    pub fn answer_turn(&mut self, path: &[String]) -> Judged {
        self.is_upper = false;
        self.say(self.turn_of(path))
    }

    /// Whether the link is still one: a channel that nobody is on can be joined. (It stays joined.)
    ///
    /// # Errors
    /// It is not.
    pub fn still_works(&mut self) -> Judged {
        let channel = format!("conformance {}", random_digits());
        self.minds(&channel);
        self.say(self.join_of(&channel, &json!({})))?;
        let replied = self.until("the reply to a join: the link is as before", |heard| {
            heard.is(Kind::Join, &channel)
        });
        self.mine.retain(|mine| *mine != channel);
        replied.map(drop)
    }

    /// Closes the link with this code, and does not wait for the answer.
    ///
    /// # Errors
    /// The server does not read.
    pub fn refuse(mut self, code: u16) -> Judged {
        self.session
            .send(&Frame::close(code, "as the case wants it"))?;
        self.session.connection().stream.finish();
        Ok(())
    }

    /// Ends the connection as a process that is killed does.
    ///
    /// # Errors
    /// None: it is one of the ways in which a link ends.
    pub fn cut(self) -> Judged {
        self.session.vanish();
        Ok(())
    }

    /// As the upper end: gives the server a moment to take the reply.
    ///
    /// # Errors
    /// It closes.
    pub fn still_taken(&mut self) -> Judged {
        match self.next(Duration::from_millis(50))? {
            None | Some(Said::Frame(_)) => Ok(()),
            Some(end) => Err(Stop::fail("the server takes the reply", end.to_string())),
        }
    }

    /// Closes the link with 1000.
    pub fn leave(self) {
        self.session.leave();
    }
}
