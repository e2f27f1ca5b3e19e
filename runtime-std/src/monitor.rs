//! How it is told what the server counts: in the log, and to who asks for metrics.

use std::io::{self, Read};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use runtime_common::metrics::Meter;
use runtime_common::metrics::scrape::{BACK_OFF, CONNECTIONS, PACE, PATIENCE, REPORT, Scrape};
use runtime_std::client::way::Timed;

use crate::driver::farewell;
use crate::thread::{self, SERVICE};

/// Serves metrics, on as many threads as there may be connections.
pub(crate) fn serve(meter: &Arc<Meter>, listener: TcpListener) -> io::Result<()> {
    let address = listener.local_addr()?;
    let listener = Arc::new(Mutex::new(listener));
    for _ in 0..CONNECTIONS {
        let (meter, listener) = (meter.clone(), listener.clone());
        thread::spawn("metrics", SERVICE, move || {
            loop {
                if let Some(stream) = next(&listener) {
                    let _ = answer(&stream, &meter);
                }
            }
        })?;
    }
    tracing::info!("metrics are at http://{address}/metrics");
    Ok(())
}

/// Waits for who asks next, and lets a little time pass.
fn next(listener: &Mutex<TcpListener>) -> Option<TcpStream> {
    let listener = listener.lock().unwrap_or_else(PoisonError::into_inner);
    let accepted = listener.accept();
    let pause = match &accepted {
        Ok(_) => PACE,
        Err(error) => {
            tracing::debug!("metrics: {error}");
            BACK_OFF
        }
    };
    std::thread::sleep(pause);
    accepted.ok().map(|(stream, _)| stream)
}

/// Reads one request and answers it.
fn answer(stream: &TcpStream, meter: &Meter) -> io::Result<()> {
    let mut timed = Timed::new(stream, Instant::now() + PATIENCE);
    let mut scrape = Scrape::default();
    let mut buffer = [0; 1024];
    loop {
        let room = scrape.room().min(buffer.len());
        let count = timed.read(&mut buffer[..room])?;
        let metrics = || meter.snapshot().exposition();
        if let Some(response) = scrape.take_in(&buffer[..count], metrics) {
            farewell(stream, None, &response);
            return Ok(());
        }
    }
}

/// Logs what is counted, for each of the `wishes` and once in a while.
pub(crate) fn report(meter: &Meter, wishes: &Receiver<()>) {
    loop {
        let _ = wishes.recv_timeout(REPORT);
        tracing::info!("{}", meter.snapshot().line());
    }
}
