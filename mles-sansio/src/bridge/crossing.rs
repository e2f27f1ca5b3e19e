//! One channel at the far side of a bridge.

use alloc::vec::{self, Vec};
use core::time::Duration;

use super::catching_up::CatchingUp;
use super::repeats::Repeats;
use crate::auth::Key;
use crate::client::{Client, ClientAction, ClientConfig, ClientEvent};
use crate::event::{ConnId, DialId, Entry, Name};
use crate::frame::Frame;
use crate::seed::{NodeId, Seed};
use crate::time::{Instant, Now};
use crate::violation::Violation;

#[derive(Clone, Debug)]
pub(super) struct Crossing {
    client: Client,
    /// The connection, at the node and at the client.
    pub(super) conn: Option<(ConnId, ConnId)>,
    pub(super) dialing: Option<DialId>,
    stage: Stage,
    pub(super) repeats: Repeats,
    /// Nobody wants the channel any more: until then it lingers (B1.2).
    pub(super) unwanted: Option<Instant>,
    /// Too many dials are under way: it is in line.
    pub(super) in_line: bool,
    pub(super) armed: Option<Instant>,
}

/// How far the two histories know each other (B1.6, B1.7).
#[derive(Clone, Debug)]
enum Stage {
    /// There was no connection yet: what is accepted here waits in the history.
    Apart,
    /// The first replay is coming.
    CatchingUp(CatchingUp),
    /// What is accepted on one side goes to the other.
    Together,
}

/// Whether a message that is to cross has to wait.
pub(super) enum Waits {
    No,
    Yes,
    /// There is no room for it.
    Lost,
}

impl Crossing {
    pub(super) fn new(
        node: NodeId,
        channel: &Name,
        key: Option<&Key>,
        seed: &Seed,
    ) -> Result<Self, Violation> {
        let uid: Name = alloc::format!("{node}").into();
        let config = ClientConfig {
            key: key.cloned(),
            patient: true,
            queue_messages: QUEUE_MESSAGES,
            queue_bytes: QUEUE_BYTES,
            remember: REMEMBERED,
            settle: SETTLE,
            ..ClientConfig::new(uid, channel.clone())
        };
        Ok(Self {
            client: Client::new(config, seed)?,
            conn: None,
            dialing: None,
            stage: Stage::Apart,
            repeats: Repeats::default(),
            unwanted: None,
            in_line: false,
            armed: None,
        })
    }

    pub(super) fn handle(&mut self, now: Now, event: ClientEvent) -> vec::IntoIter<ClientAction> {
        let actions: Vec<ClientAction> = self.client.handle(now, event).collect();
        actions.into_iter()
    }

    /// When something is to be done.
    pub(super) fn due(&self) -> Option<Instant> {
        let client = self.client.next_timeout().filter(|_| !self.in_line);
        [client, self.unwanted].into_iter().flatten().min()
    }

    pub(super) fn client_is_due(&self, now: Instant) -> bool {
        self.client.next_timeout().is_some_and(|at| at <= now)
    }

    /// Whether nothing is left that a connection could bring across.
    pub(super) fn is_done(&self) -> bool {
        let catching_up = matches!(self.stage, Stage::CatchingUp(_));
        self.conn.is_none() || !catching_up && self.client.unconfirmed() == 0
    }

    /// How long a message is that the other end may have found too long.
    pub(super) fn longest_in_doubt(&self) -> Option<usize> {
        self.client.longest_in_doubt()
    }

    /// It is tried at that time, and not before, also if the other end has refused it for good.
    pub(super) fn again(&mut self, at: Instant, too_long: usize) {
        self.client.go_on(at, too_long);
    }

    /// The first connection stands: what the history has now is compared with what comes.
    pub(super) fn meet<'a>(
        &mut self,
        history: impl Iterator<Item = &'a Entry>,
        bridge: &Name,
        digest_key: &[u8; 16],
    ) {
        if let Stage::Apart = self.stage {
            let channel = &self.client.config().channel;
            let here = CatchingUp::new(history, channel, bridge, digest_key);
            self.stage = Stage::CatchingUp(here);
        }
    }

    /// Whether this is the uid of the node's session there.
    pub(super) fn is_own(&self, uid: &Name) -> bool {
        self.client.config().uid == *uid
    }

    /// Whether a message that came is one that this node had before they met.
    pub(super) fn knows(&mut self, digest: u64) -> bool {
        match &mut self.stage {
            Stage::CatchingUp(here) => here.knows(digest),
            Stage::Apart | Stage::Together => false,
        }
    }

    /// Whether a message that is accepted now has to wait until the histories know each other.
    pub(super) fn wait(&mut self, frame: &Frame) -> Waits {
        match &mut self.stage {
            Stage::Apart => Waits::Yes, // In the history.
            Stage::CatchingUp(here) => match here.wait(frame) {
                true => Waits::Yes,
                false => Waits::Lost,
            },
            Stage::Together => Waits::No,
        }
    }

    /// The first replay is over: what is to be sent now.
    pub(super) fn caught_up(&mut self) -> Vec<Frame> {
        if let Stage::CatchingUp(_) = self.stage
            && let Stage::CatchingUp(here) = core::mem::replace(&mut self.stage, Stage::Together)
        {
            return here.missing();
        }
        Vec::new()
    }
}

/// Bytes of messages that wait on one channel, or may still be lost with their connection.
pub(super) const QUEUE_BYTES: usize = 4 << 20;
pub(super) const QUEUE_MESSAGES: usize = 16_384;

/// Messages of the other end that are recognised when a replay repeats them: more than most servers keep.
const REMEMBERED: usize = 4096;

/// How long a connection has to live after a message was written for it to count as accepted: the runtime
/// reports one as lost whose bytes are not acknowledged in that time.
const SETTLE: Duration = Duration::from_secs(10);
