//! A connection from its upgrade to its end: what is read becomes events, and its task writes on when a
//! socket that was full takes more.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use mles_sansio::ConnId;
use runtime_common::batch::READ_MAX;
use runtime_common::inbound::{Inbound, Phase, Seen};
use smol::io::{AsyncRead, AsyncWrite};

use crate::io_thread::IoThread;
use crate::transport::Transport;

/// A connection whose WebSocket is open.
pub struct Session<S> {
    pub(crate) conn: ConnId,
    pub(crate) stream: RefCell<Transport<S>>,
    inbound: RefCell<Inbound>,
    pub(crate) waker: RefCell<Waker>,
    /// The socket takes no more; its task is woken when it does.
    pub(crate) blocked: Cell<bool>,
    pub(crate) close_sent: Cell<bool>,
    /// TLS has said goodbye: what still comes is not even decrypted.
    shut: Cell<bool>,
    /// Its goodbye, and that nothing is to follow, has been handed to the socket.
    shut_sent: Cell<bool>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    pub(crate) fn new(conn: ConnId, stream: Transport<S>, rest: Vec<u8>) -> Self {
        Self {
            conn,
            inbound: RefCell::new(Inbound::new(conn, stream.is_dialed(), rest)),
            stream: RefCell::new(stream),
            waker: RefCell::new(Waker::noop().clone()),
            blocked: Cell::new(false),
            close_sent: Cell::new(false),
            shut: Cell::new(false),
            shut_sent: Cell::new(false),
        }
    }

    /// The connection's whole life, in its own task.
    pub(crate) fn poll(&self, io: &IoThread<S>, cx: &mut Context<'_>) -> Poll<()> {
        if !self.waker.borrow().will_wake(cx.waker()) {
            *self.waker.borrow_mut() = cx.waker().clone();
        }
        if self.blocked.get() && !self.has_ended() {
            io.write(self, cx);
        }
        self.read(io, cx);
        if self.has_ended() {
            return Poll::Ready(());
        }
        if self.close_sent.get() && self.inbound.borrow().is_over() {
            self.shut.set(true);
            if !self.shut_sent.get() {
                let mut stream = self.stream.borrow_mut();
                let sent = Pin::new(&mut *stream).poll_close(cx).is_ready();
                self.shut_sent.set(sent);
            }
            if self.shut_sent.get() && self.inbound.borrow().may_be_dropped() {
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }

    /// The node has accepted the header, or waits for none.
    pub(crate) fn resume(&self, max_message: usize) {
        if self.inbound.borrow_mut().resume(max_message) {
            self.wake();
        }
    }

    /// The node has seen the header, and neither resumed nor closed the connection.
    pub(crate) fn wait(&self) {
        if self.inbound.borrow_mut().wait() {
            self.wake();
        }
    }

    /// The node ends the connection.
    pub(crate) fn closing(&self) {
        if self.inbound.borrow_mut().closing() {
            self.wake();
        }
    }

    /// The connection is dropped whatever it still owes.
    pub(crate) fn end(&self) {
        self.inbound.borrow_mut().end();
        self.wake();
    }

    /// The transport is gone. Says whether the node is to hear of it.
    pub(crate) fn lost(&self) -> bool {
        self.wake();
        self.inbound.borrow_mut().lost()
    }

    /// Whether the connection is dropped, or its transport gone.
    pub(crate) fn has_ended(&self) -> bool {
        self.inbound.borrow().phase() == Phase::Ended
    }

    /// Reads nothing more of what comes, and frees what was read of it.
    pub(crate) fn give_up(&self) {
        self.inbound.borrow_mut().give_up();
    }

    pub(crate) fn wake(&self) {
        self.waker.borrow().wake_by_ref();
    }

    /// Reads what there is, up to a turn's fair share.
    fn read(&self, io: &IoThread<S>, cx: &mut Context<'_>) {
        let mut scratch = io.scratch.borrow_mut();
        let mut inbound = self.inbound.borrow_mut();
        let share = READ_MAX.min(io.read() + SHARE);
        let mut seen = Seen::default();
        let mut lost = false;
        loop {
            let room = inbound.room(scratch.len());
            if inbound.read_rest(&mut seen, |event| io.report(event)) {
                continue;
            }
            if room == 0 {
                break;
            }
            let room = room.min(share.saturating_sub(io.read()));
            if room == 0 {
                io.reads_later(self);
                break;
            }
            let read = {
                let mut stream = self.stream.borrow_mut();
                if self.shut.get() {
                    Pin::new(stream.below()).poll_read(cx, &mut scratch[..room])
                } else {
                    Pin::new(&mut *stream).poll_read(cx, &mut scratch[..room])
                }
            };
            match read {
                Poll::Ready(Ok(0) | Err(_)) => {
                    lost = true;
                    break;
                }
                Poll::Ready(Ok(count)) => {
                    io.has_read(count);
                    inbound.read(&mut scratch[..count], &mut seen, |event| io.report(event));
                }
                Poll::Pending => break,
            }
        }
        drop(scratch);
        let (buffered, heard) = (inbound.buffered(), inbound.was_heard(&seen));
        drop(inbound);
        if lost {
            io.lost(self);
        }
        io.hold(self.conn, buffered, seen.message);
        io.seen(self.conn, &seen, heard && !lost);
    }
}

/// What is read from one connection before it is another's turn.
const SHARE: usize = 64 * 1024;
