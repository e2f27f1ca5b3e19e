//! Servers without peering that this one is bridged to: connections to them, and telling how that goes.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use mles_sansio::{BridgeId, BridgeTrouble, DialFault, DialId, Event, Notice, Role};
use runtime_common::address::Address;
use runtime_common::config::Peering;
use runtime_common::http::Upgrade;
use runtime_common::trusting::{Authorities, Trusting};
use runtime_smol::client::way::Way;

use crate::dialing::{self, Dialed};
use crate::door::Door;
use crate::driver::within;
use crate::worker::Worker;

/// On the node's thread.
pub(crate) struct Bridges {
    /// By id.
    addresses: Vec<Address>,
    trusting: Rc<Trusting>,
    /// What was in the way of each the last time.
    obstacles: RefCell<HashMap<BridgeId, String>>,
}

impl Bridges {
    /// Nothing, if there are none.
    ///
    /// # Errors
    ///
    /// One line that says what to do: this machine trusts nobody.
    pub(crate) fn new(peering: &Peering, trusting: &Rc<Trusting>) -> Result<Option<Self>, String> {
        if peering.bridges.is_empty() {
            return Ok(None);
        }
        trusting.tls(Authorities::Too, OPTIONS)?;
        Ok(Some(Self {
            addresses: peering.bridges.clone(),
            trusting: trusting.clone(),
            obstacles: RefCell::default(),
        }))
    }

    /// Opens a connection over a bridge, and tells the node what has come of it (B1.1).
    pub(crate) fn dial(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        door: &Arc<Door>,
        bridge: BridgeId,
        dial: DialId,
    ) {
        let (bridges, inner, door) = (self.clone(), worker.clone(), door.clone());
        let task = worker.executor.spawn(async move {
            let io = &inner.io;
            // Boxed, so that what a dial needs is gone when the connection stands.
            let dialed = Box::pin(async {
                let slow = || {
                    let why = "it did not answer in time".to_owned();
                    Err((DialFault::Unreachable, why))
                };
                within(dialing::TIMEOUT, bridges.open(bridge))
                    .await
                    .unwrap_or_else(slow)
            });
            let dialed = dialed.await;
            if door.stopping.load(Ordering::Relaxed) {
                return; // Nobody wants to know any more.
            }
            match dialed {
                Ok(dialed) => dialed.live(io, &door, Role::Bridged { dial }).await,
                Err((why, text)) => {
                    tracing::debug!("bridge {}: {text}", bridges.name(bridge));
                    bridges.obstacles.borrow_mut().insert(bridge, text);
                    io.report(Event::BridgeFailed { dial, why });
                }
            }
        });
        task.detach();
    }

    async fn open(&self, bridge: BridgeId) -> Result<Dialed, (DialFault, String)> {
        let address = &self.addresses[bridge.0 as usize];
        let tls = dialing::tls_now(&self.trusting, Authorities::Too, OPTIONS).await;
        let tls = tls.map_err(|error| (DialFault::Untrusted, error))?;
        let way = Way::new(address.clone(), tls, OPTIONS);
        let upgrade = Upgrade::new(address, None); // B1.3
        let (dialed, _) = dialing::open(&way, &upgrade).await?;
        Ok(dialed)
    }

    /// Logs what the node says of bridges. Says whether it was about that.
    pub(crate) fn log(&self, notice: &Notice) -> bool {
        match notice {
            Notice::Bridged { bridge } => {
                tracing::info!("bridged to {}", self.name(*bridge));
            }
            Notice::Unbridged { bridge } => {
                tracing::info!("the bridge to {} is down", self.name(*bridge));
            }
            Notice::BridgeTrouble { bridge, trouble } => {
                let (name, obstacles) = (self.name(*bridge), self.obstacles.borrow());
                match obstacles.get(bridge) {
                    Some(why) if matches!(trouble, BridgeTrouble::Dial(_)) => {
                        tracing::warn!("bridge {name} {trouble}: {why}");
                    }
                    Some(_) | None => tracing::warn!("bridge {name} {trouble}"),
                }
            }
            Notice::Joined { .. }
            | Notice::Left { .. }
            | Notice::Violated { .. }
            | Notice::Lagging { .. }
            | Notice::Expired { .. }
            | Notice::Linked { .. }
            | Notice::Unlinked { .. }
            | Notice::PeerTrouble { .. }
            | Notice::Root { .. }
            | Notice::NotRestored { .. }
            | Notice::Breach { .. } => return false,
        }
        true
    }

    fn name(&self, bridge: BridgeId) -> String {
        let address = self.addresses.get(bridge.0 as usize);
        address.map_or_else(|| bridge.to_string(), |address| format!("wss://{address}"))
    }
}

/// What the options begin with that say which servers to trust.
const OPTIONS: &str = "--peer-";
