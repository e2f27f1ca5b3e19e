//! What crosses between the node's thread and another I/O thread: events up, actions down, in batches,
//! so that a broadcast costs one hand-over for each thread, however many members it has there.
//!
//! One batch of events is under way at a time; until it is answered the thread keeps what happens, and
//! in the end stops reading. The node in turn takes no events while a thread is behind with its actions.
//! So neither side's queue outgrows its bound, and as both always take what is theirs, neither waits for
//! ever.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use mles_sansio::{Action, Event};
use runtime_common::batch::{EVENT, READ_MAX};

/// Between the node's thread and one other; `A` is a connection on its way to that thread.
pub struct Handover<A>(Mutex<Shared<A>>);

struct Shared<A> {
    /// The batch on its way to the node.
    events: Vec<Event>,
    down: Down<A>,
    /// What the actions on their way cost.
    cost: usize,
    /// Connections that the thread had when it last said so.
    connections: usize,
    node: Option<Waker>,
    thread: Option<Waker>,
}

/// What is on its way to the thread.
pub(crate) struct Down<A> {
    pub(crate) actions: Vec<Action>,
    /// The batch of events was handled; what it led to is in `actions`, or was before.
    pub(crate) answered: bool,
    /// Connections to take in.
    pub(crate) arrivals: Vec<A>,
    /// Connections to give up, by the number they arrived with.
    pub(crate) evicted: Vec<u64>,
}

impl<A> Default for Down<A> {
    fn default() -> Self {
        Self {
            actions: Vec::new(),
            answered: false,
            arrivals: Vec::new(),
            evicted: Vec::new(),
        }
    }
}

impl<A> Default for Handover<A> {
    fn default() -> Self {
        Self(Mutex::new(Shared {
            events: Vec::new(),
            down: Down::default(),
            cost: 0,
            connections: 0,
            node: None,
            thread: None,
        }))
    }
}

/// The thread's side.
impl<A> Handover<A> {
    /// Takes what came down since the last call, and leaves the emptied `down`'s buffers for what comes
    /// next; the waker is woken for more.
    pub(crate) fn take_down(&self, down: &mut Down<A>, waker: &Waker) {
        let mut shared = self.lock();
        renew(&mut shared.thread, waker);
        if std::mem::take(&mut shared.cost) > READ_MAX {
            wake(&shared.node); // It had to wait.
        }
        std::mem::swap(down, &mut shared.down);
    }

    /// Hands a batch of events to the node, for a buffer that the node has emptied. The next only after
    /// this one was answered.
    pub(crate) fn put_events(&self, events: &mut Vec<Event>) {
        let mut shared = self.lock();
        debug_assert!(shared.events.is_empty(), "one batch at a time");
        std::mem::swap(events, &mut shared.events);
        wake(&shared.node);
    }

    /// Says how many connections the thread has.
    pub(crate) fn put_connections(&self, connections: usize) {
        let mut shared = self.lock();
        if connections == 0 && shared.connections > 0 {
            wake(&shared.node); // It may wait for the last one.
        }
        shared.connections = connections;
    }
}

/// The node's side.
impl<A> Handover<A> {
    /// Whether the thread is so far behind that the node is to wait; the waker is woken when it is not.
    pub(crate) fn is_behind(&self, waker: &Waker) -> bool {
        let mut shared = self.lock();
        renew(&mut shared.node, waker);
        shared.cost > READ_MAX
    }

    /// Takes the batch that waits, if there is one, for an emptied buffer.
    pub(crate) fn take_events(&self, events: &mut Vec<Event>) {
        std::mem::swap(events, &mut self.lock().events);
    }

    /// Hands actions to the thread, in order behind those before; `answered` ends its batch of events.
    pub(crate) fn put_actions(&self, actions: &mut Vec<Action>, answered: bool) {
        if actions.is_empty() && !answered {
            return;
        }
        let cost: usize = actions.iter().map(cost).sum();
        let mut shared = self.lock();
        shared.cost += cost;
        if shared.down.actions.is_empty() {
            std::mem::swap(actions, &mut shared.down.actions);
        } else {
            shared.down.actions.append(actions);
        }
        shared.down.answered |= answered;
        wake(&shared.thread);
    }

