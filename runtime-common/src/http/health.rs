//! What `/healthz` says beside that the server is well: how it is linked to others.

use std::sync::atomic::{AtomicU64, Ordering};

use mles_sansio::Stats;

/// The links of a server to others, as of the last that the node said: for all threads.
#[derive(Debug, Default)]
pub struct Health {
    /// Whether the server is, or may be, part of a network.
    peering: bool,
    links: AtomicU64,
    upstreams: AtomicU64,
    hops: AtomicU64,
}

impl Health {
    /// Of a server that has peers or takes them, or not.
    #[must_use]
    pub fn new(peering: bool) -> Self {
        Self {
            peering,
            ..Self::default()
        }
    }

    /// Takes note of how it is.
    pub fn note(&self, stats: &Stats) {
        self.links.store(stats.links, Ordering::Relaxed);
        self.upstreams.store(stats.upstreams, Ordering::Relaxed);
        self.hops.store(stats.hops, Ordering::Relaxed);
    }

    /// The text; its first line says that the server is well.
    pub(super) fn text(&self) -> String {
        if !self.peering {
            return "ok\n".to_owned();
        }
        let now = |number: &AtomicU64| number.load(Ordering::Relaxed);
        format!(
            "ok\nlinks={} upstream={} hops={}\n",
            now(&self.links),
            now(&self.upstreams),
            now(&self.hops)
        )
    }
}
