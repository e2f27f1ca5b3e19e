//! A member that does not read, and what the others send meanwhile.

use std::fmt;

use crate::bench::Bench;
use crate::case::{Judged, Stop};
use crate::session::{Event, Message, Session};
use crate::wire::{Close, End, Frame};

/// Alice does not read. What bob says, carol hears before he goes on, so that nothing but alice has to wait.
pub(in crate::cases) struct Stall {
    pub(in crate::cases) alice: Session,
    pub(in crate::cases) bob: Session,
    pub(in crate::cases) carol: Session,
    /// How long the payloads are that bob has sent.
    sent: Vec<u64>,
}

/// What is in a ping of alice's.
pub(super) const PING: &[u8] = b"now";

/// What alice got when she read again.
#[derive(Debug, Default)]
pub(in crate::cases) struct Drained {
    /// How many of bob's messages.
    pub(in crate::cases) loads: usize,
    /// How many of them before the pong for her ping, if there was one.
    pub(in crate::cases) before_pong: Option<usize>,
    /// The close frame behind them.
    pub(in crate::cases) close: Option<Close>,
    /// The end without a close frame.
    pub(in crate::cases) end: Option<End>,
    /// How many bytes the payloads had.
    pub(in crate::cases) bytes: u64,
}

impl fmt::Display for Drained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} messages ({} bytes)", self.loads, self.bytes)?;
        match (&self.close, &self.end) {
            (Some(close), _) => write!(f, ", then {close}"),
            (None, Some(end)) => write!(f, ", then {end}, without a close frame"),
            (None, None) => f.write_str(", then nothing"),
        }
    }
}

/// The payload with this number; each is told from all others.
fn payload(nth: usize, length: u64) -> Vec<u8> {
    let fill = (nth % 251) as u8;
    let mut payload = vec![fill; usize::try_from(length).unwrap_or(usize::MAX)];
    for (byte, digit) in payload.iter_mut().zip((nth as u64).to_be_bytes()) {
        *byte = digit;
    }
    payload
}

/// How many bytes a frame of the server with such a payload has.
pub(super) fn encoded(length: u64) -> u64 {
    length
        + match length {
            0..=125 => 2,
            126..=0xffff => 4,
            _ => 10,
        }
}

/// Payloads whose frames have so many bytes together, headers of each form among them where there is room.
pub(super) fn payloads(bytes: u64) -> Vec<u64> {
    let mut payloads = vec![100, 1000, 50];
    if bytes > 200_000 {
        payloads.extend([70_000, 65_535, 125, 126]);
    }
    let sum = |payloads: &[u64]| payloads.iter().map(|length| encoded(*length)).sum::<u64>();
    loop {
        let rest = bytes - sum(&payloads);
        for header in [10, 4, 2] {
            if rest >= header && encoded(rest - header) == rest {
                payloads.push(rest - header);
                return payloads;
            }
        }
        // There is no frame of just this length.
        payloads.push(30);
    }
}

/// A message so long that sockets alone do not take it, so that it is in progress for who does not read.
pub(in crate::cases) fn giant(bench: &Bench) -> Judged<u64> {
    const LEAST: u64 = 12 << 20;
    // It is under way to two at a time, and all that is may be bounded to two of the largest (L3.10).
    let most = bench.limits().max_message / 4 * 3;
    match most >= LEAST {
        true => Ok(LEAST),
        false => Err(Stop::Skip(format!(
            "a message of {LEAST} bytes is needed, so that no socket takes it all, \
             and room for it and as much again; the largest message has {} bytes",
            bench.limits().max_message
        ))),
    }
}

/// The bound of what waits, if it can be filled.
pub(super) fn outbox(bench: &Bench) -> Judged<u64> {
    const MOST: u64 = 32 << 20;
    let outbox = bench.limits().outbox;
    match outbox <= MOST {
        true => Ok(outbox),
        false => Err(Stop::Skip(format!(
            "the bound of an outbox is {outbox} bytes; this is tried with up to {MOST}"
        ))),
    }
}

/// How long the messages are that fill an outbox.
pub(super) fn load(bench: &Bench) -> u64 {
    let limits = bench.limits();
    limits
        .outbox
        .clamp(64 << 10, 1 << 20)
        .min(limits.max_message)
}

/// More than the sockets and the outbox of a session take, usually.
pub(super) fn flood(bench: &Bench) -> u64 {
    2 * bench.limits().outbox + (8 << 20)
}

impl Stall {
    /// Three members who have heard all that there is to hear; from now on alice does not read.
    pub(in crate::cases) fn open(bench: &mut Bench) -> Judged<Self> {
        let mut alice = bench.open_narrow("alice")?;
        alice
            .say(&bench.header("alice"))
            .map_err(Stop::on_the_way)?;
        let mut bob = bench.join("bob")?;
        bench.meet(&mut alice, &mut bob)?;
        let mut carol = bench.join("carol")?;
        let last = bench.acquaint(&mut carol, &mut bob)?;
        alice.until(&last).map_err(Stop::on_the_way)?;
        alice.note("does not read from now on");
        Ok(Self::of(bench, alice, bob, carol))
    }

