//! Limits before TLS: who may connect, and who must go when too many are there. Pure; the time is passed in.
//!
//! A connection is *pending* from its admission until its WebSocket upgrade, and a *session* from then until it is
//! closed. The runtime calls [`Gatekeeper::admit`] after `accept`, [`Gatekeeper::became_session`] before it answers an
//! upgrade with 101, and [`Gatekeeper::closed`] once for whatever it admitted.
//!
//! **Memory.** Nobody can grow it: there is an entry per connection that exists, and at most as many sources as
//! connections, so that [`Limits::filelimit`] and [`Limits::max_sessions`] bound it; the table of rates is fixed.
//! **Time.** Every call is O(log n) in the number of connections, under attack too.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::hash::RandomState;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;
use std::time::Duration;

mod descriptors;
mod rate;

pub use descriptors::{Descriptors, RESERVED, descriptors, raise_descriptors};
pub use rate::RATE_BUCKETS;

use rate::Rate;

/// What counts as one source of connections: an IPv4 address, or an IPv6 /64, which is what one customer gets. An
/// IPv4 address in its IPv6 form is the IPv4 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Source(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Kind {
    V4(Ipv4Addr),
    /// The upper half of the address.
    V6(u64),
    /// `::1` alone, which must not make its /64 a loopback.
    V6Loopback,
}

impl Source {
    /// The source of a connection from this address.
    pub fn of(address: IpAddr) -> Source {
        Source(match address.to_canonical() {
            IpAddr::V4(v4) => Kind::V4(v4),
            IpAddr::V6(Ipv6Addr::LOCALHOST) => Kind::V6Loopback,
            IpAddr::V6(v6) => Kind::V6((v6.to_bits() >> 64) as u64),
        })
    }

    /// The source as a number, for the core: the address in its IPv6 form, of a /64 its first.
    pub fn key(self) -> u128 {
        match self.0 {
            Kind::V4(v4) => v4.to_ipv6_mapped().to_bits(),
            Kind::V6(prefix) => u128::from(prefix) << 64,
            Kind::V6Loopback => Ipv6Addr::LOCALHOST.to_bits(),
        }
    }

    /// The source that has this key.
    pub fn of_key(key: u128) -> Source {
        Source::of(Ipv6Addr::from_bits(key).into())
    }

    /// Whether it is this machine itself.
    pub fn is_loopback(self) -> bool {
        match self.0 {
            Kind::V4(v4) => v4.is_loopback(),
            Kind::V6(_) => false,
            Kind::V6Loopback => true,
        }
    }
}

/// `192.0.2.1` or `2001:db8::/64`.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Kind::V4(v4) => v4.fmt(f),
            Kind::V6(prefix) => write!(f, "{}/64", Ipv6Addr::from_bits(u128::from(prefix) << 64)),
            Kind::V6Loopback => Ipv6Addr::LOCALHOST.fmt(f),
        }
    }
}

/// The limits that a [`Gatekeeper`] keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Pending connections at once, of all sources; 0 counts as 1.
    pub filelimit: u32,
    /// Sessions at once, of all sources; 0 lets none in.
    pub max_sessions: u32,
    /// Connections at once, pending or sessions, of one source that is not loopback; `None` is no limit.
    pub per_ip_limit: Option<NonZeroU32>,
    /// New connections a minute of one source, in bursts of as many; `None` is no limit. Loopback is not exempt: it is
    /// off unless asked for, and then does what it says (behind a proxy on the same machine it must stay off).
    pub rate_limit: Option<NonZeroU32>,
}

/// A connection was admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a connection may have to be closed for this one"]
pub struct Admitted {
    /// The pending connection that had to give way: close it at once. It counts no more, and
    /// [`Gatekeeper::became_session`] refuses it, should it be about to upgrade at this moment.
    pub evict: Option<u64>,
}

/// Why a connection was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Its source opens connections too fast: close it.
    Rate,
    /// Its source has as many connections as it may: close it.
    PerIp,
    /// There are as many sessions as there may be: answer the upgrade with 503.
    Sessions,
    /// It is not pending: it was evicted, or closed.
    NotPending,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refused::Rate => "too many new connections from its source (--rate-limit)",
            Refused::PerIp => "too many connections from its source (--per-ip-limit)",
            Refused::Sessions => "too many sessions (--max-sessions)",
            Refused::NotPending => "it gave way to a newer one (--filelimit), or has ended",
        })
    }
}

/// Keeps the [`Limits`]. Connections are named by numbers of the caller's choice; one is free again after
/// [`Gatekeeper::closed`], also for a connection that was evicted.
///
/// When [`Limits::filelimit`] is reached, a newcomer is let in all the same and the oldest pending connection of the
/// source that holds most of them, the newcomer counted, gives way: a source that opens connections and does nothing
/// with them displaces its own, and locks nobody else out. Loopback is a source like any other here.
#[derive(Debug)]
pub struct Gatekeeper {
    limits: Limits,
    rate: Option<Rate>,
    connections: HashMap<u64, Connection>,
    sources: HashMap<Source, Holdings>,
    /// The sources with pending connections, the one to take from last: most first, then the oldest connection.
    ranking: BTreeSet<Rank>,
    pending: u32,
    /// The next ticket: pending connections in the order of their admission.
    next: u64,
}

#[derive(Debug)]
struct Connection {
    source: Source,
    /// The ticket while it is pending, `None` for a session.
    pending: Option<u64>,
}

/// What one source has.
#[derive(Debug, Default)]
struct Holdings {
    sessions: u32,
    /// Ticket → connection.
    pending: BTreeMap<u64, u64>,
}

