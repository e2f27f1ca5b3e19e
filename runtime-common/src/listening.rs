//! Binding the listening sockets, and what there is to say when that fails or descriptors run out. Whoever accepts on
//! them is a runtime's business.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::config::{Config, Listen, Obstacle};

/// Sockets that listen, and what there is to say about them.
#[derive(Debug)]
pub struct Bound {
    /// The sockets.
    pub listeners: Vec<TcpListener>,
    /// Where each of them listens.
    pub addresses: Vec<SocketAddr>,
    /// Lines for the log.
    pub remarks: Vec<String>,
}

/// Executes a plan of addresses.
///
/// # Errors
///
/// One line that says what to do.
pub fn bind(plan: &Listen) -> Result<Bound, String> {
    let mut bound = Bound {
        listeners: Vec::new(),
        addresses: Vec::new(),
        remarks: Vec::new(),
    };
    match plan {
        Listen::Loopback { port } => bound.loopback(*port)?,
        Listen::Everywhere { port } => {
            let both = SocketAddr::from((Ipv6Addr::UNSPECIFIED, *port));
            if let Err(error) = bound.add(both, false) {
                if !no_such_family(&error) {
                    return Err(advice(both, &error));
                }
                let remark = "no IPv6 on this machine: listening on IPv4 only";
                bound.remarks.push(remark.to_owned());
                let v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, *port));
                bound.add(v4, false).map_err(|error| advice(v4, &error))?;
            }
        }
        Listen::Addresses(all) => {
            for &address in all {
                let only_v6 = plan.only_v6(address);
                bound
                    .add(address, only_v6)
                    .map_err(|error| advice(address, &error))?;
            }
        }
    }
    Ok(bound)
}

/// The socket on which metrics are served.
///
/// # Errors
///
/// One line that says what to do.
pub fn bind_metrics(address: SocketAddr) -> Result<TcpListener, String> {
    open(address, true).map_err(|error| metrics_advice(address, &error))
}

/// What to say when metrics can't be served there.
pub fn metrics_advice(address: SocketAddr, error: &io::Error) -> String {
    format!("metrics: {}", of_metrics(&advice(address, error)))
}

/// An advice about addresses in the words of that of the metrics.
fn of_metrics(line: &str) -> String {
    line.replace("--port", "--metrics")
        .replace("--listen", "--metrics")
}

/// What is in the way of listening on the addresses of this configuration. Nobody notices: nothing listens there, so
/// that nobody can connect, and who wants to listen there at the same moment can.
pub fn look(config: &Config) -> Vec<Obstacle> {
    let plan = &config.listen;
    let (key, addresses) = match plan {
        Listen::Loopback { port } => {
            let v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, *port));
            ("port", vec![v4, (Ipv6Addr::LOCALHOST, *port).into()])
        }
        Listen::Everywhere { port } => ("port", vec![(Ipv6Addr::UNSPECIFIED, *port).into()]),
        Listen::Addresses(all) => ("listen", all.clone()),
    };
    let mut obstacles = Vec::new();
    for mut address in addresses {
        let mut tried = socket(address, plan.only_v6(address));
        if address.is_ipv6() && tried.as_ref().is_err_and(no_such_family) {
            match plan {
                Listen::Loopback { .. } => continue,
                Listen::Everywhere { port } => {
                    address = (Ipv4Addr::UNSPECIFIED, *port).into();
                    tried = socket(address, false);
                }
                Listen::Addresses(_) => {}
            }
        }
        let found = tried.err().map(|error| obstacle(key, address, &error));
        obstacles.extend(found);
    }
    if let Some(address) = config.metrics
        && let Err(error) = socket(address, true)
    {
        let mut found = obstacle("metrics", address, &error);
        found.what = of_metrics(&found.what);
        obstacles.push(found);
    }
    obstacles
}

fn obstacle(key: &'static str, address: SocketAddr, error: &io::Error) -> Obstacle {
    let expected = error.kind() == io::ErrorKind::AddrInUse;
    let what = if expected {
        format!(
            "{address} is in use: right if this server runs already; else stop the other program, or choose another with --port"
        )
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        let line = advice(address, error);
        format!("{line}, or check as the user who runs the server")
    } else {
        advice(address, error)
    };
    Obstacle {
        key,
        what,
        expected,
    }
}

