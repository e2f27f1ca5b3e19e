//! When the certificates are looked after: every few seconds, and when the operator asks for it.

use std::time::{Duration, SystemTime};

use async_signal::Signals;
use runtime_common::certificates::{Certificates, log};
use smol::Timer;
use smol::stream::StreamExt;

/// Looks after them for ever; each signal of `requests` has everything read again.
pub(crate) async fn watch(mut certificates: Certificates, mut requests: Signals) {
    loop {
        let asked = next_look(&mut requests).await;
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

/// Waits until files are to be looked at again; says whether that was asked for.
pub(crate) async fn next_look(requests: &mut Signals) -> bool {
    let asked = async {
        match requests.next().await {
            Some(Ok(_)) => true,
            Some(Err(_)) | None => smol::future::pending().await,
        }
    };
    let waited = async {
        Timer::after(INTERVAL).await;
        false
    };
    smol::future::or(asked, waited).await
}

/// The time between two looks at the files.
const INTERVAL: Duration = Duration::from_secs(3);
