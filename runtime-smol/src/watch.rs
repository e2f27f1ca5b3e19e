//! What may change while the server runs, and is looked at once in a while and when the operator asks for it:
//! certificates, and the places that name peers.

use std::future::pending;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_signal::Signals;
use runtime_common::certificates::{Certificates, log};
use runtime_common::life::LOOK;
use runtime_common::others::{OPTIONS, Others, PAGE_TIMEOUT, Page};
use runtime_common::peers_list::{self, Place};
use runtime_common::trusting::Authorities;
use runtime_smol::client::way::Way;
use runtime_smol::host::within;
use smol::Timer;
use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::stream::StreamExt;

use crate::dialing::tls_now;
use crate::worker::Worker;

/// Looks after the certificates for ever; each signal of `requests` has everything read again.
pub(crate) async fn certificates(mut certificates: Certificates, mut requests: Signals) {
    loop {
        let asked = next_look(&mut requests, LOOK).await;
        // Elsewhere: a file may be behind a network that has stopped.
        let remarks;
        (certificates, remarks) = smol::unblock(move || {
            let remarks = certificates.check(SystemTime::now(), asked);
            (certificates, remarks)
        })
        .await;
        log(remarks);
    }
}

/// Looks after the file of peers for ever; each signal of `requests` has it read again.
pub(crate) async fn peers_file(others: Arc<Others>, worker: Rc<Worker>, mut requests: Signals) {
    let Some(file) = others.file().cloned() else {
        return;
    };
    loop {
        let asked = next_look(&mut requests, LOOK).await;
        // Elsewhere: a file may be behind a network that has stopped.
        let file = file.clone();
        let read = smol::unblock(move || peers_list::read(&file)).await;
        if let Some(event) = others.take_in(Place::File, read, asked) {
            worker.io.report(event);
        }
    }
}

/// Looks after the page of peers for ever; each signal of `requests` has it fetched at once.
pub(crate) async fn peers_page(others: Arc<Others>, worker: Rc<Worker>, mut requests: Signals) {
    let Some(mut page) = others.page().cloned() else {
        return;
    };
    let mut asked = false;
    loop {
        let fetched = within(PAGE_TIMEOUT, Box::pin(fetch(&others, &page))).await;
        let (fetched, pause) = page.looked(fetched);
        if let Some(event) = others.take_in(Place::Url, fetched, asked) {
            worker.io.report(event);
        }
        asked = next_look(&mut requests, pause).await;
    }
}

/// What is on the page now. Its certificate may be one of those that peers may have, too.
async fn fetch(others: &Arc<Others>, page: &Page) -> Result<Vec<u8>, String> {
    let tls = tls_now(others, Authorities::Too).await?;
    let way = Way::new(page.address().clone(), tls, OPTIONS);
    let tcp = way.tcp().await.map_err(|error| error.text)?;
    let mut stream = way.tls(tcp).await.map_err(|error| error.text)?;
    let lost = |error| format!("it ended the connection ({error})");
    let mut fetch = page.fetch();
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

/// Waits until it is time to look again; says whether that was asked for.
async fn next_look(requests: &mut Signals, pause: Duration) -> bool {
    let asked = async {
        match requests.next().await {
            Some(Ok(_)) => true,
            Some(Err(_)) | None => pending().await,
        }
    };
    let waited = async {
        Timer::after(pause).await;
        false
    };
    smol::future::or(asked, waited).await
}
