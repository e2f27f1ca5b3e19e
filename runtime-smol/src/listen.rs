//! Binding the listening sockets, and taking connections from them without ever dying of it.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use runtime_common::config::{Config, Listen, Obstacle};
use smol::{Async, Timer};
use socket2::{Domain, Protocol, Socket, Type};

/// Sockets that listen, and what there is to say about them.
pub(crate) struct Bound {
    pub(crate) listeners: Vec<Async<TcpListener>>,
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) remarks: Vec<String>,
}

/// Executes a plan of addresses.
///
/// # Errors
///
/// One line that says what to do.
pub(crate) fn bind(plan: &Listen) -> Result<Bound, String> {
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
pub(crate) fn bind_metrics(address: SocketAddr) -> Result<Async<TcpListener>, String> {
    let failed = |error| format!("metrics: {}", of_metrics(&advice(address, &error)));
    open(address, true).map_err(failed)
}

/// An advice about addresses in the words of that of the metrics.
fn of_metrics(line: &str) -> String {
    line.replace("--port", "--metrics")
        .replace("--listen", "--metrics")
}

/// What is in the way of listening on the addresses of this configuration. Nobody notices: nothing listens there, so
/// that nobody can connect, and who wants to listen there at the same moment can.
pub(crate) fn look(config: &Config) -> Vec<Obstacle> {
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
        self.addresses.push(listener.get_ref().local_addr()?);
        self.listeners.push(listener);
        Ok(())
    }
}

fn open(address: SocketAddr, only_v6: bool) -> io::Result<Async<TcpListener>> {
    let socket = socket(address, only_v6)?;
    socket.listen(BACKLOG)?;
    Async::<TcpListener>::new(socket.into())
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

fn advice(address: SocketAddr, error: &io::Error) -> String {
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

/// Takes connections for ever. When descriptors run out it neither spins nor stalls: a reserve is
/// given up to take and drop the connection that waits, and the next is taken a little later.
pub(crate) async fn accept(
    listener: Async<TcpListener>,
    mut take: impl FnMut(Async<TcpStream>, SocketAddr),
) {
    let mut reserve = File::open("/dev/null").ok();
    let mut shortage = Shortage::default();
    for count in 1_u64.. {
        if count % AT_ONCE == 0 {
            smol::future::yield_now().await; // Those who are in have their turn.
        }
        match listener.accept().await {
            Ok((stream, address)) => {
                if shortage.ends(Instant::now()) {
                    tracing::info!("file descriptors again: taking new connections");
                }
                take(stream, address);
            }
            Err(error) if is_out_of_descriptors(&error) => {
                if shortage.begins(Instant::now()) {
                    tracing::warn!(
                        "out of file descriptors: dropping new connections; lower --max-sessions or raise the limit (ulimit -n)"
                    );
                }
                if reserve.take().is_some() {
                    let _ = listener.get_ref().accept();
                }
                reserve = File::open("/dev/null").ok();
                Timer::after(BACK_OFF).await;
            }
            // The connection failed before it was taken: nothing is wrong with the listener.
            Err(error) => {
                tracing::debug!("a connection failed while it was accepted: {error}");
                if error.kind() != io::ErrorKind::ConnectionAborted {
                    Timer::after(BACK_OFF).await;
                }
            }
        }
    }
}

/// Whether descriptors are short, for the log. While they are, every other connection may find one that
/// has just become free: that is not the end of it.
#[derive(Default)]
struct Shortage {
    /// When there was last none.
    last: Option<Instant>,
}

impl Shortage {
    /// There is none; says whether that is news.
    fn begins(&mut self, now: Instant) -> bool {
        let before = self.last.replace(now);
        before.is_none_or(|last| now - last >= CALM)
    }

    /// There was one; says whether it is over.
    fn ends(&mut self, now: Instant) -> bool {
        self.last.take_if(|last| now - *last >= CALM).is_some()
    }
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    // ENFILE and EMFILE.
    matches!(error.raw_os_error(), Some(23 | 24))
}

/// Connections that the kernel keeps until they are accepted.
const BACKLOG: i32 = 1024;

/// Connections taken in one go.
const AT_ONCE: u64 = 16;

/// The pause after a failed accept.
const BACK_OFF: Duration = Duration::from_millis(50);

/// The time without a failed accept after which descriptors are no longer short.
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
        assert!(!shortage.ends(at(0)), "there was none");
        assert!(shortage.begins(at(0)));
        for millis in (50..20_000).step_by(50) {
            let told = if millis % 100 == 0 {
                shortage.begins(at(millis))
            } else {
                shortage.ends(at(millis))
            };
            assert!(!told, "{millis}");
        }
        assert!(!shortage.ends(at(29_000)));
        assert!(shortage.ends(at(29_900)));
        assert!(!shortage.ends(at(50_000)));
        assert!(shortage.begins(at(50_000)));
        assert!(shortage.begins(at(60_000)), "another, with nobody between");
        assert!(shortage.ends(at(70_000)));
    }
}
