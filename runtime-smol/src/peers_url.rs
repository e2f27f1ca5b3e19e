//! The list of peers on a page of the Web: fetched at the start, once in a while, and when the operator asks for it.

use std::rc::Rc;
use std::time::Duration;

use async_signal::Signals;
use runtime_common::config::{NamedUrl, Peering};
use runtime_common::http::Fetch;
use runtime_common::peers_list::{MAX_LIST, Place};
use runtime_common::trusting::{Authorities, Trusting};
use runtime_smol::client::way::Way;
use smol::Timer;
use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::stream::StreamExt;

use crate::dialing::{self, OPTIONS};
use crate::driver::within;
use crate::peers::Peers;
use crate::worker::Worker;

/// The page, and the way there.
pub(crate) struct PeersUrl {
    url: NamedUrl,
    trusting: Rc<Trusting>,
    interval: Duration,
}

impl PeersUrl {
    /// That of these settings, if they name one. Its certificate may be one of those that peers may have, too.
    ///
    /// # Errors
    ///
    /// One line that says what to do: this machine trusts nobody.
    pub(crate) fn new(peering: &Peering, trusting: &Rc<Trusting>) -> Result<Option<Self>, String> {
        let Some(url) = peering.url.clone() else {
            return Ok(None);
        };
        trusting.tls(Authorities::Too, OPTIONS)?;
        Ok(Some(Self {
            trusting: trusting.clone(),
            interval: peering.url_interval,
            url,
        }))
    }

    /// What is there now.
    async fn fetch(&self) -> Result<Vec<u8>, String> {
        let slow = || Err("it did not answer in time".to_owned());
        let fetched = within(TIMEOUT, Box::pin(self.read())).await;
        let NamedUrl { name, .. } = &self.url;
        fetched
            .unwrap_or_else(slow)
            .map_err(|why| format!("{name}: '{}': {why}", self.url))
    }

    async fn read(&self) -> Result<Vec<u8>, String> {
        let tls = dialing::tls_now(&self.trusting, Authorities::Too).await?;
        let way = Way::new(self.url.address.clone(), tls, OPTIONS);
        let tcp = way.tcp().await.map_err(|error| error.text)?;
        let mut stream = way.tls(tcp).await.map_err(|error| error.text)?;
        let lost = |error| format!("it ended the connection ({error})");
        let mut fetch = Fetch::new(&self.url.address, MAX_LIST);
        stream.write_all(&fetch.request).await.map_err(lost)?;
        stream.flush().await.map_err(lost)?;
        let mut buffer = [0; 4096];
        loop {
            // An end without TLS's goodbye is an error: what is missing may have been cut off.
            let count = stream.read(&mut buffer).await.map_err(lost)?;
            if count == 0 || fetch.take_in(&buffer[..count])? {
                return fetch.page();
            }
        }
    }
}

/// Looks after the page for ever; each signal of `requests` has it fetched at once.
pub(crate) async fn watch(peers: Rc<Peers>, worker: Rc<Worker>, mut requests: Signals) {
    let Some(page) = &peers.page else {
        return;
    };
    let mut asked = false;
    // The pause after a look in vain; none after another one.
    let mut pause = None;
    loop {
        let fetched = page.fetch().await;
        pause = match fetched {
            Ok(_) => None,
            Err(_) => Some(longer(pause).min(page.interval)),
        };
        peers.take_in(&worker, Place::Url, fetched, asked);
        let wish = async {
            match requests.next().await {
                Some(Ok(_)) => true,
                Some(Err(_)) | None => smol::future::pending().await,
            }
        };
        let waited = async {
            Timer::after(pause.unwrap_or(page.interval)).await;
            false
        };
        asked = smol::future::or(wish, waited).await;
    }
}

/// The pause after a look in vain that came behind this one: twice as long each time.
fn longer(pause: Option<Duration>) -> Duration {
    pause.map_or(FIRST_PAUSE, |pause| pause * 2)
}

/// Time for the page, all in all.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The pause after the first look in vain.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