impl Bound {
    /// 127.0.0.1 and ::1 on one port. A free port for the first may be taken for the second.
    fn loopback(&mut self, port: u16) -> Result<(), String> {
        let v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        for last in [false, false, false, true] {
            self.add(v4, true).map_err(|error| advice(v4, &error))?;
            let taken = self.addresses.last().map_or(port, SocketAddr::port);
            let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, taken));
            match self.add(v6, true) {
                Ok(()) => return Ok(()),
                Err(error) if no_such_family(&error) => {
                    self.remarks
                        .push("no IPv6 on this machine: listening on 127.0.0.1 only".to_owned());
                    return Ok(());
                }
                Err(_) if port == 0 && !last => {
                    self.listeners.clear();
                    self.addresses.clear();
                }
                Err(error) => return Err(advice(v6, &error)),
            }
        }
        Ok(())
    }

    fn add(&mut self, address: SocketAddr, only_v6: bool) -> io::Result<()> {
        let listener = open(address, only_v6)?;
        self.addresses.push(listener.local_addr()?);
        self.listeners.push(listener);
        Ok(())
    }
}

fn open(address: SocketAddr, only_v6: bool) -> io::Result<TcpListener> {
    let socket = socket(address, only_v6)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// A socket that has its address, and does not listen yet.
fn socket(address: SocketAddr, only_v6: bool) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(only_v6)?;
    }
    // A restart must not wait for the connections of the process before.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn no_such_family(error: &io::Error) -> bool {
    // EAFNOSUPPORT has no kind of its own.
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(97)
}

/// What to say when nothing can listen there.
pub fn advice(address: SocketAddr, error: &io::Error) -> String {
    let kind = error.kind();
    let what = if kind == io::ErrorKind::AddrInUse {
        "the port is in use: stop the other program, or choose another with --port"
    } else if kind == io::ErrorKind::PermissionDenied {
        "not permitted: ports below 1024 need privileges; choose another with --port"
    } else if kind == io::ErrorKind::AddrNotAvailable {
        "this machine does not have the address: check --listen"
    } else {
        &error.to_string()
    };
    format!("cannot listen on {address}: {what}")
}

/// Sets an accepted socket: no waiting for full segments.
pub fn prepare(socket: SockRef<'_>) {
    if let Err(error) = socket.set_tcp_nodelay(true) {
        tracing::debug!("TCP_NODELAY: {error}");
    }
}

/// Has the system acknowledge at once what has come and what comes until the next answer. A client with
/// Nagle's algorithm does not send its next small segment before, and the system would wait 40 ms for an
/// answer to go with it.
#[cfg_attr(
    not(any(target_os = "linux", target_os = "android")),
    expect(unused_variables, reason = "only Linux has it")
)]
pub fn acknowledge(socket: SockRef<'_>) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Err(error) = socket.set_tcp_quickack(true) {
        tracing::debug!("TCP_QUICKACK: {error}");
    }
}

/// Taking connections without ever dying of it: when descriptors run out, whoever accepts neither spins nor stalls.
#[derive(Debug)]
pub struct Accepting {
    /// Given up to take, and drop, the connection that waits.
    reserve: Option<File>,
    descriptors: Shortage,
    threads: Shortage,
}

impl Accepting {
    /// Begins with a reserve, if there is one to be had.
    #[expect(clippy::new_without_default, reason = "it opens a file")]
    pub fn new() -> Self {
        Self {
            reserve: reserve(),
            descriptors: Shortage::default(),
            threads: Shortage::default(),
        }
    }

    /// A connection was taken.
    pub fn taken(&mut self) {
        if self.descriptors.is_over(Instant::now()) {
            tracing::info!("file descriptors again: taking new connections");
        }
    }

    /// It has a thread.
    pub fn served(&mut self) {
        if self.threads.is_over(Instant::now()) {
            tracing::info!("threads again: taking new connections");
        }
    }

