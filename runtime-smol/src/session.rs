//! A connection from its upgrade to its end: reads become events, and its task writes on when a
//! socket that was full takes more.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use mles_sansio::{ConnId, Ending, Event, HEADER_MAX};
use runtime_common::websocket::{ControlPayload, Incoming, Reader};
use smol::io::{AsyncRead, AsyncWrite};

use crate::io_thread::{IoThread, READ_MAX};
use crate::transport::Transport;

pub(crate) struct Session<S> {
    pub(crate) conn: ConnId,
    pub(crate) stream: RefCell<Transport<S>>,
    reader: RefCell<Reader>,
    /// Plaintext that was read before reading was held.
    rest: RefCell<Vec<u8>>,
    pub(crate) waker: RefCell<Waker>,
    pub(crate) phase: Cell<Phase>,
    /// The socket takes no more; its task is woken when it does.
    pub(crate) blocked: Cell<bool>,
    pub(crate) close_sent: Cell<bool>,
    /// What its unfinished message counts with among all of them.
    pub(crate) counted: Cell<usize>,
    /// The other end's close frame, or a fault, was the last that was understood of it.
    finished: Cell<bool>,
    /// Its close frame has arrived.
    close_read: Cell<bool>,
    /// TLS has said goodbye: what still comes is not even decrypted.
    shut: Cell<bool>,
    /// Its goodbye, and that nothing is to follow, has been handed to the socket.
    shut_sent: Cell<bool>,
    /// Bytes that are still taken from it, and thrown away, while it closes.
    patience: Cell<usize>,
}

