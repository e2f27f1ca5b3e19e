//! On the way to a server: what its socket is set to, and what was in the way, for a person.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

use crate::address::Address;
use crate::http::NotUpgraded;
use crate::trust;

/// Why there is no connection.
#[derive(Debug)]
pub struct DialError {
    /// Trying again makes no sense.
    pub lasting: bool,
    /// One line that says what to do.
    pub text: String,
}

impl DialError {
    /// One that trying again does not help against.
    pub fn lasting(text: impl ToString) -> Self {
        Self {
            lasting: true,
            text: text.to_string(),
        }
    }

    /// One that may be gone at the next try.
    pub fn passing(text: String) -> Self {
        Self {
            lasting: false,
            text,
        }
    }

    /// The name of the host has no address.
    pub fn unknown_host(host: &str, error: &io::Error) -> Self {
        Self::passing(format!(
            "the host '{host}' is not known ({error}): check the address and the network"
        ))
    }

    /// There is no connection to this address, or none any more.
    pub fn of_tcp(shown: &Address, error: &io::Error) -> Self {
        Self::passing(if error.kind() == io::ErrorKind::ConnectionRefused {
            format!("nobody listens at {shown}: check the port, and whether the server runs")
        } else if error.kind() == io::ErrorKind::TimedOut {
            format!("{shown} does not answer: check the address and the network")
        } else {
            format!("no connection to {shown} ({error}): check the address and the network")
        })
    }

    /// The handshake of TLS has failed; `options` as for [`trust::client_config`].
    pub fn of_tls(shown: &Address, error: &io::Error, options: &str) -> Self {
        let inner = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match inner {
            Some(rustls::Error::InvalidCertificate(error)) => {
                Self::lasting(trust::refusal(error, options))
            }
            Some(rustls::Error::InvalidMessage(_)) => {
                Self::passing(format!("{shown} does not speak TLS: check the port"))
            }
            Some(_) | None => Self::of_tcp(shown, error),
        }
    }

    /// The server has answered with this status of HTTP in place of a WebSocket.
    pub fn of_http(shown: &Address, status: u16) -> Self {
        Self {
            lasting: !(500..600).contains(&status),
            text: match status {
                503 => format!("{shown} has no room now (HTTP 503): try again later"),
                code => format!("{shown} answers with HTTP {code}: is it a Mles server?"),
            },
        }
    }

    /// There was no upgrade.
    pub fn of_upgrade(shown: &Address, error: NotUpgraded) -> Self {
        match error {
            NotUpgraded::Status(status) => Self::of_http(shown, status),
            NotUpgraded::Other(what) => Self::no_mles(shown, what),
        }
    }

    /// It has answered with something else.
    pub fn no_mles(shown: &Address, error: impl std::fmt::Display) -> Self {
        Self::lasting(format!(
            "{shown} does not speak Mles ({error}): check the address"
        ))
    }
}

impl From<DialError> for String {
    fn from(error: DialError) -> Self {
        error.text
    }
}

/// No waiting for full segments; and a connection whose bytes are not acknowledged, or whose other end is gone while
/// nothing is said, ends in less than the time after which messages are taken for accepted.
///
/// # Errors
/// The operating system refuses one of them.
pub fn prepare(socket: SockRef<'_>) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(Duration::from_secs(25));
    let keepalive = keepalive
        .with_interval(Duration::from_secs(5))
        .with_retries(4);
    socket.set_tcp_keepalive(&keepalive)?;
    acknowledged_within(&socket, ACKNOWLEDGED)
}

/// Behind [`prepare`], for a server that has dialed another one: what went over a bridge counts as accepted sooner
/// (B1.8).
///
/// # Errors
/// The operating system refuses it.
pub fn prepare_for_server(socket: SockRef<'_>) -> io::Result<()> {
    acknowledged_within(&socket, ACKNOWLEDGED_BY_SERVER)
}

/// Ends the connection when written bytes stay without an acknowledgement for so long, where that can be had.
#[cfg_attr(
    not(target_os = "linux"),
    expect(unused_variables, reason = "only Linux has it")
)]
fn acknowledged_within(socket: &SockRef<'_>, time: Duration) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(time))?;
    Ok(())
}

/// How long written bytes may stay without an acknowledgement: well below
/// [`ClientConfig::settle`](mles_sansio::client::ClientConfig::settle).
const ACKNOWLEDGED: Duration = Duration::from_secs(20);

/// The same between servers: less than the time after which what went over a bridge counts as accepted (B1.8).
const ACKNOWLEDGED_BY_SERVER: Duration = Duration::from_secs(8);

/// How long one of a host's addresses has to accept a connection.
pub const EACH_ADDRESS: Duration = Duration::from_secs(5);
