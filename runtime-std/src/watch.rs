//! What may change while the server runs, and is looked at once in a while and when the operator asks for it:
//! certificates, and the places that name peers. A thread for each, for a file may be behind a network that has stopped.

use std::io::{Read, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime};

use runtime_common::certificates::{Certificates, log};
use runtime_common::life::LOOK;
use runtime_common::others::{OPTIONS, Others, PAGE_TIMEOUT, Page};
use runtime_common::peers_list::{self, Place};
use runtime_common::trusting::Authorities;
use runtime_std::client::way::{Timed, Way};
use rustls::Stream;

use crate::inbox::Inbox;

/// Looks after the certificates for ever; each of the `requests` has everything read again.
pub(crate) fn certificates(mut certificates: Certificates, requests: &Receiver<()>) {
    loop {
        let asked = next_look(requests, LOOK);
        log(certificates.check(SystemTime::now(), asked));
    }
}

/// Looks after the file of peers for ever; each of the `requests` has it read again.
pub(crate) fn peers_file(others: &Others, inbox: &Inbox, requests: &Receiver<()>) {
    let Some(file) = others.file() else {
        return;
    };
    loop {
        let asked = next_look(requests, LOOK);
        if let Some(event) = others.take_in(Place::File, peers_list::read(file), asked) {
            inbox.report(event);
        }
    }
}

/// Looks after the page of peers for ever; each of the `requests` has it fetched at once.
pub(crate) fn peers_page(others: &Others, inbox: &Inbox, requests: &Receiver<()>) {
    let Some(mut page) = others.page().cloned() else {
        return;
    };
    let mut asked = false;
    loop {
        let deadline = Instant::now() + PAGE_TIMEOUT;
        let fetched = fetch(others, &page, deadline);
        let (fetched, pause) = page.looked((Instant::now() < deadline).then_some(fetched));
        if let Some(event) = others.take_in(Place::Url, fetched, asked) {
            inbox.report(event);
        }
        asked = next_look(requests, pause);
    }
}

/// What is on the page now. Its certificate may be one of those that peers may have, too.
fn fetch(others: &Others, page: &Page, deadline: Instant) -> Result<Vec<u8>, String> {
    let tls = others.tls(Authorities::Too)?;
    let way = Way::new(page.address().clone(), tls, OPTIONS);
    let socket = way.tcp(deadline, &|| false)?;
    let mut tls = way.tls(&socket, deadline)?;
    let mut timed = Timed::new(&socket, deadline);
    let mut stream = Stream::new(&mut tls, &mut timed);
    let lost = |error| format!("it ended the connection ({error})");
    let mut fetch = page.fetch();
    stream.write_all(&fetch.request).map_err(lost)?;
    let mut buffer = [0; 4096];
    loop {
        // An end without TLS's goodbye is an error: what is missing may have been cut off.
        let count = stream.read(&mut buffer).map_err(lost)?;
        if count == 0 || fetch.take_in(&buffer[..count])? {
            return fetch.page();
        }
    }
}

/// Waits until it is time to look again; says whether that was asked for.
fn next_look(requests: &Receiver<()>, pause: Duration) -> bool {
    match requests.recv_timeout(pause) {
        Ok(()) => true,
        Err(RecvTimeoutError::Timeout) => false,
        Err(RecvTimeoutError::Disconnected) => {
            std::thread::sleep(pause);
            false
        }
    }
}
