//! How a link opens: both ends prove the peer key over the nonces of this very connection (spec: O1).

use alloc::format;
use alloc::vec::Vec;

use super::link::{End, Link};
use super::wire::{self, Handshake, LinkFrame};
use crate::action::Action;
use crate::auth::{self, Auth};
use crate::event::{ConnId, Nonces, PeerId, Source};
use crate::frame::Frame;
use crate::node::Node;
use crate::notice::Notice;
use crate::session::{AwaitReply, Conn};
use crate::time::{Now, micros};
use crate::timer::Timer;
use crate::violation::{Closing, Violation};

/// The channel in our handshakes; it joins nothing (O1.2).
const CHANNEL: &str = "mles";

/// How far apart two clocks may be, in microseconds (O1.7).
const APART_MAX: u64 = 10 * 60 * 1_000_000;

/// How many nodes a path may have (R1.7).
pub(crate) const PATH_MAX: usize = 64;

impl Node {
    /// A peer's opening has come on an accepted connection (O1.3).
    pub(crate) fn greeted(
        &mut self,
        now: Now,
        conn: ConnId,
        dialer: Option<(Nonces, Source)>,
        frame: &Frame,
    ) {
        let nonces = dialer.map(|(nonces, _)| nonces);
        let (handshake, nonces) = match self.judge_opening(now, nonces, frame) {
            Ok(good) => good,
            Err(violation) => return self.violated(now, conn, violation),
        };
        if let Some(Conn::AwaitHeader { deadline, .. }) = self.conns.remove(&conn) {
            self.timers.disarm(deadline, Timer::Header(conn));
        }
        let reply = self.handshake(now, nonces, false);
        let frames = LinkFrame::Handshake(reply).compose().into();
        self.emit(Action::Send { conn, frames });
        if handshake.probe {
            let why = Closing::Unneeded;
            return self.emit(Action::Close { conn, why }); // O1.10
        }
        let stale = |link: &Link| link.uid == handshake.uid && link.end != End::Lower;
        let links = self.peering.links.iter();
        let stale: Vec<ConnId> = links
            .filter(|(_, link)| stale(link))
            .map(|(id, _)| *id)
            .collect();
        for stale in stale {
            self.violated(now, stale, Violation::LinkReplaced); // O1.6
        }
        let source = dialer.map(|(_, source)| source).unwrap_or_default();
        self.open_link(now, conn, &handshake, None, source);
    }

    fn judge_opening(
        &mut self,
        now: Now,
        nonces: Option<Nonces>,
        frame: &Frame,
    ) -> Result<(Handshake, Nonces), Violation> {
        if !self.config.peering.takes_peers() {
            return Err(Violation::PeerRefused); // H4.3
        }
        let nonces = nonces.ok_or(Violation::PeerWithoutNonce)?; // O1.1
        let handshake = self.judge(now, nonces, frame)?;
        if self.peering.path.contains(&handshake.uid) {
            if !handshake.probe {
                self.suspect(now); // R1.6
            }
            return Err(Violation::PeerLoop); // R1.1
        }
        let replaces = |link: &&Link| link.uid == handshake.uid;
        let replaced = self.peering.links.values().filter(replaces).count();
        if !handshake.probe && self.peering.links.len() - replaced >= self.config.peering.links {
            return Err(Violation::TooManyLinks); // O1.9
        }
        Ok((handshake, nonces))
    }

    /// What both ends check (O1.4, O1.7, R1.1, R1.7), in this order (O1.11).
    fn judge(&self, now: Now, nonces: Nonces, frame: &Frame) -> Result<Handshake, Violation> {
        let Some(LinkFrame::Handshake(handshake)) = wire::parse(frame) else {
            return Err(Violation::LinkFrame);
        };
        let (uid, channel) = (format!("{}", handshake.uid), &handshake.channel);
        let key = self.config.peering.key.as_ref();
        auth::check_link(&uid, channel, handshake.auth.as_ref(), key, nonces)?;
        if handshake.uid == self.uid {
            return Err(Violation::PeerLoop);
        }
        if handshake.ts.saturating_add(APART_MAX) < now.unix {
            return Err(Violation::PeerClockBehind);
        }
        if handshake.ts > now.unix.saturating_add(APART_MAX) {
            return Err(Violation::PeerClockAhead);
        }
        if handshake.path.len() > PATH_MAX {
            return Err(Violation::PathTooLong);
        }
        Ok(handshake)
    }

    fn handshake(&self, now: Now, nonces: Nonces, probe: bool) -> Handshake {
        let uid = format!("{}", self.uid);
        let key = self.config.peering.key.as_ref();
        let auth = auth::link_hash(&uid, CHANNEL, key, nonces);
        Handshake {
            uid: self.uid,
            channel: CHANNEL.into(),
            auth: Some(Auth(format!("{auth:016x}"))),
            path: self.peering.path.clone(),
            ts: now.unix,
            max: self.config.peering.max_payload,
            probe,
        }
    }

    /// A connection that we have dialed is open: we begin.
    pub(crate) fn dialed(
        &mut self,
        now: Now,
        conn: ConnId,
        peer: PeerId,
        nonces: Nonces,
        source: Source,
    ) {
        let Some(probe) = self.seek_opened(conn, peer) else {
            let why = Closing::Unneeded;
            return self.emit(Action::Close { conn, why });
        };
        let deadline = now.mono + self.config.peering.handshake_timeout;
        self.timers.arm(deadline, Timer::Header(conn)); // O1.8
        let state = AwaitReply {
            peer,
            nonces,
            source,
            probe,
            deadline,
        };
        self.conns.insert(conn, Conn::AwaitReply(state));
        let handshake = self.handshake(now, nonces, probe);
        let frames = LinkFrame::Handshake(handshake).compose().into();
        self.emit(Action::Send { conn, frames });
    }

