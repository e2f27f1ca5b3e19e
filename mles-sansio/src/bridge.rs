//! Bridges: a server that knows no peering sees this node as one more client on each channel
//! (spec/peering.md, section "Bridges").
//!
//! A [`Crossing`] is one channel at one such server: a [`Client`](crate::client::Client), which dials, recognises
//! replays and sends again what was lost, and what the node's history has to do with that server's. `wanted` has
//! which channels are bridged, `connections` how they are dialed and end, `messages` what goes to and fro;
//! `catching_up` is about two histories that meet, `repeats` about loops.

use crate::action::GroupId;
use crate::event::{BridgeId, ConnId, DialId, Name};
use crate::node::Node;
use crate::notice::{BridgeTrouble, Notice};
use crate::seed::Seed;
#[cfg(debug_assertions)]
use crate::session::Conn;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use crossing::Crossing;

mod catching_up;
mod connections;
mod crossing;
mod messages;
mod repeats;
mod wanted;

/// A channel at the other end of a bridge.
pub(crate) type Key = (BridgeId, GroupId);

/// What a node knows of the servers that it is bridged to.
#[derive(Clone, Debug)]
pub(crate) struct Bridges {
    seed: Seed,
    /// Secret, so that nobody can make two messages that look alike.
    digest_key: [u8; 16],
    all: Vec<Bridge>,
    /// Dials that the runtime has not answered, and the name of each at its client.
    dials: BTreeMap<DialId, (Key, ConnId)>,
    next_dial: u64,
    /// Crossings made so far: each has a seed of its own.
    made: u64,
    /// Channels of which somebody may want or leave a crossing.
    awake: BTreeSet<GroupId>,
    /// All channels are looked at, from here on.
    scan: Option<GroupId>,
}

#[derive(Clone, Debug)]
struct Bridge {
    /// Its address, which is the uid of what comes from there (B1.5).
    name: Name,
    crossings: BTreeMap<GroupId, Crossing>,
    /// Channels that are wanted, and there is no room for them.
    crowded: BTreeSet<GroupId>,
    dialing: usize,
    /// Channels that wait for one of those dials to be over.
    line: VecDeque<GroupId>,
    open: usize,
    /// Messages that are as long as this are too long for it, as far as is known (B1.10).
    too_long: usize,
    /// What was in the way when it was last told of.
    trouble: Option<BridgeTrouble>,
}

impl Bridges {
    pub(crate) fn new(seed: &Seed, names: &[Name]) -> Self {
        let bridge = |name: &Name| Bridge {
            name: name.clone(),
            crossings: BTreeMap::new(),
            crowded: BTreeSet::new(),
            dialing: 0,
            line: VecDeque::new(),
            open: 0,
            too_long: usize::MAX,
            trouble: None,
        };
        let mut digest_key = [0; 16];
        for (half, index) in digest_key.chunks_mut(8).zip(0..) {
            half.copy_from_slice(&seed.block("bridge digest", index).to_le_bytes());
        }
        Self {
            seed: *seed,
            digest_key,
            all: names.iter().map(bridge).collect(),
            dials: BTreeMap::new(),
            next_dial: 0,
            made: 0,
            awake: BTreeSet::new(),
            scan: None,
        }
    }

    /// Somebody may want this channel now, or nobody any more.
    pub(crate) fn look(&mut self, group: GroupId) {
        if !self.all.is_empty() {
            self.awake.insert(group);
        }
    }

    /// What all channels wait for has changed.
    pub(crate) fn look_at_all(&mut self) {
        if !self.all.is_empty() {
            self.scan = Some(GroupId(0));
        }
    }

    /// All of them.
    fn ids(&self) -> impl Iterator<Item = BridgeId> + use<> {
        (0..u32::try_from(self.all.len()).unwrap_or(u32::MAX)).map(BridgeId)
    }

    fn get(&mut self, (bridge, _): Key) -> Option<&mut Bridge> {
        self.all.get_mut(bridge.0 as usize)
    }

    fn crossing(&mut self, key: Key) -> Option<&mut Crossing> {
        self.get(key)?.crossings.get_mut(&key.1)
    }

    /// Connections that stand.
    pub(crate) fn connections(&self) -> u64 {
        self.all.iter().map(|bridge| bridge.open as u64).sum()
    }

    #[cfg(debug_assertions)]
    pub(crate) fn timers(&self) -> usize {
        let crossings = self.all.iter().flat_map(|bridge| bridge.crossings.values());
        crossings
            .filter(|crossing| crossing.armed.is_some())
            .count()
    }

    /// Panics if what is counted is not so.
    #[cfg(debug_assertions)]
    pub(crate) fn check(&self, conns: &BTreeMap<ConnId, Conn>) {
        let mut open = 0;
        for (bridge, id) in self.all.iter().zip(0..) {
            let crossings = || bridge.crossings.iter();
            let dialing = crossings().filter(|(_, it)| it.dialing.is_some()).count();
            assert_eq!(dialing, bridge.dialing, "invariant 11: dials");
            for (group, crossing) in crossings() {
                let waits = crossing.in_line;
                assert!(!waits || bridge.line.contains(group), "invariant 11: line");
                let Some((conn, _)) = crossing.conn else {
                    continue;
                };
                open += 1;
                let key = (BridgeId(id), *group);
                let known = matches!(conns.get(&conn), Some(Conn::Bridge(it)) if *it == key);
                assert!(known, "invariant 11: {conn:?} is no connection of a bridge");
            }
        }
        assert_eq!(open, self.connections(), "invariant 11: connections");
        let conns = conns.values();
        let conns = conns.filter(|conn| matches!(conn, Conn::Bridge(_))).count();
        assert_eq!(open, conns as u64, "invariant 11");
    }
}

impl Node {
    /// Tells what is in the way of a bridge, when it is something else than before.
    fn bridge_trouble(&mut self, key: Key, trouble: BridgeTrouble) {
        let Some(bridge) = self.bridges.get(key) else {
            return;
        };
        // One channel may still be in trouble when others are not.
        let told = bridge.trouble.replace(trouble) == Some(trouble);
        if !told {
            let bridge = key.0;
            self.notice(Notice::BridgeTrouble { bridge, trouble });
        }
    }
}
