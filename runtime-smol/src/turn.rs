//! The turn: what the connections read goes through the node, and what the node answers goes out.
//! One turn handles everything that was ready, so that what is for one connection leaves in one write.

use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Instant;

use mles_sansio::{Action, Event, Notice};
use runtime_common::Node;
use runtime_common::batch::Batch;
use runtime_common::clock::Clock;
use runtime_common::metrics::Meter;
use runtime_common::others::Whom;
use smol::io::{AsyncRead, AsyncWrite};

use crate::clock::Alarm;
use crate::handover::{Down, Handover};
use crate::io_thread::IoThread;
use crate::route::Routes;

/// Runs turns until the node was shut down and the last connection of all threads is gone. `others` are
/// the hand-overs to the I/O threads from number 1 on; `meter` is kept up to date; `aside` gets what is for
/// no connection.
pub async fn run<S: AsyncRead + AsyncWrite + Unpin, A>(
    io: &IoThread<S>,
    others: &[Arc<Handover<A>>],
    node: &mut Node,
    clock: &Clock,
    stopping: &AtomicBool,
    meter: &Meter,
    aside: &dyn Fn(Aside),
) {
    let mut alarm = Alarm::default();
    let mut due = false;
    let mut threads = Threads::new(io, others, meter, aside);
    let mut own = Batch::default();
    let mut events = Vec::new();
    poll_fn(|cx| {
        io.wakes(cx.waker());
        loop {
            if others.iter().any(|other| other.is_behind(cx.waker())) {
                return Poll::Pending;
            }
            io.take(&mut own);
            let mut any = !own.pings.is_empty();
            any |= threads.handle(node, clock, None, &mut own.events);
            io.answered(&mut own);
            for (other, number) in others.iter().zip(1..) {
                other.take_events(&mut events);
                any |= threads.handle(node, clock, Some(number), &mut events);
            }
            if std::mem::take(&mut due) {
                events.push(Event::Timeout);
                any |= threads.handle(node, clock, None, &mut events);
            }
            if any {
                meter.note(node);
                threads.hand_over();
                io.deliver();
                if others.is_empty() {
                    continue; // Nothing but what the delivery led to can have come in.
                }
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let lingering = io.drop_lingering(Instant::now());
            let idle = || io.len() == 0 && others.iter().all(|other| other.is_idle());
            if stopping.load(Ordering::Relaxed) && idle() {
                return Poll::Ready(());
            }
            let next = node.next_timeout().map(|(at, _)| clock.at(at));
            let next = [next, lingering].into_iter().flatten().min();
            if !alarm.is_due(next, cx) {
                return Poll::Pending;
            }
            due = true;
        }
    })
    .await;
}

/// What the node wants done beside its connections.
pub enum Aside {
    /// A connection to another server is to be opened.
    Dial(Whom),
    /// Something is to be logged.
    Notice(Notice),
}

/// All I/O threads, as the node's sees them.
struct Threads<'a, S, A> {
    io: &'a IoThread<S>,
    others: &'a [Arc<Handover<A>>],
    meter: &'a Meter,
    aside: &'a dyn Fn(Aside),
    routes: Routes,
    /// Actions of this turn for each of the others, and whether a batch of its events was handled.
    out: Vec<(Vec<Action>, bool)>,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin, A> Threads<'a, S, A> {
    fn new(
        io: &'a IoThread<S>,
        others: &'a [Arc<Handover<A>>],
        meter: &'a Meter,
        aside: &'a dyn Fn(Aside),
    ) -> Self {
        Self {
            io,
            others,
            meter,
            aside,
            routes: Routes::new(others.len() + 1),
            out: others.iter().map(|_| (Vec::new(), false)).collect(),
        }
    }

    /// Takes a batch of events through the node, and empties it. Says whether it was one.
    fn handle(
        &mut self,
        node: &mut Node,
        clock: &Clock,
        from: Option<usize>,
        events: &mut Vec<Event>,
    ) -> bool {
        if events.is_empty() {
            return false;
        }
        let now = clock.now();
        for event in events.drain(..) {
            if !self.others.is_empty() {
                self.routes.hear(&event);
            }
            for action in node.handle(now, event) {
                if let Action::Close { why, .. } = &action {
                    self.meter.closes(*why);
                }
                if let Action::Notice(notice) = action {
                    (self.aside)(Aside::Notice(notice));
                } else if let Some(whom) = Whom::of(&action) {
                    (self.aside)(Aside::Dial(whom));
                } else if self.others.is_empty() {
                    self.io.execute(action);
                } else {
                    self.routes.send(action, |thread, action| match thread {
                        0 => self.io.execute(action),
                        _ => self.out[thread - 1].0.push(action),
                    });
                }
            }
        }
        if let Some(thread) = from {
            self.out[thread - 1].1 = true;
        }
        true
    }

    /// Hands what this turn led to to the other threads.
    fn hand_over(&mut self) {
        for (other, (actions, answered)) in self.others.iter().zip(&mut self.out) {
            other.put_actions(actions, std::mem::take(answered));
        }
    }
}

/// Runs an I/O thread that is not the node's: what happens goes up in batches, what the node wants comes
/// down. Never ends. `take_in` and `give_up` are for connections that are no sessions yet.
pub async fn relay<S: AsyncRead + AsyncWrite + Unpin, A>(
    io: &IoThread<S>,
    node: &Handover<A>,
    mut take_in: impl FnMut(A),
    mut give_up: impl FnMut(u64),
) -> Infallible {
    let mut alarm = Alarm::default();
    let mut down = Down::default();
    let mut batch = Batch::default();
    let mut under_way = false;
    poll_fn(|cx| {
        io.wakes(cx.waker());
        loop {
            node.take_down(&mut down, cx.waker());
            down.arrivals.drain(..).for_each(&mut take_in);
            down.evicted.drain(..).for_each(&mut give_up);
            let answered = std::mem::take(&mut down.answered);
            let mut any = !down.actions.is_empty() || answered;
            for action in down.actions.drain(..) {
                io.execute(action);
            }
            if answered {
                io.answered(&mut batch);
                under_way = false;
            }
            if !under_way {
                io.take(&mut batch);
                if batch.events.is_empty() {
                    io.answered(&mut batch);
                } else {
                    under_way = true;
                    node.put_events(&mut batch.events);
                    any = true;
                }
            }
            io.deliver();
            node.put_connections(io.len());
            if any {
                // The connections have their turn, however much comes down.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let lingering = io.drop_lingering(Instant::now());
            if !alarm.is_due(lingering, cx) {
                return Poll::Pending;
            }
        }
    })
    .await
}