/// By pending connections, then by the age of the oldest: the last is the first to give way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    pending: usize,
    oldest: std::cmp::Reverse<u64>,
    source: Source,
}

impl Gatekeeper {
    /// A gatekeeper with no connections. `hasher` places sources in the table of rates; a fresh one for each start
    /// (`RandomState::new()`) keeps others from aiming.
    pub fn new(limits: Limits, hasher: RandomState) -> Gatekeeper {
        Gatekeeper {
            limits,
            rate: limits
                .rate_limit
                .map(|per_minute| Rate::new(per_minute, hasher)),
            connections: HashMap::new(),
            sources: HashMap::new(),
            ranking: BTreeSet::new(),
            pending: 0,
            next: 0,
        }
    }

    /// A connection was accepted from `source`, at `now` since some fixed moment; it is pending from here on.
    ///
    /// # Errors
    /// [`Refused::Rate`] or [`Refused::PerIp`]: close it; it was not counted. A `connection` that is known already is
    /// a mistake of the caller: refused as [`Refused::NotPending`] (and a debug assertion).
    pub fn admit(
        &mut self,
        connection: u64,
        source: Source,
        now: Duration,
    ) -> Result<Admitted, Refused> {
        debug_assert!(
            !self.connections.contains_key(&connection),
            "connection {connection} is known"
        );
        if self.connections.contains_key(&connection) {
            return Err(Refused::NotPending);
        }
        if self
            .rate
            .as_mut()
            .is_some_and(|rate| !rate.take(source, now))
        {
            return Err(Refused::Rate);
        }
        if let Some(limit) = self.limits.per_ip_limit
            && !source.is_loopback()
            && self.held(source) >= u64::from(limit.get())
        {
            return Err(Refused::PerIp);
        }
        let full = self.pending >= self.limits.filelimit.max(1);
        let evict = if full { self.to_evict(source) } else { None };
        if let Some(oldest) = evict {
            self.closed(oldest);
        }
        let ticket = self.next;
        self.next += 1;
        self.connections.insert(
            connection,
            Connection {
                source,
                pending: Some(ticket),
            },
        );
        self.change(source, |holdings| {
            holdings.pending.insert(ticket, connection);
        });
        self.pending += 1;
        Ok(Admitted { evict })
    }

    /// A pending connection is about to be upgraded to a WebSocket; it is a session from here on.
    ///
    /// # Errors
    /// [`Refused::Sessions`]: answer 503; it stays pending. [`Refused::NotPending`]: it was evicted, close it.
    pub fn became_session(&mut self, connection: u64) -> Result<(), Refused> {
        let sessions = self.sessions();
        let Some(Connection { source, pending }) = self.connections.get_mut(&connection) else {
            return Err(Refused::NotPending);
        };
        let source = *source;
        let Some(ticket) = *pending else {
            return Err(Refused::NotPending);
        };
        if sessions >= self.limits.max_sessions {
            return Err(Refused::Sessions);
        }
        *pending = None;
        self.pending -= 1;
        self.change(source, |holdings| {
            holdings.pending.remove(&ticket);
            holdings.sessions += 1;
        });
        Ok(())
    }

    /// A connection, pending or session, is gone. Nothing happens for one that was refused or evicted.
    pub fn closed(&mut self, connection: u64) {
        let Some(Connection { source, pending }) = self.connections.remove(&connection) else {
            return;
        };
        self.pending -= u32::from(pending.is_some());
        self.change(source, |holdings| match pending {
            Some(ticket) => drop(holdings.pending.remove(&ticket)),
            None => holdings.sessions -= 1,
        });
    }

    /// Connections that are not sessions (yet).
    pub fn pending(&self) -> u32 {
        self.pending
    }

    /// Sessions.
    pub fn sessions(&self) -> u32 {
        // Bounded by `filelimit` and `max_sessions`, both u32.
        u32::try_from(self.connections.len()).unwrap_or(u32::MAX) - self.pending
    }

    /// Connections of a source.
    fn held(&self, source: Source) -> u64 {
        self.sources
            .get(&source)
            .map_or(0, |it| u64::from(it.sessions) + it.pending.len() as u64)
    }

    /// Who gives way to a newcomer of this source.
    fn to_evict(&self, newcomer: Source) -> Option<u64> {
        let most = self.ranking.last()?;
        let own = self.sources.get(&newcomer).map_or(0, |it| it.pending.len());
        // More than the most means at least two with the newcomer, so that there is an oldest to give way.
        let source = if own + 1 > most.pending {
            newcomer
        } else {
            most.source
        };
        self.sources.get(&source)?.pending.values().next().copied()
    }

    /// Changes what a source has, keeps the ranking in step, and forgets a source that has nothing.
    fn change(&mut self, source: Source, change: impl FnOnce(&mut Holdings)) {
        let holdings = self.sources.entry(source).or_default();
        if let Some(rank) = holdings.rank(source) {
            self.ranking.remove(&rank);
        }
        change(holdings);
        match holdings.rank(source) {
            Some(rank) => drop(self.ranking.insert(rank)),
            None if holdings.sessions == 0 => drop(self.sources.remove(&source)),
            None => {}
        }
    }
}

impl Holdings {
    /// Its place in the ranking; none without pending connections.
    fn rank(&self, source: Source) -> Option<Rank> {
        let (oldest, _) = self.pending.first_key_value()?;
        Some(Rank {
            pending: self.pending.len(),
            oldest: std::cmp::Reverse(*oldest),
            source,
        })
    }
}

#[cfg(test)]
mod tests;
