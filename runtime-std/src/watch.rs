//! What may change while the server runs, and is looked at once in a while and when the operator asks for it:
//! certificates, and the places that name peers. A thread for each, for a file may be behind a network that has stopped.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, SystemTime};

use runtime_common::certificates::{Certificates, log};
use runtime_common::life::LOOK;
use runtime_common::others::Others;
use runtime_common::peers_list::{self, Place};

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
