//! One I/O thread's executor: a task for each connection, from its arrival to its end.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use runtime_common::config::Config;
use runtime_common::door::{Door, Ticket};
use runtime_common::http::Gate;
use runtime_smol::host::{AtLast, Entrance, IoThread, Sniff, serve};
use rustls::ServerConfig;
use smol::{LocalExecutor, Task};

use crate::socket::Socket;

/// A connection on its way to its thread.
pub(crate) type Arrival = (Socket, Ticket);

pub(crate) struct Worker {
    pub(crate) io: IoThread<Sniff<Socket>>,
    pub(crate) executor: LocalExecutor<'static>,
    entrance: Entrance,
    door: Arc<Door>,
    /// The tasks of connections that are no sessions yet, so that one can be given up.
    coming: RefCell<HashMap<u64, Task<()>>>,
}

impl Worker {
    /// I/O thread number `thread`. To be made on that thread, and to stay there.
    pub(crate) fn new(
        thread: u8,
        config: &Config,
        tls: &Arc<ServerConfig>,
        door: &Arc<Door>,
    ) -> Rc<Self> {
        Rc::new(Self {
            io: IoThread::new(thread, config),
            executor: LocalExecutor::new(),
            entrance: Entrance::new(tls.clone(), config.handshake_timeout, door.health.clone()),
            door: door.clone(),
            coming: RefCell::default(),
        })
    }

    /// Takes a connection in.
    pub(crate) fn take_in(self: &Rc<Self>, (stream, ticket): Arrival) {
        let (worker, id) = (self.clone(), ticket.id);
        let gone = AtLast({
            let worker = self.clone();
            move || {
                worker.door.gone(id);
                worker.let_go(id);
            }
        });
        let task = self.executor.spawn(async move {
            let _gone = gone;
            let source = mles_sansio::Source(ticket.source.key());
            let (io, entrance) = (&worker.io, &worker.entrance);
            let (gate, enter) = (|| worker.door.gate(), || worker.enter(id));
            let outcome = serve(
                io,
                entrance,
                stream,
                source,
                gate,
                enter,
                Socket::acknowledge,
            )
            .await;
            outcome.count(&worker.door);
        });
        self.coming.borrow_mut().insert(id, task);
    }

    /// Gives up a connection that is no session yet: dropping its task drops its socket.
    pub(crate) fn give_up(&self, id: u64) {
        let task = self.coming.borrow_mut().remove(&id);
        if let Some(task) = task {
            drop(task);
            tracing::debug!("an unfinished connection gave way to a new one");
        }
    }

    fn enter(&self, id: u64) -> Gate {
        let gate = self.door.enter(id);
        if gate == Gate::Open {
            self.let_go(id);
        }
        gate
    }

    /// The connection's task belongs to itself from now on.
    fn let_go(&self, id: u64) {
        let task = self.coming.borrow_mut().remove(&id);
        if let Some(task) = task {
            task.detach();
        }
    }
}