    /// The reply to our opening has come.
    pub(crate) fn replied(&mut self, now: Now, conn: ConnId, frame: &Frame) {
        let Some(Conn::AwaitReply(waiting)) = self.conns.get(&conn) else {
            return;
        };
        let (peer, probe, source) = (waiting.peer, waiting.probe, waiting.source);
        let handshake = match self.judge(now, waiting.nonces, frame) {
            Ok(handshake) => handshake,
            Err(violation) => {
                self.refuses(conn, violation);
                return self.violated(now, conn, violation);
            }
        };
        let root = handshake.path.first().copied().unwrap_or(handshake.uid);
        let loops = handshake.path.contains(&self.uid);
        let differs = self.peering.upstream.is_none()
            || root != self.peering.root(self.uid) && !self.peering.is_turning();
        let wanted = differs && self.seek_lists(peer);
        let above = self.peering.up().map(|link| link.uid);
        if above == Some(handshake.uid) {
            if probe {
                // Its root is ours, as soon as its path has come.
                self.seek_same(now, peer);
                return self.close(now, conn, Closing::Unneeded);
            }
            // It has given our former link up for this one (O1.6), so we do.
            if let Some(former) = self.peering.upstream {
                self.violated(now, former, Violation::LinkReplaced);
            }
        }
        let wanted = wanted || self.peering.upstream.is_none() && self.seek_lists(peer);
        if probe || loops || !wanted {
            if loops || root == self.peering.root(self.uid) {
                self.seek_same(now, peer);
            }
            self.close(now, conn, Closing::Unneeded);
            if probe && !loops && wanted {
                self.seek_found(peer); // G1.2
            }
            return;
        }
        if let Some(Conn::AwaitReply(waiting)) = self.conns.remove(&conn) {
            self.timers.disarm(waiting.deadline, Timer::Header(conn));
        }
        self.seek_linked(now, peer);
        self.open_link(now, conn, &handshake, Some(peer), source);
        self.adopt(now, conn);
    }

    /// The handshake is done: the connection is a link. Its lower end is at first the one that has dialed a peer.
    fn open_link(
        &mut self,
        now: Now,
        conn: ConnId,
        handshake: &Handshake,
        peer: Option<PeerId>,
        source: Source,
    ) {
        let end = match peer {
            Some(_) => End::Lower,
            None => End::Upper,
        };
        let wake = now.mono + self.config.peering.ping_interval;
        self.timers.arm(wake, Timer::KeepAlive(conn));
        let link = Link {
            uid: handshake.uid,
            end,
            entry: peer,
            peer,
            source,
            received: 0,
            sent: 0,
            max: handshake.max,
            clock: handshake.ts,
            own_clock: now.unix,
            path: match end {
                End::Lower => handshake.path.clone(), // R1.5
                End::Upper | End::Turning => Vec::new(),
            },
            since: now.mono,
            heard: now.mono,
            suspected: None,
            wake,
            turn_by: None,
            label: None,
            lanes: Default::default(),
            ready: Default::default(),
            control: Default::default(),
            owed: 0,
            scan: None,
            busy: false,
            kept: 0,
        };
        self.peering.links.insert(conn, link);
        self.stats.links_opened += 1;
        self.conns.insert(conn, Conn::Link);
        let link = true;
        self.emit(Action::Resume { conn, link });
        self.notice(Notice::Linked {
            conn,
            node: handshake.uid,
            upstream: end == End::Lower,
            peer,
            source,
        });
    }

    /// Asks the upstream for a sign of life, at once: the path that it gave may be stale (R1.6).
    pub(crate) fn suspect(&mut self, now: Now) {
        let Some(conn) = self.peering.upstream else {
            return;
        };
        let Some(link) = self.peering.links.get_mut(&conn) else {
            return;
        };
        if link.suspected.is_some() {
            return; // It is asked already.
        }
        let due = now.mono + self.config.peering.ping_interval;
        self.timers.disarm(link.wake, Timer::KeepAlive(conn));
        link.suspected = Some(now.mono);
        link.wake = due;
        self.timers.arm(due, Timer::KeepAlive(conn));
        self.emit(Action::Ping { conn });
    }

    /// Pings a link, and gives it up when nothing has come for long (U1.6). It is pinged whether something
    /// comes or not: the other end may be sending one large message, and hear nothing else of us.
    pub(crate) fn keep_link_alive(&mut self, now: Now, conn: ConnId) {
        let interval = self.config.peering.ping_interval;
        let Some(link) = self.peering.links.get_mut(&conn) else {
            return;
        };
        link.suspected = link.suspected.filter(|asked| link.heard <= *asked);
        let patience = self.config.peering.suspect_timeout;
        let dead = link
            .suspected
            .is_some_and(|asked| asked + patience <= now.mono);
        if dead || link.heard + interval * SILENCE_MAX <= now.mono {
            return self.violated(now, conn, Violation::NoAnswer);
        }
        let date = link
            .own_clock
            .saturating_add(micros(now.mono.since(link.since)));
        if date.abs_diff(now.unix) > APART_MAX {
            // O1.7: our clock was set; whether others agree with it now is seen when a link opens.
            return self.close(now, conn, Closing::Restarting);
        }
        link.wake = now.mono + interval;
        self.timers.arm(link.wake, Timer::KeepAlive(conn));
        self.emit(Action::Ping { conn });
    }
}

/// Intervals of silence that end a link (U1.6).
const SILENCE_MAX: u32 = 4;