    /// Hands a new connection to the thread.
    pub fn put_arrival(&self, arrival: A) {
        let mut shared = self.lock();
        shared.down.arrivals.push(arrival);
        wake(&shared.thread);
    }

    /// Has the thread give up a connection that is no session yet.
    pub fn put_evicted(&self, id: u64) {
        let mut shared = self.lock();
        shared.down.evicted.push(id);
        wake(&shared.thread);
    }

    /// Connections that the thread had when it last said so, and whether it has more to say.
    pub(crate) fn is_idle(&self) -> bool {
        let shared = self.lock();
        shared.connections == 0 && shared.down.arrivals.is_empty() && shared.events.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Shared<A>> {
        // Nothing in here can be left half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn renew(known: &mut Option<Waker>, waker: &Waker) {
    if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
        *known = Some(waker.clone());
    }
}

fn wake(waker: &Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake_by_ref();
    }
}

/// What an action on its way counts. A replay is the history's, held by reference.
fn cost(action: &Action) -> usize {
    let frames = match action {
        Action::Send { frames, .. } | Action::Broadcast { frames, .. } => frames,
        Action::Replay { .. }
        | Action::Join { .. }
        | Action::Leave { .. }
        | Action::Resume { .. }
        | Action::Ping { .. }
        | Action::Discard { .. }
        | Action::Close { .. }
        | Action::StoreHistory { .. }
        | Action::Dial { .. }
        | Action::DialBridge { .. }
        | Action::Notice(_) => return EVENT,
    };
    EVENT
        + frames
            .iter()
            .map(|frame| frame.payload.len())
            .sum::<usize>()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use mles_sansio::{ConnId, Frame, Frames, GroupId};

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Count {
        fn waker(self: &Arc<Self>) -> Waker {
            self.clone().into()
        }

        fn take(&self) -> usize {
            self.0.swap(0, Ordering::Relaxed)
        }
    }

    fn broadcast(length: usize) -> Vec<Action> {
        vec![Action::Broadcast {
            group: GroupId(1),
            except: None,
            frames: Frames::One(Frame::binary(vec![0; length])),
        }]
    }

    #[test]
    fn the_node_waits_for_a_thread_that_is_behind() {
        let handover = Handover::<()>::default();
        let (node, thread) = (Arc::new(Count::default()), Arc::new(Count::default()));
        assert!(!handover.is_behind(&node.waker()));
        let mut down = Down::default();
        handover.take_down(&mut down, &thread.waker());
        handover.put_actions(&mut broadcast(READ_MAX), false);
        assert_eq!(thread.take(), 1);
        assert!(handover.is_behind(&node.waker()));
        // What is on its way already is not held back by more.
        handover.put_actions(&mut broadcast(1), true);
        handover.take_down(&mut down, &thread.waker());
        assert_eq!((down.actions.len(), down.answered), (2, true));
        assert_eq!(node.take(), 1, "it is told that the thread has caught up");
        assert!(!handover.is_behind(&node.waker()));
        let mut down = Down::default();
        handover.take_down(&mut down, &thread.waker());
        assert!(down.actions.is_empty() && !down.answered);
        assert_eq!(node.take(), 0);
    }

    #[test]
    fn a_batch_goes_up_and_the_last_connection_is_noticed() {
        let handover = Handover::<()>::default();
        let node = Arc::new(Count::default());
        assert!(!handover.is_behind(&node.waker()));
        handover.put_connections(2);
        assert_eq!(node.take(), 0);
        assert!(!handover.is_idle());
        let mut events = vec![Event::Heard { conn: ConnId(1) }];
        handover.put_events(&mut events);
        assert!(events.is_empty());
        assert_eq!(node.take(), 1);
        handover.put_connections(0);
        assert_eq!(node.take(), 1);
        assert!(!handover.is_idle(), "the node has not had its events");
        handover.take_events(&mut events);
        assert_eq!(events.len(), 1);
        assert!(handover.is_idle());
        handover.put_arrival(());
        assert!(!handover.is_idle(), "one is on its way");
    }
}
