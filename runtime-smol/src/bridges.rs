//! Servers without peering that this one is bridged to: connections to them.

use std::rc::Rc;
use std::sync::Arc;

use mles_sansio::{BridgeId, DialFault, DialId, Event, Role};
use runtime_common::config::Peering;
use runtime_common::door::Door;
use runtime_common::http::Upgrade;
use runtime_common::notices::Servers;
use runtime_common::trusting::{Authorities, Trusting};
use runtime_smol::client::way::Way;

use crate::dialing::{self, Dialed, OPTIONS};
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
        let (bridges, servers) = (self.clone(), self.servers.clone());
        let opening = async move {
            let dialed = bridges.open(bridge).await?;
            Ok((dialed, Role::Bridged { dial }))
        };
        dialing::spawn(worker, door, opening, move |why, text| {
            servers.bridge_failed(bridge, text);
            Event::BridgeFailed { dial, why }
        });
    }

    async fn open(&self, bridge: BridgeId) -> Result<Dialed, (DialFault, String)> {
        let unknown = || (DialFault::Unreachable, "it is not known".to_owned());
        let address = self.servers.bridge(bridge).ok_or_else(unknown)?;
        let tls = dialing::tls_now(&self.trusting, Authorities::Too).await;
        let tls = tls.map_err(|error| (DialFault::Untrusted, error))?;
        let way = Way::new(address.clone(), tls, OPTIONS);
        let upgrade = Upgrade::new(address, None); // B1.3
        let (dialed, _) = dialing::open(&way, &upgrade).await?;
        Ok(dialed)
    }
}