    /// Two members; what bob says is what a later joiner is replayed.
    pub(super) fn before(bench: &mut Bench) -> Judged<Before> {
        let (mut carol, mut bob) = (bench.join("carol")?, bench.join("bob")?);
        bench.meet(&mut carol, &mut bob)?;
        Ok(Before {
            bob,
            carol,
            sent: Vec::new(),
        })
    }

    fn of(bench: &Bench, alice: Session, bob: Session, carol: Session) -> Self {
        let longest = bench.limits().max_message.min(32 << 20);
        let time = bench.time_for(longest);
        Self {
            alice,
            bob: bob.patient_for(time),
            carol: carol.patient_for(time),
            sent: Vec::new(),
        }
    }

    /// Bob sends a message with so many bytes, and carol hears it.
    ///
    /// # Errors
    /// Alice delays bob or carol.
    pub(in crate::cases) fn tell(&mut self, length: u64) -> Judged {
        self.lives()?;
        tell(&mut self.bob, &mut self.carol, self.sent.len(), length)?;
        self.sent.push(length);
        Ok(())
    }

    /// Alice, who does not read and so answers no pings, is not to be taken for dead (K1.3), unless the case wants that.
    fn lives(&mut self) -> Judged {
        match self.alice.answers_pings {
            true => self.alice.send(&Frame::pong("")).map_err(Stop::on_the_way),
            false => Ok(()),
        }
    }

    /// The same as often as it takes for so many bytes.
    pub(super) fn flood(&mut self, bench: &Bench, bytes: u64) -> Judged {
        let load = load(bench);
        for _ in 0..bytes.div_ceil(load) {
            self.tell(load)?;
        }
        Ok(())
    }

    /// Bob says so many little things that nothing else is in the history.
    pub(super) fn displace(&mut self, limit: u64) -> Judged {
        const AT_A_TIME: u64 = 16;
        let mut said = 0;
        while said < limit {
            let some = AT_A_TIME.min(limit - said);
            for nth in said..said + some {
                self.bob.say(&format!("little {nth}"))?;
            }
            said += some;
            self.carol.until(&format!("little {}", said - 1))?;
        }
        Ok(())
    }

    /// The sessions.
    pub(super) fn parts(self) -> (Session, Session, Session) {
        (self.alice, self.bob, self.carol)
    }

    /// Carol leaves.
    pub(super) fn without_carol(&mut self) -> Judged {
        self.carol.send(&Frame::close(1000, ""))?;
        self.carol.closed(1000).map(drop)
    }

    /// Bob sends a message with so many bytes, whether or not anybody hears it.
    pub(super) fn send(&mut self, length: u64) -> Judged {
        self.lives()?;
        let payload = payload(self.sent.len(), length);
        self.bob.send(&Frame::binary(payload))?;
        self.sent.push(length);
        Ok(())
    }

    /// How many messages bob has sent.
    pub(super) fn sent(&self) -> usize {
        self.sent.len()
    }

    /// Whether they are so many.
    pub(in crate::cases) fn has_sent(&self, count: usize) -> bool {
        self.sent() == count
    }

    /// How many bytes they had.
    pub(super) fn bytes(&self) -> u64 {
        self.sent.iter().sum()
    }

    /// Alice reads again, until she is closed or has got all, or nothing more comes.
    ///
    /// # Errors
    /// What she gets is not what bob has sent, from the beginning and without holes.
    pub(in crate::cases) fn read(&mut self, bench: &Bench) -> Judged<Drained> {
        self.alice.note("reads again");
        self.alice.widen();
        let time = bench.time_for(self.sent.iter().copied().max().unwrap_or(0));
        let mut drained = Drained::default();
        while drained.loads < self.sent.len() {
            match self.alice.next_but_pings(time)? {
                Some(Event::Message(message)) => self.got(&message, &mut drained)?,
                Some(Event::Pong(payload)) if payload == PING => {
                    let before = drained.loads;
                    drained.before_pong.get_or_insert(before);
                }
                Some(Event::Ping(_) | Event::Pong(_)) => {}
                Some(Event::Close(close)) => {
                    drained.close = Some(close);
                    break;
                }
                Some(Event::End(end)) => {
                    drained.end = Some(end);
                    break;
                }
                None => break,
            }
        }
        self.alice.note(&format!("has got {drained}"));
        Ok(drained)
    }

    fn got(&self, message: &Message, drained: &mut Drained) -> Judged {
        // What was said before bob began.
        let early = drained.loads == 0 && Bench::met().iter().any(|met| met.equals(message));
        if early {
            return Ok(());
        }
        let nth = drained.loads;
        let length = self.sent.get(nth).copied().unwrap_or(0);
        if message.text || message.payload != payload(nth, length) {
            return Err(Stop::fail(
                format!(
                    "alice receives what was sent, from the beginning and without holes: message {} of {} next",
                    nth + 1,
                    self.sent.len()
                ),
                message.to_string(),
            ));
        }
        drained.loads += 1;
        drained.bytes += length;
        Ok(())
    }
}

