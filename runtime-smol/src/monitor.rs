//! How it is told what the server counts: in the log, and to who asks for metrics.

use std::future::pending;
use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;

use async_signal::Signals;
use runtime_common::metrics::Meter;
use runtime_common::metrics::scrape::{BACK_OFF, CONNECTIONS, PACE, PATIENCE, REPORT, Scrape};
use runtime_smol::host::{farewell, within};
use smol::io::AsyncReadExt;
use smol::lock::Semaphore;
use smol::stream::StreamExt;
use smol::{Async, LocalExecutor, Timer};

use crate::socket::Socket;

/// Serves metrics. Never ends.
pub(crate) async fn serve(meter: Arc<Meter>, listener: Async<TcpListener>) {
    if let Ok(address) = listener.get_ref().local_addr() {
        tracing::info!("metrics are at http://{address}/metrics");
    }
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let executor = Rc::new(LocalExecutor::new());
    let accepting = async {
        loop {
            let place = room.acquire_arc().await;
            let pause = match listener.accept().await {
                Ok((stream, _)) => {
                    let mut stream = Socket::new(stream);
                    let meter = meter.clone();
                    let serve = async move {
                        let _ = within(PATIENCE, answer(&mut stream, &meter)).await;
                        drop(place);
                    };
                    executor.spawn(serve).detach();
                    PACE
                }
                Err(error) => {
                    tracing::debug!("metrics: {error}");
                    BACK_OFF
                }
            };
            Timer::after(pause).await;
        }
    };
    executor.run(accepting).await
}

/// Reads one request and answers it.
async fn answer(stream: &mut Socket, meter: &Meter) -> io::Result<()> {
    let mut scrape = Scrape::default();
    let mut buffer = [0; 1024];
    loop {
        let room = scrape.room().min(buffer.len());
        let count = stream.read(&mut buffer[..room]).await?;
        let metrics = || meter.snapshot().exposition();
        if let Some(response) = scrape.take_in(&buffer[..count], metrics) {
            farewell(stream, &response, |it| it).await;
            return Ok(());
        }
    }
}

/// Logs what is counted, for each signal of `wishes` and once in a while. Never ends.
pub(crate) async fn report(meter: Arc<Meter>, mut wishes: Signals) {
    loop {
        let wish = async {
            if wishes.next().await.is_none() {
                pending().await
            }
        };
        smol::future::or(wish, async {
            Timer::after(REPORT).await;
        })
        .await;
        tracing::info!("{}", meter.snapshot().line());
    }
}