    /// There is no thread for it, and it is dropped: how long to wait before the next.
    pub fn not_served(&mut self, error: &io::Error) -> Duration {
        if self.threads.is_new(Instant::now()) {
            tracing::warn!(
                "out of threads ({error}): dropping new connections; lower --max-sessions or raise the limit (ulimit -u, TasksMax=)"
            );
        }
        BACK_OFF
    }

    /// One could not be taken from this listener: how long to wait before the next.
    pub fn failed(&mut self, listener: &TcpListener, error: &io::Error) -> Duration {
        if is_out_of_descriptors(error) {
            if self.descriptors.is_new(Instant::now()) {
                tracing::warn!(
                    "out of file descriptors: dropping new connections; lower --max-sessions or raise the limit (ulimit -n)"
                );
            }
            if self.reserve.take().is_some() {
                let _ = listener.accept();
            }
            self.reserve = reserve();
            return BACK_OFF;
        }
        // The connection failed before it was taken: nothing is wrong with the listener.
        tracing::debug!("a connection failed while it was accepted: {error}");
        match error.kind() == io::ErrorKind::ConnectionAborted {
            true => Duration::ZERO,
            false => BACK_OFF,
        }
    }
}

fn reserve() -> Option<File> {
    File::open("/dev/null").ok()
}

/// Whether something is short, for the log. While it is, every other connection may find one that has just become free:
/// that is not the end of it.
#[derive(Debug, Default)]
struct Shortage {
    /// When there was last none.
    last: Option<Instant>,
}

impl Shortage {
    /// There is one now: whether that is news.
    fn is_new(&mut self, now: Instant) -> bool {
        let before = self.last.replace(now);
        before.is_none_or(|last| now - last >= CALM)
    }

    /// There is none now: whether that is news.
    fn is_over(&mut self, now: Instant) -> bool {
        self.last.take_if(|last| now - *last >= CALM).is_some()
    }
}

/// Whether that is why a connection could not be accepted.
fn is_out_of_descriptors(error: &io::Error) -> bool {
    // ENFILE and EMFILE.
    matches!(error.raw_os_error(), Some(23 | 24))
}

/// The pause after a failed accept.
const BACK_OFF: Duration = Duration::from_millis(50);

/// Connections that the kernel keeps until they are accepted.
const BACKLOG: i32 = 1024;

/// The time without a failure after which nothing is short any more.
const CALM: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_the_way_and_whether_that_is_a_mistake() {
        let address: SocketAddr = "[::]:443".parse().unwrap();
        let table = [
            (
                io::ErrorKind::AddrInUse,
                true,
                "[::]:443 is in use: right if this server runs already; else stop the other program, or choose another with --port",
            ),
            (
                io::ErrorKind::PermissionDenied,
                false,
                "cannot listen on [::]:443: not permitted: ports below 1024 need privileges; choose another with --port, or check as the user who runs the server",
            ),
            (
                io::ErrorKind::AddrNotAvailable,
                false,
                "cannot listen on [::]:443: this machine does not have the address: check --listen",
            ),
        ];
        for (kind, expected, what) in table {
            let found = obstacle("port", address, &kind.into());
            assert_eq!((found.expected, &found.what[..]), (expected, what));
        }
    }

    #[test]
    fn a_shortage_is_told_once_and_so_is_its_end() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut shortage = Shortage::default();
        assert!(!shortage.is_over(at(0)), "there was none");
        assert!(shortage.is_new(at(0)));
        for millis in (50..20_000).step_by(50) {
            let told = if millis % 100 == 0 {
                shortage.is_new(at(millis))
            } else {
                shortage.is_over(at(millis))
            };
            assert!(!told, "{millis}");
        }
        assert!(!shortage.is_over(at(29_000)));
        assert!(shortage.is_over(at(29_900)));
        assert!(!shortage.is_over(at(50_000)));
        assert!(shortage.is_new(at(50_000)));
        assert!(shortage.is_new(at(60_000)), "another, with nobody between");
        assert!(shortage.is_over(at(70_000)));
    }
}