fn tell(bob: &mut Session, carol: &mut Session, nth: usize, length: u64) -> Judged {
    let payload = payload(nth, length);
    bob.send(&Frame::binary(payload.clone()))?;
    carol.hears_message(&Message::binary(payload))
}

/// One says something with so many bytes, and the other hears it.
pub(super) fn more(one: &mut Session, other: &mut Session, length: u64) -> Judged {
    tell(one, other, 0, length)
}

/// A channel whose history a member takes who does not read.
pub(super) struct Before {
    bob: Session,
    carol: Session,
    sent: Vec<u64>,
}

impl Before {
    /// Bob says what the history holds then: so many bytes.
    pub(super) fn fill(mut self, bench: &Bench, bytes: u64) -> Judged<Self> {
        let length = bytes.div_ceil(bytes.div_ceil(load(bench)));
        for _ in 0..bytes / length {
            let told = tell(&mut self.bob, &mut self.carol, self.sent.len(), length);
            told.map_err(Stop::on_the_way)?;
            self.sent.push(length);
        }
        Ok(self)
    }

    /// Alice joins, and reads nothing.
    pub(super) fn joined(self, bench: &Bench) -> Judged<Stall> {
        const THERE: &str = "alice is there";
        let mut alice = bench.open_narrow("alice")?;
        alice
            .say(&bench.header("alice"))
            .map_err(Stop::on_the_way)?;
        alice.say(THERE).map_err(Stop::on_the_way)?;
        let Self {
            bob,
            mut carol,
            sent,
        } = self;
        carol.until(THERE).map_err(Stop::on_the_way)?;
        Ok(Stall {
            sent,
            ..Stall::of(bench, alice, bob, carol)
        })
    }

    /// Alice joins, and reads.
    pub(super) fn joined_reading(self, bench: &Bench) -> Judged<Stall> {
        let Self { bob, carol, sent } = self;
        let alice = bench.join("alice")?;
        Ok(Stall {
            sent,
            ..Stall::of(bench, alice, bob, carol)
        })
    }
}

/// How large a history is that replays are made of, if one can be made that sockets do not take.
pub(super) fn history(bench: &Bench) -> Judged<u64> {
    const LEAST: u64 = 6 << 20;
    const MOST: u64 = 32 << 20;
    let limits = bench.limits();
    let bound = limits.history_channel_bytes.min(MOST);
    // What the entries cost besides their bytes, and what else the channel holds.
    let usable = bound - bound / 16;
    if usable < LEAST || limits.limit < 2 * usable / load(bench) {
        return Err(Stop::Skip(format!(
            "a history of {LEAST} bytes is needed, so that no socket takes it all; the server keeps less"
        )));
    }
    bench.replays_have_time(usable)?;
    Ok(usable)
}

/// Alice has not read, and her outbox has overflowed; then she has.
pub(super) fn overflow(bench: &mut Bench) -> Judged<(Stall, Drained)> {
    match flooded_and_read(bench)? {
        Ok(both) => Ok(both),
        Err(bytes) => Err(Stop::Inconclusive(format!(
            "alice has got all of {bytes} bytes, so that she was not lagging (L3.1)"
        ))),
    }
}

/// The same, or how many bytes she got, all of them.
pub(super) fn flooded_and_read(bench: &mut Bench) -> Judged<Result<(Stall, Drained), u64>> {
    outbox(bench)?;
    let mut stall = Stall::open(bench)?;
    let first = flood(bench);
    // What is between judge and server may take more than usual.
    for bytes in [first, 4 * first] {
        let sent = stall.sent();
        let all = stall.bytes();
        let flooded = stall.flood(bench, bytes);
        flooded.map_err(Stop::on_the_way)?;
        let drained = stall.read(bench)?;
        if drained.loads < stall.sent() {
            return Ok(Ok((stall, drained)));
        }
        bench.note(format!(
            "all {} messages have come, {} bytes",
            stall.sent() - sent,
            stall.bytes() - all
        ));
        // The numbers begin anew.
        stall.sent.clear();
    }
    Ok(Err(4 * first))
}

/// A failure that is one only if no socket has taken so much: that is found out, or it cannot be said.
pub(in crate::cases) fn certain(bench: &mut Bench, bytes: u64, stop: Stop) -> Stop {
    bench.note("how much do the sockets take?");
    bench.channel = bench.another_channel();
    match overflow(bench) {
        Ok((_, drained)) if drained.bytes / 10 * 11 < bytes => stop,
        Ok((_, drained)) => Stop::Inconclusive(format!(
            "sockets take up to {} bytes, so that it is not certain that anything waited",
            drained.bytes
        )),
        Err(other) => other.on_the_way(),
    }
}
