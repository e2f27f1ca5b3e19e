//! A connection from its dial to its end: the thread that dials reads when it is open, and another one writes.
//!
//! What TLS knows of a connection has a lock, which is held for computing only. So whoever waits for the socket keeps
//! nobody from the other direction, however full both are.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use mles_sansio::client::Goodbye;
use mles_sansio::{ConnId, Frame, Kind};
use runtime_common::client::LINGER;
use runtime_common::dial::DialError;
use runtime_common::random::Keys;
use runtime_common::websocket::{Incoming, Masker, Reader, encode_header, put_close, put_pong};
use rustls::ClientConnection;

use super::dial::{Dialed, Dialer};
use super::mailbox::{Arrival, Mailbox, News};
use super::outbox::{Batch, Item, Outbox};
use super::{lock, spawn};

/// A connection as its threads share it with who drives the machine.
pub(crate) struct Connection {
    conn: ConnId,
    hold: Hold,
    outbox: Outbox,
    mailbox: Arc<Mailbox>,
}

/// What a connection is ended by, whatever its threads wait for.
#[derive(Default)]
pub(crate) struct Hold(Mutex<Held>);

#[derive(Default)]
struct Held {
    gone: bool,
    socket: Option<Arc<TcpStream>>,
}

impl Hold {
    /// Whether nobody wants it any more.
    pub(crate) fn is_gone(&self) -> bool {
        lock(&self.0).gone
    }

    /// There is a socket now; false if nobody wants it any more.
    pub(crate) fn attach(&self, socket: &Arc<TcpStream>) -> bool {
        let mut held = lock(&self.0);
        held.socket = Some(Arc::clone(socket));
        !held.gone
    }

    /// Nobody wants it any more.
    fn let_go(&self) {
        let mut held = lock(&self.0);
        held.gone = true;
        if let Some(socket) = held.socket.take() {
            // It may be at its end already.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

impl Connection {
    /// Has a thread dial until `deadline`, and read when the connection is open.
    pub(crate) fn dial(
        conn: ConnId,
        dialer: &Dialer,
        mailbox: &Arc<Mailbox>,
        deadline: Instant,
    ) -> Result<Arc<Self>, String> {
        let connection = Arc::new(Self {
            conn,
            hold: Hold::default(),
            outbox: Outbox::default(),
            mailbox: Arc::clone(mailbox),
        });
        let (it, dialer) = (Arc::clone(&connection), dialer.clone());
        spawn("mles-read", READER_STACK, move || {
            if let Err(error) = it.open(&dialer, deadline) {
                it.let_go();
                it.mailbox.news(News::Failed(conn, error));
            }
        })?;
        Ok(connection)
    }

    /// Writes these, together, behind what is there.
    pub(crate) fn write(&self, items: &mut Vec<Item>) {
        self.outbox.push(items);
    }

    /// Drops the connection, or gives the dial up.
    pub(crate) fn let_go(&self) {
        self.hold.let_go();
        self.outbox.give_up();
    }

    fn open(self: &Arc<Self>, dialer: &Dialer, deadline: Instant) -> Result<(), DialError> {
        let Dialed { socket, tls, rest } = dialer.dial(&self.hold, deadline)?;
        let tls = Arc::new(Mutex::new(tls));
        let writer = Writer {
            connection: Arc::clone(self),
            socket: Arc::clone(&socket),
            tls: Arc::clone(&tls),
            masker: Masker::default(),
            keys: Keys::new(),
            plain: Vec::with_capacity(RECORD),
            cipher: Vec::new(),
        };
        let spawned = spawn("mles-write", WRITER_STACK, move || writer.run());
        spawned.map_err(DialError::passing)?;
        self.mailbox.news(News::Opened(self.conn));
        Reading {
            connection: self,
            socket: &socket,
            tls: &tls,
            reader: Reader::of_server(dialer.max_message),
            plain: rest,
            arrivals: Vec::new(),
        }
        .run();
        Ok(())
    }
}

/// The thread that reads.
struct Reading<'a> {
    connection: &'a Connection,
    socket: &'a TcpStream,
    tls: &'a Mutex<ClientConnection>,
    reader: Reader,
    /// What came out of TLS.
    plain: Vec<u8>,
    arrivals: Vec<Arrival>,
}

impl Reading<'_> {
    fn run(mut self) {
        let Self { connection, .. } = self;
        let how = self.read();
        if how == Goodbye::Lost {
            connection.let_go();
        }
        self.arrivals.push(Arrival::End(how));
        let wanted = connection
            .mailbox
            .arrived(connection.conn, &mut self.arrivals);
        if wanted && how != Goodbye::Lost {
            self.linger();
        }
        connection.let_go();
    }

    /// Reads up to the end. What is still in `arrivals` then comes before it.
    fn read(&mut self) -> Goodbye {
        let mut cipher = vec![0; READ_BUFFER];
        // What came before the first read.
        let mut open = self.decrypt(&[]).is_ok_and(|open| open);
        loop {
            if let Some(how) = self.parse() {
                return how;
            }
            let Self { connection, .. } = *self;
            if !self.arrivals.is_empty()
                && !connection
                    .mailbox
                    .arrived(connection.conn, &mut self.arrivals)
            {
                return Goodbye::Lost;
            }
            if !open {
                return Goodbye::Lost;
            }
            match self.socket.read(&mut cipher) {
                Ok(0) => return Goodbye::Lost,
                Ok(count) => open = self.decrypt(&cipher[..count]).is_ok_and(|open| open),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Goodbye::Lost,
            }
        }
    }

    /// Decrypts what was read; false if the other end sends no more.
    fn decrypt(&mut self, mut cipher: &[u8]) -> io::Result<bool> {
        let mut tls = lock(self.tls);
        loop {
            let state = tls.process_new_packets().map_err(io::Error::other)?;
            let start = self.plain.len();
            self.plain
                .resize(start + state.plaintext_bytes_to_read(), 0);
            tls.reader().read_exact(&mut self.plain[start..])?;
            if tls.wants_write() {
                self.connection.outbox.flush();
            }
            if state.peer_has_closed() || cipher.is_empty() {
                return Ok(!state.peer_has_closed());
            }
            tls.read_tls(&mut cipher)?;
        }
    }

    /// Takes the frames out of what was decrypted; says if one of them is the last.
    fn parse(&mut self) -> Option<Goodbye> {
        let mut used = 0;
        while used < self.plain.len() {
            let (taken, item) = self.reader.read(&mut self.plain[used..]);
            used += taken;
            match item {
                None | Some(Ok(Incoming::Pong)) => {}
                Some(Ok(Incoming::Message(frame))) => self.arrivals.push(Arrival::Frame(frame)),
                Some(Ok(Incoming::Ping(payload))) => self.connection.outbox.pong(payload),
                Some(Ok(Incoming::Close { code })) => {
                    // Before the user has taken what came first: the other end waits for it.
                    self.connection.outbox.answer(code.unwrap_or(1000));
                    return Some(Goodbye::Close(code.unwrap_or(1005)));
                }
                Some(Err(_)) => return Some(Goodbye::Lost),
            }
        }
        self.plain.clear();
        None
    }

    /// The answer leaves, and the other end sees it before the connection is gone.
    fn linger(&self) {
        let deadline = Instant::now() + LINGER;
        self.connection.outbox.wait_for_end(deadline);
        let mut buffer = [0; 512];
        let mut socket = self.socket;
        while let Some(left) = deadline.checked_duration_since(Instant::now())
            && !left.is_zero()
            && socket.set_read_timeout(Some(left)).is_ok()
            && socket.read(&mut buffer).is_ok_and(|count| count > 0)
        {}
    }
}

/// The thread that writes.
struct Writer {
    connection: Arc<Connection>,
    socket: Arc<TcpStream>,
    tls: Arc<Mutex<ClientConnection>>,
    masker: Masker,
    keys: Keys,
    /// Masked, and not yet encrypted: at most [`RECORD`].
    plain: Vec<u8>,
    cipher: Vec<u8>,
}

impl Writer {
    fn run(mut self) {
        let connection = Arc::clone(&self.connection);
        while let Some(batch) = connection.outbox.take() {
            let count = batch.count;
            if self.write(batch).is_err() {
                // Reading tells of it, in order.
                connection.let_go();
                break;
            }
            if connection.outbox.is_empty() {
                connection
                    .mailbox
                    .news(News::Written(connection.conn, count));
            }
        }
        connection.outbox.end();
    }

