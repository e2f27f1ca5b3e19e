//! What a case works with: connections, sessions, and a channel of its own.

mod conditions;

pub(crate) use conditions::NO_PEERS;

use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ring::rand::{SecureRandom as _, SystemRandom};
use rustls::{ClientConfig, ClientConnection};
use serde_json::json;
use socket2::SockRef;

use crate::case::{Case, Company, Judged, Stop};
use crate::connection::Connection;
use crate::session::{Message, Session};
use crate::transcript::{Transcript, Way};
use crate::wire::{End, Frame, Request, Response, Stream};
use crate::{Limits, Target};

/// What a case works with.
#[derive(Debug)]
pub struct Bench {
    target: Arc<Target>,
    transcript: Transcript,
    /// The case's own channel, which nobody else is on.
    pub channel: String,
    markers: u32,
    connections: Arc<()>,
    connections_most: usize,
    /// Whether other cases run at the same time.
    has_company: bool,
}

impl Bench {
    pub(crate) fn new(target: Arc<Target>, case: &Case) -> Self {
        Self {
            target,
            transcript: Transcript::new(),
            channel: format!("conformance {} {}", case.clause_id(), random_digits()),
            markers: 0,
            connections: Arc::new(()),
            connections_most: case.connections,
            has_company: case.company == Company::Any,
        }
    }

    pub(crate) fn transcript(&self) -> &Transcript {
        &self.transcript
    }

    /// What happens is told there from now on.
    pub(crate) fn tells(&mut self, transcript: &Transcript) {
        self.transcript = transcript.clone();
    }