/// What is read from a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The first message, out of a bounded number of bytes.
    First,
    /// Nothing, until the node resumes it or has it wait.
    Held,
    /// No more than may be kept for later: only its end counts (J1.10). An end that stands behind more than
    /// that is seen when what is before it has been read: after the wait, which the probe's time bounds.
    Waiting,
    /// Everything.
    Open,
    /// The node closes it: only the other end's close frame counts.
    Closing,
    /// Nothing more.
    Ended,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    pub(crate) fn new(conn: ConnId, stream: Transport<S>, rest: Vec<u8>) -> Self {
        let reader = match stream.is_dialed() {
            true => Reader::of_server(HEADER_MAX),
            false => Reader::new(HEADER_MAX),
        };
        Self {
            conn,
            stream: RefCell::new(stream),
            reader: RefCell::new(reader),
            rest: RefCell::new(rest),
            waker: RefCell::new(Waker::noop().clone()),
            phase: Cell::new(Phase::First),
            blocked: Cell::new(false),
            close_sent: Cell::new(false),
            counted: Cell::new(0),
            finished: Cell::new(false),
            close_read: Cell::new(false),
            shut: Cell::new(false),
            shut_sent: Cell::new(false),
            patience: Cell::new(PATIENCE),
        }
    }

    /// The connection's whole life, in its own task.
    pub(crate) fn poll(&self, io: &IoThread<S>, cx: &mut Context<'_>) -> Poll<()> {
        if !self.waker.borrow().will_wake(cx.waker()) {
            *self.waker.borrow_mut() = cx.waker().clone();
        }
        if self.blocked.get() && self.phase.get() != Phase::Ended {
            io.flush(self, cx);
        }
        self.read(io, cx);
        match self.phase.get() {
            Phase::Ended => Poll::Ready(()),
            // Both close frames have crossed; or that of a client at fault cannot be told from the rest
            // any more, and it learns from the end of the stream that nothing is to follow.
            Phase::Closing if self.close_sent.get() && self.finished.get() => {
                self.shut.set(true);
                if !self.shut_sent.get() {
                    let mut stream = self.stream.borrow_mut();
                    let sent = Pin::new(&mut *stream).poll_close(cx).is_ready();
                    self.shut_sent.set(sent);
                }
                if self.shut_sent.get() && self.close_read.get() {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                }
            }
            Phase::First | Phase::Held | Phase::Waiting | Phase::Open | Phase::Closing => {
                Poll::Pending
            }
        }
    }

    /// The node has accepted the header, or waits for none.
    pub(crate) fn resume(&self, max_message: usize) {
        if let Phase::First | Phase::Held | Phase::Waiting = self.phase.get() {
            self.phase.set(Phase::Open);
            self.reader.borrow_mut().set_max_message(max_message);
            self.wake();
        }
    }

    /// The node has seen the header, and neither resumed nor closed the connection.
    pub(crate) fn wait(&self) {
        if self.phase.get() == Phase::Held {
            self.phase.set(Phase::Waiting);
            self.wake();
        }
    }

    /// The node ends the connection.
    pub(crate) fn closing(&self) {
        if self.phase.get() != Phase::Ended {
            self.phase.set(Phase::Closing);
            self.wake();
        }
    }

    /// The connection is dropped whatever it still owes.
    pub(crate) fn end(&self) {
        self.phase.set(Phase::Ended);
        self.wake();
    }

    /// Bytes that its unfinished message holds.
    pub(crate) fn buffered(&self) -> usize {
        self.reader.borrow().buffered()
    }

    /// Reads nothing more of what comes, and frees what was read of it.
    pub(crate) fn give_up(&self) {
        self.finished.set(true);
        self.reader.replace(Reader::new(0));
    }

    pub(crate) fn wake(&self) {
        self.waker.borrow().wake_by_ref();
    }

    /// Reads what there is, up to a turn's fair share.
    fn read(&self, io: &IoThread<S>, cx: &mut Context<'_>) {
        let mut scratch = io.scratch.borrow_mut();
        let share = READ_MAX.min(io.read() + SHARE);
        let mut seen = Seen::default();
        loop {
            let room = match self.phase.get() {
                Phase::First => FIRST_MAX.saturating_sub(self.reader.borrow().buffered()),
                Phase::Waiting => FIRST_MAX.saturating_sub(self.rest.borrow().len()),
                Phase::Open => scratch.len(),
                // What comes from a client at fault is not understood any more, but taken for a while:
                // a socket closed over unread bytes may take the close frame back.
                Phase::Closing => scratch.len().min(self.patience.get()),
                Phase::Held | Phase::Ended => 0,
            };
            if room == 0 {
                break;
            }
            let waiting = self.phase.get() == Phase::Waiting;
            if !waiting && !self.rest.borrow().is_empty() {
                // At most what was read before the hold; it fits.
                let rest = self.rest.take();
                scratch[..rest.len()].copy_from_slice(&rest);
                self.parse(io, &mut scratch[..rest.len()], &mut seen);
                continue;
            }
            if self.finished.get() && self.phase.get() == Phase::Open {
                break; // The node's answer is on its way.
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
                    if self.phase.get() == Phase::Closing {
                        self.phase.set(Phase::Ended);
                    } else {
                        io.lost(self);
                    }
                    break;
                }
                Poll::Ready(Ok(count)) => {
                    io.has_read(count);
                    if self.phase.get() == Phase::Closing {
                        self.patience.set(self.patience.get().saturating_sub(count));
                    }
                    if waiting {
                        self.rest.borrow_mut().extend_from_slice(&scratch[..count]);
                    } else {
                        self.parse(io, &mut scratch[..count], &mut seen);
                    }
                }
                Poll::Pending => break,
            }
        }
        drop(scratch);
        io.hold(self, seen.message);
        if let Some(payload) = seen.ping {
            io.pinged(self.conn, payload);
        }
        let counts = matches!(self.phase.get(), Phase::First | Phase::Open);
        if counts && seen.anything && !(seen.message || seen.pong || self.finished.get()) {
            io.report(Event::Heard { conn: self.conn });
        }
    }

    /// Turns plaintext into events.
    fn parse(&self, io: &IoThread<S>, bytes: &mut [u8], seen: &mut Seen) {
        let conn = self.conn;
        let mut at = 0;
        while at < bytes.len() {
            match self.phase.get() {
                Phase::Held => {
                    self.rest.replace(bytes[at..].to_vec());
                    return;
                }
                Phase::Waiting | Phase::Ended => return,
                Phase::First | Phase::Open | Phase::Closing => {}
            }
            if self.finished.get() {
                return;
            }
            seen.anything = true;
            let (used, item) = self.reader.borrow_mut().read(&mut bytes[at..]);
            at += used;
            let closing = self.phase.get() == Phase::Closing;
            match item {
                Some(Ok(Incoming::Message(frame))) if !closing => {
                    if self.phase.get() == Phase::First {
                        self.phase.set(Phase::Held);
                        io.held(conn);
                    }
                    seen.message = true;
                    io.report(Event::Frame { conn, frame });
                }
                Some(Ok(Incoming::Ping(payload))) => {
                    seen.ping = Some(payload);
                }
                // One tells as much as many.
                Some(Ok(Incoming::Pong)) if !closing && !seen.pong => {
                    seen.pong = true;
                    io.report(Event::Pong { conn });
                }
                Some(Ok(Incoming::Close { code })) => {
                    self.finished.set(true);
                    self.close_read.set(true);
                    if !closing {
                        let how = Ending::CloseFrame(code.unwrap_or(NO_CODE));
                        io.report(Event::Closed { conn, how });
                    }
                }
                Some(Err(fault)) => {
                    self.finished.set(true);
                    if !closing {
                        io.report(Event::Faulted { conn, fault });
                    }
                }
                Some(Ok(Incoming::Message(_) | Incoming::Pong)) | None => {}
            }
        }
    }
}

/// What one read has brought: however much of it there is, the node hears of it once, messages excepted.
#[derive(Default)]
struct Seen {
    anything: bool,
    message: bool,
    /// The latest.
    ping: Option<ControlPayload>,
    pong: bool,
}

/// What RFC 6455 says of a close frame without a code.
const NO_CODE: u16 = 1005;

/// Bytes of a connection that may be buffered before its first message is accepted (H2.2).
const FIRST_MAX: usize = 8 * 1024;

/// Bytes taken from a connection that is being closed.
const PATIENCE: usize = 1 << 20;

/// What is read from one connection before it is another's turn.
const SHARE: usize = 64 * 1024;