    /// Writes a batch in as few records as it can, each in a write of its own.
    fn write(&mut self, batch: Batch) -> io::Result<()> {
        let mut control = Vec::new();
        if let Some(payload) = batch.pong {
            put_pong(&mut control, &payload);
            self.mask(&control)?;
        }
        for item in batch.items {
            match item {
                Item::Frame(frame) => {
                    let (header, used) = encode_header(kind(&frame), frame.payload.len());
                    self.mask(&header[..used])?;
                    self.mask(&frame.payload)?;
                }
                Item::Close => self.close(1000)?,
            }
        }
        if let Some(code) = batch.answer {
            self.close(code)?;
        }
        self.flush()
    }

    fn close(&mut self, code: u16) -> io::Result<()> {
        let mut control = Vec::new();
        put_close(&mut control, code, "");
        self.mask(&control)
    }

    /// Masks bytes of frames, and writes what is a whole record.
    fn mask(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.plain.len() + HEADER_MAX > RECORD {
                self.flush()?;
            }
            let room = RECORD - self.plain.len() - KEY;
            let (piece, rest) = bytes.split_at(bytes.len().min(room));
            let Self { keys, .. } = self;
            self.masker.mask(piece, &mut self.plain, || keys.draw())?;
            bytes = rest;
        }
        Ok(())
    }

    /// Writes what is masked, and what TLS has to say.
    fn flush(&mut self) -> io::Result<()> {
        let mut tls = lock(&self.tls);
        tls.writer().write_all(&self.plain)?;
        while tls.wants_write() {
            tls.write_tls(&mut self.cipher)?;
        }
        drop(tls);
        self.plain.clear();
        let written = (&*self.socket).write_all(&self.cipher);
        self.cipher.clear();
        written
    }
}

/// Text is UTF-8: who made the frame vouches for it. If it is not, it is sent as the bytes it is.
fn kind(frame: &Frame) -> Kind {
    match frame.kind {
        Kind::Text if std::str::from_utf8(&frame.payload).is_ok() => Kind::Text,
        Kind::Text | Kind::Binary => Kind::Binary,
    }
}

/// Bytes for the thread that dials and reads. A handshake takes less than 96 KiB without optimisation; the rest is for
/// what the system asks for addresses.
const READER_STACK: usize = 256 << 10;

/// Bytes for the thread that writes, which masks and encrypts: less than 24 KiB without optimisation.
const WRITER_STACK: usize = 64 << 10;

/// Bytes that are masked at once: the largest TLS record.
const RECORD: usize = 16 << 10;

/// A masking key.
const KEY: usize = 4;

/// The longest header of a client's frame (RFC 6455 section 5.2).
const HEADER_MAX: usize = 14;

/// Bytes that are read at once: two TLS records.
const READ_BUFFER: usize = 32 << 10;