    /// The server.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// What it is configured to.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.target.limits
    }

    /// How long what has to happen at once may take.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.target.patience
    }

    /// Adds a line to the transcript.
    pub fn note(&self, what: impl Into<String>) {
        self.transcript.add("", Way::Note, what);
    }

    /// A channel that nobody is on.
    #[must_use]
    pub fn another_channel(&self) -> String {
        format!("conformance {}", random_digits())
    }

    /// The header of this uid on the case's channel.
    #[must_use]
    pub fn header(&self, uid: &str) -> String {
        self.header_on(uid, &self.channel)
    }

    /// The header of this uid on this channel, with `auth` if the server has a key.
    #[must_use]
    pub fn header_on(&self, uid: &str, channel: &str) -> String {
        let names = format!(r#"{{"uid":{},"channel":{}"#, json!(uid), json!(channel));
        match &self.target.key {
            None => format!("{names}}}"),
            Some(_) => format!(
                r#"{names},"auth":"{:016x}"}}"#,
                self.target.hash(uid, channel)
            ),
        }
    }

    /// A TCP connection.
    ///
    /// # Errors
    /// The server takes none.
    pub fn tcp(&self, who: &str) -> Judged<Connection> {
        let tcp = self.target.connect().map_err(Stop::Inconclusive)?;
        self.on(who, tcp)
    }

    /// A connection over this TCP connection.
    ///
    /// # Errors
    /// The case has said that it needs fewer.
    pub fn on(&self, who: &str, tcp: TcpStream) -> Judged<Connection> {
        if Arc::strong_count(&self.connections) > self.connections_most {
            let message = "the case opens more connections than it said; the judge is wrong";
            return Err(Stop::Inconclusive(message.into()));
        }
        Ok(Connection {
            who: who.to_owned(),
            stream: Stream::plain(tcp),
            transcript: self.transcript.clone(),
            patience: self.patience(),
            _counted: self.connections.clone(),
        })
    }

    /// A connection with TLS.
    ///
    /// # Errors
    /// There is none, or TLS does not come about.
    pub fn tls(&self, who: &str) -> Judged<Connection> {
        let connection = self.tcp(who)?;
        let shaken = self.shake(connection, self.target.tls.clone())?;
        shaken.map_err(|end| Stop::Inconclusive(format!("TLS: {end}")))
    }

    /// TLS with this configuration on a connection, or how it ended.
    ///
    /// # Errors
    /// The server's name is no name for TLS.
    pub fn shake(
        &self,
        connection: Connection,
        config: Arc<ClientConfig>,
    ) -> Judged<Result<Connection, End>> {
        let tls = ClientConnection::new(config, self.target.name.clone());
        let tls = tls.map_err(|error| Stop::Inconclusive(format!("TLS: {error}")))?;
        let mut stream = Stream::tls(connection.stream.into_tcp(), tls);
        if let Err(end) = stream.shake(self.patience()) {
            let what = format!("TLS handshake: {end}");
            self.transcript.add(&connection.who, Way::Note, what);
            return Ok(Err(end));
        }
        Ok(Ok(Connection {
            stream,
            ..connection
        }))
    }

    /// The request that opens a session.
    #[must_use]
    pub fn upgrade_request(&self) -> Request {
        Request::upgrade(&self.target.host).at(&self.target.path)
    }

    /// A request that opens none.
    #[must_use]
    pub fn plain_request(&self) -> Request {
        Request::plain(&self.target.host)
    }

    /// Sends this request for an upgrade: a session and the answer, or the answer that refuses it.
    ///
    /// # Errors
    /// There is no answer, or it says that the connection is upgraded and is wrong.
    pub fn upgrade(
        &self,
        who: &str,
        request: &Request,
    ) -> Judged<Result<(Session, Response), Response>> {
        let connection = self.tls(who)?;
        self.upgrade_on(connection, request)
    }

    /// The same on this connection.
    ///
    /// # Errors
    /// As [`Self::upgrade`].
    pub fn upgrade_on(
        &self,
        mut connection: Connection,
        request: &Request,
    ) -> Judged<Result<(Session, Response), Response>> {
        let response = connection.request(request)?;
        if response.status == 503 && self.limits().takes_few_sessions() {
            return Err(Stop::Skip(
                "the server has as many sessions as it takes (max-sessions)".into(),
            ));
        }
        if response.status != 101 {
            return Ok(Err(response));
        }
        self.headers_have_time()?;
        if let Some(why) = response.why_not_upgraded(request) {
            return Err(Stop::fail("an upgrade as in RFC 6455", why));
        }
        let mut session = Session::new(connection, &response.body, true, &self.channel);
        session.dead_after = Some(self.limits().ping_interval * 4);
        Ok(Ok((session, response)))
    }

    /// A session that has sent no header.
    ///
    /// # Errors
    /// There is no session.
    pub fn open(&self, who: &str) -> Judged<Session> {
        self.upgraded(self.tls(who)?)
    }

    /// A session that has sent no header, with a receive buffer of 256 KiB: so what it does not read soon waits on the
    /// server, and what it does read comes in reasonable time.
    ///
    /// # Errors
    /// There is no session.
    pub fn open_slim(&self, who: &str) -> Judged<Session> {
        let connection = self.tcp(who)?;
        let socket = SockRef::from(connection.stream.tcp());
        let narrowed = socket.set_recv_buffer_size(1 << 18);
        narrowed.map_err(|error| Stop::Inconclusive(error.to_string()))?;
        let shaken = self.shake(connection, self.target.tls.clone())?;
        let connection = shaken.map_err(|end| Stop::Inconclusive(format!("TLS: {end}")))?;
        self.upgraded(connection)
    }

    /// A session that has sent no header, whose end here takes little that nobody reads.
    ///
    /// # Errors
    /// There is no session.
    pub fn open_narrow(&self, who: &str) -> Judged<Session> {
        let tcp = self.target.connect_narrow().map_err(Stop::Inconclusive)?;
        let shaken = self.shake(self.on(who, tcp)?, self.target.tls.clone())?;
        let connection = shaken.map_err(|end| Stop::Inconclusive(format!("TLS: {end}")))?;
        self.upgraded(connection)
    }

    /// The session on a connection with TLS.
    fn upgraded(&self, connection: Connection) -> Judged<Session> {
        match self.upgrade_on(connection, &self.upgrade_request()) {
            Ok(Ok((session, _))) => Ok(session),
            Ok(Err(response)) => {
                let text = response.text();
                let why = format!("no upgrade: {} {}", response.status, text.trim());
                Err(Stop::Inconclusive(why))
            }
            Err(stop) => Err(stop.on_the_way()),
        }
    }

    /// How long so many bytes may take.
    #[must_use]
    pub fn time_for(&self, bytes: u64) -> Duration {
        const A_SECOND: u64 = 2 << 20;
        self.patience() + Duration::from_millis(bytes * 1000 / A_SECOND)
    }

    /// A session that has sent its header on the case's channel. Whether it has joined is not known yet.
    ///
    /// # Errors
    /// There is no session.
    pub fn join(&self, uid: &str) -> Judged<Session> {
        self.members_live()?;
        let mut session = self.open(uid)?;
        session.say(&self.header(uid))?;
        Ok(session)
    }

    /// The same on another channel.
    ///
    /// # Errors
    /// There is no session.
    pub fn join_on(&self, uid: &str, channel: &str) -> Judged<Session> {
        self.members_live()?;
        let mut session = self.open(uid)?;
        session.is_on(channel);
        session.say(&self.header_on(uid, channel))?;
        Ok(session)
    }

    /// The same under this name in the transcript.
    ///
    /// # Errors
    /// There is no session.
    pub fn join_as(&self, who: &str, uid: &str) -> Judged<Session> {
        self.members_live()?;
        let mut session = self.open(who)?;
        session.say(&self.header(uid))?;
        Ok(session)
    }

    /// Two members of the case's channel, `alice` and `bob`, that have heard all that there is to hear. One message of
    /// alice's, [`Self::HELLO`], is in the history.
    ///
    /// # Errors
    /// They do not come about.
    pub fn pair(&mut self) -> Judged<(Session, Session)> {
        let mut alice = self.join("alice")?;
        let mut bob = self.join("bob")?;
        self.meet(&mut alice, &mut bob)?;
        Ok((alice, bob))
    }

    /// Waits until both are members by texts that were not said before: what one of them says is not taken for something
    /// that a replay has, and all that either has said so far is accepted. Gives the text that they hear last.
    ///
    /// # Errors
    /// They do not hear each other.
    pub fn acquaint(&mut self, one: &mut Session, other: &mut Session) -> Judged<String> {
        self.fence(one, other).map_err(Stop::on_the_way)?;
        let last = self.marker();
        other.say(&last).map_err(Stop::on_the_way)?;
        one.until(&last).map_err(Stop::on_the_way)?;
        Ok(last)
    }

    /// One says this, and the other, which may still be joining, hears it: what it hears before. Where little is kept, it
    /// is said again until then.
    ///
    /// # Errors
    /// The other does not hear it.
    pub fn told(&self, one: &mut Session, other: &mut Session, text: &str) -> Judged<Vec<Message>> {
        one.say(text)?;
        if !self.keeps_little() {
            return other.until(text);
        }
        let (patience, marked) = (other.patience(), Message::text(text));
        let expected = format!("text {text:?} at last");
        let mut deadline = Instant::now() + patience;
        let (mut before, mut again) = (Vec::new(), false);
        other.connection().patience = patience / 8;
        let heard = loop {
            match other.message(&expected) {
                Ok(message) if message.equals(&marked) => break Ok(()),
                Ok(message) => {
                    before.push(message);
                    deadline = Instant::now() + patience;
                }
                Err(Stop::Fail { .. }) if Instant::now() < deadline && !other.has_ended() => {
                    again = true;
                    one.say(text)?;
                }
                Err(stop) => break Err(stop),
            }
        };
        other.connection().patience = patience;
        heard?;
        if again {
            // So that what was said twice is behind both.
            let last = format!("{text}, heard");
            one.say(&last)?;
            other.until(&last)?;
        }
        Ok(before)
    }

    /// What alice says before a case begins.
    pub const HELLO: &str = "hello";

    /// Waits until both of them are members: what the one says reaches the other.
    ///
    /// # Errors
    /// It does not.
    pub fn meet(&mut self, alice: &mut Session, bob: &mut Session) -> Judged {
        // It is in bob's replay, or comes live: either way both are members then.
        self.told(alice, bob, Self::HELLO)
            .map_err(Stop::on_the_way)?;
        // What was announced meanwhile has reached alice before this.
        bob.say(Self::HERE).map_err(Stop::on_the_way)?;
        alice.until(Self::HERE).map_err(Stop::on_the_way)?;
        Ok(())
    }

    /// A further member of the case's channel, that has heard all that there is to hear, and this one too.
    ///
    /// # Errors
    /// It does not come about.
    pub fn joined(&mut self, uid: &str, other: &mut Session) -> Judged<Session> {
        let mut session = self.join(uid)?;
        self.acquaint(&mut session, other)?;
        Ok(session)
    }

    /// What bob says before a case begins: he has heard alice.
    pub const HERE: &str = "here";

    /// What a history holds of two who have met.
    #[must_use]
    pub fn met() -> [Message; 2] {
        [Message::text(Self::HELLO), Message::text(Self::HERE)]
    }

    /// A text that was not said before.
    pub fn marker(&mut self) -> String {
        self.markers += 1;
        format!("marker {}", self.markers)
    }

    /// Has one session say a new text, and gives what the other hears before it: all that was accepted before it.
    ///
    /// # Errors
    /// The other does not hear it.
    pub fn fence(&mut self, from: &mut Session, to: &mut Session) -> Judged<Vec<Message>> {
        let marker = self.marker();
        self.told(from, to, &marker)
    }

    /// The other hears nothing but what the one says now.
    ///
    /// # Errors
    /// It hears something else, or not that.
    pub fn nothing_but_fence(
        &mut self,
        from: &mut Session,
        to: &mut Session,
        instead: &str,
    ) -> Judged {
        let heard = self.fence(from, to)?;
        match heard.is_empty() {
            true => Ok(()),
            false => Err(Stop::fail(
                format!("{} does not receive {instead}", to.who()),
                crate::session::listed(&heard),
            )),
        }
    }

    /// What a new session of this uid is replayed, up to a marker that `speaker` says once it is there. The session stays.
    ///
    /// # Errors
    /// It does not hear the marker.
    pub fn replay(&mut self, uid: &str, speaker: &mut Session) -> Judged<(Vec<Message>, Session)> {
        let mut joiner = self.join(uid)?.hearing_announcements();
        let marker = self.marker();
        // In the replay or live: it is behind all that was said before it.
        let heard = self.told(speaker, &mut joiner, &marker)?;
        Ok((heard, joiner))
    }

    /// Sends a frame and waits until the server has closed the session with this code for it.
    ///
    /// # Errors
    /// It does not.
    pub fn refused(&self, session: &mut Session, frame: &Frame, code: u16) -> Judged {
        session.send(frame)?;
        session.closed(code)?;
        Ok(())
    }
}

/// Sixteen hexadecimal digits that nobody else has drawn.
#[must_use]
pub fn random_digits() -> String {
    let mut bytes = [0; 8];
    // Without randomness there is no TLS either.
    let _ = SystemRandom::new().fill(&mut bytes);
    data_encoding::HEXLOWER.encode(&bytes)
}

/// Whether something that began then has lasted as long as it has to: not less than `least`, and not longer than the
/// server may be late.
///
/// # Errors
/// It has not.
pub fn lasted(
    began: Instant,
    ended: Instant,
    time: Duration,
    patience: Duration,
    what: &str,
) -> Judged {
    let took = ended.saturating_duration_since(began);
    // Clocks differ a little, and timers are not exact.
    let least = time
        .saturating_sub(time / 10)
        .saturating_sub(Duration::from_millis(20));
    let most = time + time / 4 + patience;
    if took >= least && took <= most {
        return Ok(());
    }
    let expected = format!("{what} after {:.1} s", time.as_secs_f32());
    Err(Stop::fail(
        expected,
        format!("after {:.1} s", took.as_secs_f32()),
    ))
}
