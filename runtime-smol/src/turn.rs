//! The turn: what the connections read goes through the node, and what the node answers goes out.
//! One turn handles everything that was ready, so that what is for one connection leaves in one write.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mles_sansio::{Action, Event, Node, Notice, Now};
use smol::Timer;
use smol::io::{AsyncRead, AsyncWrite};

use crate::io_thread::IoThread;

/// The node's two clocks.
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    pub(crate) fn now(&self) -> Now {
        let unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Now {
            mono: mles_sansio::Instant::from_micros(micros(self.start.elapsed())),
            unix: micros(unix),
        }
    }

    fn at(&self, moment: mles_sansio::Instant) -> Instant {
        self.start + Duration::from_micros(moment.as_micros())
    }
}

/// Runs turns until the node was shut down and its last connection is gone.
pub(crate) async fn run<S: AsyncRead + AsyncWrite + Unpin>(
    io: &IoThread<S>,
    node: &mut Node,
    clock: &Clock,
    stopping: &Cell<bool>,
) {
    let mut timer = Timer::never();
    let mut armed = None;
    let mut due = false;
    poll_fn(|cx| {
        loop {
            let mut events = io.take_events(cx.waker());
            if std::mem::take(&mut due) {
                events.push(Event::Timeout);
            }
            if events.is_empty() {
                let lingering = io.drop_lingering(Instant::now());
                if stopping.get() && io.len() == 0 {
                    return Poll::Ready(());
                }
                let next = node.next_timeout().map(|(at, _)| clock.at(at));
                let next = [next, lingering].into_iter().flatten().min();
                if next != armed {
                    armed = next;
                    match next {
                        Some(at) => timer.set_at(at),
                        None => timer = Timer::never(),
                    }
                }
                match Pin::new(&mut timer).poll(cx) {
                    Poll::Ready(_) => {
                        armed = None;
                        due = true;
                    }
                    Poll::Pending => return Poll::Pending,
                }
                continue;
            }
            let now = clock.now();
            for event in events {
                for action in node.handle(now, event) {
                    if let Action::Notice(notice) = &action {
                        log(notice);
                    }
                    io.execute(action);
                }
            }
            io.deliver();
        }
    })
    .await;
}

fn log(notice: &Notice) {
    match notice {
        // A bug of ours: every test fails on it.
        Notice::Breach { .. } => tracing::error!("{notice}"),
        Notice::NotRestored { .. } => tracing::warn!("{notice}"),
        Notice::Joined { .. }
        | Notice::Left { .. }
        | Notice::Violated { .. }
        | Notice::Lagging { .. }
        | Notice::Expired { .. } => tracing::debug!("{notice}"),
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
