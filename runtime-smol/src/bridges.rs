//! Servers without peering that this one is bridged to: connections to them.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use mles_sansio::{BridgeId, DialFault, DialId, Event, Role};
use runtime_common::config::Peering;
use runtime_common::door::Door;
use runtime_common::http::Upgrade;
use runtime_common::notices::Servers;
use runtime_common::trusting::{Authorities, Trusting};
use runtime_smol::client::way::Way;

use crate::dialing::{self, Dialed};
use crate::driver::within;
use crate::worker::Worker;

/// On the node's thread.
pub(crate) struct Bridges {
    trusting: Rc<Trusting>,
    servers: Rc<Servers>,
}

impl Bridges {
    /// Nothing, if there are none.
    ///
    /// # Errors
    ///
    /// One line that says what to do: this machine trusts nobody.
    pub(crate) fn new(
        peering: &Peering,
        trusting: &Rc<Trusting>,
        servers: &Rc<Servers>,
    ) -> Result<Option<Self>, String> {
        if peering.bridges.is_empty() {
            return Ok(None);
        }
        trusting.tls(Authorities::Too, OPTIONS)?;
        Ok(Some(Self {
            trusting: trusting.clone(),
            servers: servers.clone(),
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
                    bridges.servers.bridge_failed(bridge, text);
                    io.report(Event::BridgeFailed { dial, why });
                }
            }
        });
        task.detach();
    }

    async fn open(&self, bridge: BridgeId) -> Result<Dialed, (DialFault, String)> {
        let unknown = || (DialFault::Unreachable, "it is not known".to_owned());
        let address = self.servers.bridge(bridge).ok_or_else(unknown)?;
        let tls = dialing::tls_now(&self.trusting, Authorities::Too, OPTIONS).await;
        let tls = tls.map_err(|error| (DialFault::Untrusted, error))?;
        let way = Way::new(address.clone(), tls, OPTIONS);
        let upgrade = Upgrade::new(address, None); // B1.3
        let (dialed, _) = dialing::open(&way, &upgrade).await?;
        Ok(dialed)
    }
}

/// What the options begin with that say which servers to trust.
const OPTIONS: &str = "--peer-";
