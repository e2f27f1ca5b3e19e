//! A proxy between the judge and a server that is right: what it changes on the way makes a server that is wrong in just
//! that.

mod side;

use std::io::{self, ErrorKind, Read as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mles_conformance::wire::{
    Decoder, Frame, Piece, Request, Response, Trust, client_config, complete, server_config,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};
use socket2::{Domain, SockRef, Socket, Type};

use crate::way::{Manner, Way};
use side::Side;

type Heads<T> = Box<dyn FnMut(&mut T, &mut Wires) + Send>;
type Frames = Box<dyn FnMut(Frame, &mut Wires) + Send>;
type Bytes = Box<dyn FnMut(&[u8], &mut Wires) + Send>;
type Time = Box<dyn FnMut(&mut Wires) + Send>;

/// What is changed on one connection. What has no hook passes as it is, byte for byte.
#[derive(Default)]
pub(crate) struct Hooks {
    request: Option<Heads<Request>>,
    response: Option<Heads<Response>>,
    up: Option<Frames>,
    down: Option<Frames>,
    up_bytes: Option<Bytes>,
    down_bytes: Option<Bytes>,
    client_ended: Option<Time>,
    server_ended: Option<Time>,
    tick: Option<Time>,
    is_greedy: bool,
    records: Option<Arc<AtomicUsize>>,
}

impl Hooks {
    /// What the server sends is taken although the client does not take it.
    pub(crate) fn greedy(mut self) -> Self {
        self.is_greedy = true;
        self
    }

    /// The first that the client gets comes in records of TLS of a few bytes, which are counted.
    pub(crate) fn in_records(mut self, count: &Arc<AtomicUsize>) -> Self {
        self.records = Some(count.clone());
        self
    }

    /// The request for the upgrade, before the server gets it.
    pub(crate) fn request(
        mut self,
        hook: impl FnMut(&mut Request, &mut Wires) + Send + 'static,
    ) -> Self {
        self.request = Some(Box::new(hook));
        self
    }

    /// The answer to it, before the client gets it.
    pub(crate) fn response(
        mut self,
        hook: impl FnMut(&mut Response, &mut Wires) + Send + 'static,
    ) -> Self {
        self.response = Some(Box::new(hook));
        self
    }

    /// Each WebSocket frame of the client, instead of the server getting it. Frames above 1 MiB pass as they are.
    pub(crate) fn up(mut self, hook: impl FnMut(Frame, &mut Wires) + Send + 'static) -> Self {
        self.up = Some(Box::new(hook));
        self
    }

    /// Each WebSocket frame of the server, instead of the client getting it. Frames above 1 MiB pass as they are.
    pub(crate) fn down(mut self, hook: impl FnMut(Frame, &mut Wires) + Send + 'static) -> Self {
        self.down = Some(Box::new(hook));
        self
    }

    /// What the client sends once it is upgraded, as it comes, instead of the server getting it.
    pub(crate) fn up_bytes(mut self, hook: impl FnMut(&[u8], &mut Wires) + Send + 'static) -> Self {
        self.up_bytes = Some(Box::new(hook));
        self
    }

    /// What the server sends once the connection is upgraded, as it comes, instead of the client getting it.
    pub(crate) fn down_bytes(
        mut self,
        hook: impl FnMut(&[u8], &mut Wires) + Send + 'static,
    ) -> Self {
        self.down_bytes = Some(Box::new(hook));
        self
    }

    /// The client has ended the connection; instead of the server being told.
    pub(crate) fn client_ended(mut self, hook: impl FnMut(&mut Wires) + Send + 'static) -> Self {
        self.client_ended = Some(Box::new(hook));
        self
    }

    /// The server has ended the connection; instead of the client being told.
    pub(crate) fn server_ended(mut self, hook: impl FnMut(&mut Wires) + Send + 'static) -> Self {
        self.server_ended = Some(Box::new(hook));
        self
    }

    /// Every 10 ms.
    pub(crate) fn tick(mut self, hook: impl FnMut(&mut Wires) + Send + 'static) -> Self {
        self.tick = Some(Box::new(hook));
        self
    }
}

/// Both ends of a connection, for hooks to send on.
pub(crate) struct Wires {
    /// How many connections there were before this one.
    pub(crate) number: usize,
    /// For hooks to note that something has been heard.
    pub(crate) has_heard: bool,
    /// When the connection was accepted.
    pub(crate) began: Instant,
    /// When it was upgraded.
    pub(crate) upgraded: Option<Instant>,
    client: Side,
    server: Side,
    /// The client has been told goodbye by the proxy itself.
    closing: bool,
    /// The client's connection is to be reset.
    resets: bool,
}

impl Wires {
    /// The server gets this frame.
    pub(crate) fn send_server(&mut self, mut frame: Frame) {
        frame.masked = true;
        self.server.send(&frame.encode());
    }

    /// The client gets this frame.
    pub(crate) fn send_client(&mut self, mut frame: Frame) {
        frame.masked = false;
        if !self.closing {
            self.client.send(&frame.encode());
        }
    }

    /// The server gets these bytes.
    pub(crate) fn bytes_server(&mut self, bytes: &[u8]) {
        self.server.send(bytes);
    }

    /// The client gets these bytes.
    pub(crate) fn bytes_client(&mut self, bytes: &[u8]) {
        if !self.closing {
            self.client.send(bytes);
        }
    }

    /// The client is closed by this code, and hears no more; to the server it has gone. What the client still sends is
    /// read and forgotten.
    pub(crate) fn close_client(&mut self, code: u16, reason: &str) {
        self.send_client(Frame::close(code, reason));
        self.closing = true;
        self.client.finish();
        self.server.finish();
    }

    /// The client gets this answer to its request instead of the server's, and nothing further.
    pub(crate) fn answer(&mut self, response: &Response) {
        self.client.send(&response.encode());
        self.client.finish();
        self.server.finish();
    }

    /// The client finds the end of the stream.
    pub(crate) fn end_client(&mut self) {
        self.client.finish();
    }

    /// The server finds the end of the stream.
    pub(crate) fn end_server(&mut self) {
        self.server.finish();
    }

    /// The server's connection is gone without a word.
    pub(crate) fn cut_server(&mut self) {
        let _ = self.server.tcp.shutdown(Shutdown::Both);
        self.server.is_over = true;
    }

    /// The client gets what there is for it, and then a reset.
    pub(crate) fn reset_client(&mut self) {
        self.resets = true;
    }

    /// The client's connection is gone without a word.
    pub(crate) fn cut_client(&mut self) {
        let _ = self.client.tcp.shutdown(Shutdown::Both);
        self.client.is_over = true;
    }
}

/// How the proxy accepts connections.
pub(crate) struct Entry {
    /// TLS towards the client.
    pub(crate) tls: Arc<ServerConfig>,
    /// What becomes of a client that does not speak TLS: the server gets it as it is, or else it is served as if it did.
    pub(crate) serves_plain: bool,
    /// Takes a connection over before anything has come on it; if it says so, it is not proxied.
    pub(crate) first: Option<fn(&TcpStream) -> bool>,
}

impl Entry {
    pub(crate) fn new(
        versions: &[&'static rustls::SupportedProtocolVersion],
        alpn: &[&str],
    ) -> Self {
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = pair.signing_key.serialize_der();
        let config = server_config(pair.cert.der().clone(), key, versions, alpn).unwrap();
        Self {
            tls: Arc::new(config),
            serves_plain: false,
            first: None,
        }
    }
}

impl Default for Entry {
    fn default() -> Self {
        Self::new(rustls::ALL_VERSIONS, &["http/1.1"])
    }
}

/// A proxy, until it is dropped.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    /// The same port over IPv4, and over IPv6 if there is any.
    pub(crate) addresses: Vec<SocketAddr>,
    /// Where it listens itself.
    own: Vec<SocketAddr>,
    /// What leads there, if it is not reached directly.
    way: Option<Way>,
    stop: Arc<AtomicBool>,
}

impl Proxy {
    /// Dials the server for each connection that it gets.
    pub(crate) fn start(
        server: SocketAddr,
        entry: Entry,
        hooks: impl Fn() -> Hooks + Send + Sync + 'static,
    ) -> Self {
        let listeners = listeners();
        let addresses = listeners.iter().map(|one| one.local_addr().unwrap());
        let addresses: Vec<_> = addresses.collect();
        let stop = Arc::new(AtomicBool::new(false));
        let entry = Arc::new(entry);
        let hooks = Arc::new(hooks);
        let count = Arc::new(AtomicUsize::new(0));
        for listener in listeners {
            let (stopped, entry, hooks) = (stop.clone(), entry.clone(), hooks.clone());
            let count = count.clone();
            thread::spawn(move || {
                for client in listener.incoming() {
                    if stopped.load(Ordering::Relaxed) {
                        return;
                    }
                    let (Ok(client), entry, hooks) = (client, entry.clone(), hooks.clone()) else {
                        return;
                    };
                    let stopped = stopped.clone();
                    let number = count.fetch_add(1, Ordering::Relaxed);
                    thread::spawn(move || {
                        let _ = serve(client, server, &entry, hooks(), number, &stopped);
                    });
                }
            });
        }
        Self {
            address: addresses[0],
            own: addresses.clone(),
            addresses,
            way: None,
            stop,
        }
    }

    /// The same at the end of a way.
    pub(crate) fn over(mut self, manner: &Manner) -> Self {
        let way = Way::to(&self.own, manner);
        self.address = way.addresses[0];
        self.addresses.clone_from(&way.addresses);
        self.way = Some(way);
        self
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // So that its threads see it.
        for address in &self.own {
            let _ = TcpStream::connect(address);
        }
    }
}

/// One port over IPv4, and over IPv6 if there is any.
pub(crate) fn listeners() -> Vec<TcpListener> {
    let has_ipv6 = TcpListener::bind("[::1]:0").is_ok();
    loop {
        let four = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = four.local_addr().unwrap().port();
        match TcpListener::bind(("::1", port)) {
            Ok(six) => return vec![four, six],
            Err(_) if !has_ipv6 => return vec![four],
            // It is taken there.
            Err(_) => {}
        }
    }
}

fn serve(
    client: TcpStream,
    address: SocketAddr,
    entry: &Entry,
    mut hooks: Hooks,
    number: usize,
    stopped: &AtomicBool,
) -> io::Result<()> {
    if entry.first.is_some_and(|first| first(&client)) {
        return Ok(());
    }
    let began = Instant::now();
    let server = dial(address)?;
    // So that what a client does not take soon waits in the server.
    SockRef::from(&client).set_send_buffer_size(NARROW)?;
    // What comes first shows whether it is TLS; the server may have had enough before.
    let mut first = [0];
    loop {
        let mut fds = [
            PollFd::new(&client, PollFlags::IN),
            PollFd::new(&server, PollFlags::IN),
        ];
        poll(
            &mut fds,
            Some(&Timespec::try_from(Duration::from_millis(200)).unwrap()),
        )?;
        if stopped.load(Ordering::Relaxed) || !fds[1].revents().is_empty() {
            return Ok(());
        }
        if !fds[0].revents().is_empty() {
            break;
        }
    }
    let is_tls = client.peek(&mut first)? == 1 && first[0] == 0x16;
    let client_tls = is_tls.then(|| ServerConnection::new(entry.tls.clone()).unwrap().into());
    let as_it_is = !is_tls && !entry.serves_plain;
    let mut wires = Wires {
        number,
        has_heard: false,
        began,
        upgraded: None,
        client: Side::new(client, client_tls)?,
        server: Side::new(server, None)?,
        closing: false,
        resets: false,
    };
    wires.client.records.clone_from(&hooks.records);
    let mut stage = if as_it_is { Stage::Raw } else { Stage::Head };
    let (mut request, mut response) = (Vec::new(), Vec::new());
    let mut up = Decoder::lenient(1 << 20);
    let mut down = Decoder::lenient(1 << 20);
    let (mut client_end_told, mut server_end_told) = (false, false);
    loop {
        let from_client = match wires.server.out.len() < 1 << 18 {
            true => wires.client.receive(),
            false => Vec::new(),
        };
        let tls = wires.client.tls.as_ref();
        if !as_it_is && wires.server.tls.is_none() && tls.is_none_or(|tls| !tls.is_handshaking()) {
            let name = ServerName::try_from("localhost").unwrap();
            let tls = ClientConnection::new(client_tls_config(), name).unwrap();
            wires.server.tls = Some(tls.into());
        }
        let from_server = match hooks.is_greedy || wires.client.out.len() < 1 << 18 {
            // Before the server's TLS there is nothing to be read but its end.
            true => wires.server.receive(),
            false => Vec::new(),
        };
        match stage {
            Stage::Raw => {
                wires.server.send(&from_client);
                wires.client.send(&from_server);
            }
            Stage::Head => {
                let was = complete(&request);
                request.extend(&from_client);
                match (&mut hooks.request, was, complete(&request)) {
                    // The server gets it as it comes.
                    (None, None, None) => wires.server.send(&from_client),
                    (None, None, Some(length)) => {
                        let before = request.len() - from_client.len();
                        let bytes = request[before..length].to_vec();
                        wires.server.send(&bytes);
                    }
                    (Some(hook), None, Some(length)) => {
                        let bytes = match Request::parse(&request[..length]) {
                            Ok(Some((mut parsed, _))) => {
                                hook(&mut parsed, &mut wires);
                                parsed.encode()
                            }
                            // What is no request is shown as the target of one, and passes as it is.
                            _ => {
                                let bytes = request[..length].to_vec();
                                let target = String::from_utf8_lossy(&bytes);
                                hook(&mut Request::plain("").at(&target), &mut wires);
                                bytes
                            }
                        };
                        wires.server.send(&bytes);
                    }
                    _ => {}
                }
                response.extend(&from_server);
                if let Some(length) = complete(&response) {
                    let rest = response.split_off(length);
                    let parsed = Response::parse(&response);
                    let Ok(Some((mut parsed, _))) = parsed else {
                        return Ok(());
                    };
                    parsed.body = rest;
                    if let Some(hook) = &mut hooks.response {
                        hook(&mut parsed, &mut wires);
                    }
                    let behind = complete(&request).map(|length| request.split_off(length));
                    let behind = behind.unwrap_or_default();
                    if parsed.status == 101 {
                        stage = Stage::Frames;
                        wires.upgraded = Some(Instant::now());
                        let early = std::mem::take(&mut parsed.body);
                        wires.client.send(&parsed.encode());
                        pass_up(&behind, &mut up, &mut hooks, &mut wires);
                        pass_down(&early, &mut down, &mut hooks, &mut wires);
                    } else {
                        stage = Stage::Raw;
                        wires.client.send(&parsed.encode());
                        wires.server.send(&behind);
                    }
                }
            }
            Stage::Frames => {
                pass_up(&from_client, &mut up, &mut hooks, &mut wires);
                pass_down(&from_server, &mut down, &mut hooks, &mut wires);
            }
        }
        if let Some(hook) = &mut hooks.tick {
            hook(&mut wires);
        }
        if wires.client.has_ended && !client_end_told {
            client_end_told = true;
            match &mut hooks.client_ended {
                Some(hook) => hook(&mut wires),
                None => wires.server.finish(),
            }
        }
        if wires.server.has_ended && !server_end_told {
            server_end_told = true;
            match &mut hooks.server_ended {
                Some(hook) => hook(&mut wires),
                None => wires.client.finish(),
            }
        }
        wires.client.flush();
        wires.server.flush();
        if wires.resets && !wires.client.wants_write() {
            SockRef::from(&wires.client.tcp).set_linger(Some(Duration::ZERO))?;
            return Ok(());
        }
        let over = |side: &Side| side.has_ended && (side.is_over || !side.wants_write());
        if stopped.load(Ordering::Relaxed)
            || (over(&wires.client) && over(&wires.server))
            || (wires.client.is_over && wires.client.has_ended && hooks.client_ended.is_none())
        {
            return Ok(());
        }
        if wires.client.is_over && wires.server.has_ended && server_end_told {
            return read_on(&wires.client.tcp, stopped);
        }
        wait(&wires, hooks.tick.is_some(), hooks.is_greedy)?;
    }
}

/// Reads on for a while, as a server does that has sent its last.
fn read_on(mut client: &TcpStream, stopped: &AtomicBool) -> io::Result<()> {
    let until = Instant::now() + Duration::from_secs(2);
    let mut rest = [0; 1 << 12];
    client.set_nonblocking(false)?;
    client.set_read_timeout(Some(Duration::from_millis(100)))?;
    while Instant::now() < until && !stopped.load(Ordering::Relaxed) {
        match client.read(&mut rest) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// How much the proxy's sockets hold between server and client.
const NARROW: usize = 128 << 10;

fn dial(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_recv_buffer_size(NARROW)?;
    socket.connect(&address.into())?;
    Ok(socket.into())
}

/// What is known of the connection so far.
enum Stage {
    /// The head of a request, and of its answer.
    Head,
    /// WebSocket frames.
    Frames,
    /// Neither.
    Raw,
}

fn wait(wires: &Wires, has_tick: bool, is_greedy: bool) -> io::Result<()> {
    let interest = |side: &Side, reads: bool| {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, reads && !side.has_ended);
        flags.set(PollFlags::OUT, side.wants_write());
        flags
    };
    let client = interest(&wires.client, wires.server.out.len() < 1 << 18);
    let takes = is_greedy || wires.client.out.len() < 1 << 18;
    let server = interest(&wires.server, takes);
    let mut fds = Vec::new();
    // A side without interest would only tell of its end again and again.
    if !client.is_empty() {
        fds.push(PollFd::new(&wires.client.tcp, client));
    }
    if !server.is_empty() {
        fds.push(PollFd::new(&wires.server.tcp, server));
    }
    let time = Duration::from_millis(if has_tick { 10 } else { 200 });
    match poll(&mut fds, Some(&Timespec::try_from(time).unwrap())) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn pass_up(bytes: &[u8], decoder: &mut Decoder, hooks: &mut Hooks, wires: &mut Wires) {
    if wires.closing {
    } else if let Some(hook) = &mut hooks.up_bytes {
        if !bytes.is_empty() {
            hook(bytes, wires);
        }
    } else if let Some(hook) = &mut hooks.up {
        decoder.push(bytes);
        while let Ok(Some(piece)) = decoder.next_piece() {
            match piece {
                Piece::Frame(frame) => hook(frame, wires),
                Piece::Part { bytes, .. } => wires.server.send(&bytes),
            }
        }
    } else {
        wires.server.send(bytes);
    }
}

fn pass_down(bytes: &[u8], decoder: &mut Decoder, hooks: &mut Hooks, wires: &mut Wires) {
    if wires.closing {
    } else if let Some(hook) = &mut hooks.down_bytes {
        if !bytes.is_empty() {
            hook(bytes, wires);
        }
    } else if let Some(hook) = &mut hooks.down {
        decoder.push(bytes);
        while let Ok(Some(piece)) = decoder.next_piece() {
            match piece {
                Piece::Frame(frame) => hook(frame, wires),
                Piece::Part { bytes, .. } => wires.bytes_client(&bytes),
            }
        }
    } else {
        wires.client.send(bytes);
    }
}

fn client_tls_config() -> Arc<ClientConfig> {
    Arc::new(client_config(&Trust::Anyone, rustls::ALL_VERSIONS, &[]).unwrap())
}
