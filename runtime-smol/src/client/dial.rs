//! From an address to an open WebSocket.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use async_tungstenite::tungstenite::client::IntoClientRequest;
use async_tungstenite::tungstenite::error::Error as WsError;
use async_tungstenite::tungstenite::http::HeaderValue;
use async_tungstenite::tungstenite::protocol::WebSocketConfig;
use async_tungstenite::{WebSocketStream, client_async_with_config};
use futures_rustls::TlsConnector;
use futures_rustls::client::TlsStream;
use runtime_common::address::Address;
use runtime_common::trust::{self, Trust};
use rustls::ClientConfig;
use smol::Async;
use smol::io::{AsyncRead, AsyncWrite};
use socket2::{SockRef, TcpKeepalive};

use super::cork::{Cork, Corked};

pub(crate) type Stream = Corked<TlsStream<Async<TcpStream>>>;

/// Opens connections to one server.
#[derive(Clone)]
pub(crate) struct Dialer {
    way: Way,
    limits: WebSocketConfig,
}

/// The way to a server up to TLS, for a client and for a server that dials its peers.
#[derive(Clone)]
pub struct Way {
    address: Address,
    tls: TlsConnector,
    /// What the options begin with that say whom to trust.
    options: &'static str,
}

/// Why there is no connection.
#[derive(Debug)]
pub struct DialError {
    /// Trying again makes no sense.
    pub lasting: bool,
    /// One line that says what to do.
    pub text: String,
}

impl Dialer {
    pub(crate) fn new(address: Address, trust: &Trust, max_message: usize) -> Result<Self, String> {
        let limits = WebSocketConfig::default()
            .max_message_size(Some(max_message))
            .max_frame_size(Some(max_message))
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0);
        let way = Way::new(address, trust::client_config(trust, OPTIONS)?, OPTIONS);
        Ok(Self { way, limits })
    }

    pub(crate) async fn dial(self) -> Result<(WebSocketStream<Stream>, Cork), DialError> {
        let tcp = self.way.tcp().await?;
        let tls = self.way.tls(tcp).await?;
        let address = &self.way.address;
        let mut request = address.uri.clone().into_client_request().map_err(lasting)?;
        let token = HeaderValue::from_static(runtime_common::websocket::SUBPROTOCOL);
        request
            .headers_mut()
            .insert("Sec-WebSocket-Protocol", token); // T2.1
        let cork = Cork::default();
        let stream = Corked::new(tls, cork.clone());
        match client_async_with_config(request, stream, Some(self.limits)).await {
            Ok((socket, _)) => Ok((socket, cork)),
            Err(WsError::Http(response)) => {
                let status = response.status();
                Err(DialError {
                    lasting: !status.is_server_error(),
                    text: match status.as_u16() {
                        503 => format!("{} has no room now (HTTP 503): try again later", address),
                        code => {
                            format!("{} answers with HTTP {code}: is it a Mles server?", address)
                        }
                    },
                })
            }
            Err(WsError::Io(error)) => Err(self.way.explain(&error)),
            Err(error) => Err(DialError {
                lasting: true,
                text: format!(
                    "{} does not speak Mles ({error}): check the address",
                    address
                ),
            }),
        }
    }
}

impl Way {
    /// To this address.
    pub fn new(address: Address, tls: Arc<ClientConfig>, options: &'static str) -> Self {
        Self {
            address,
            tls: TlsConnector::from(tls),
            options,
        }
    }

    /// A TCP connection.
    ///
    /// # Errors
    /// There is none.
    pub async fn tcp(&self) -> Result<Async<TcpStream>, DialError> {
        let Address { host, port, .. } = &self.address;
        let found = smol::net::resolve((host.as_str(), *port)).await;
        let addresses = found.map_err(|error| DialError {
            lasting: false,
            text: format!(
                "the host '{host}' is not known ({error}): check the address and the network"
            ),
        })?;
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for address in addresses {
            let connected = smol::future::or(Async::<TcpStream>::connect(address), async {
                smol::Timer::after(EACH_ADDRESS).await;
                Err(io::ErrorKind::TimedOut.into())
            });
            match connected.await {
                Ok(stream) => match prepare(&stream) {
                    Ok(()) => return Ok(stream),
                    Err(error) => last = error,
                },
                Err(error) => last = error,
            }
        }
        Err(self.explain(&last))
    }

    /// TLS on it, with a server that is trusted.
    ///
    /// # Errors
    /// It has failed, or the server is not trusted.
    pub async fn tls<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
    ) -> Result<TlsStream<S>, DialError> {
        let tls = self.tls.connect(self.address.name.clone(), stream).await;
        tls.map_err(|error| self.explain_tls(&error))
    }

    fn explain(&self, error: &io::Error) -> DialError {
        let shown = &self.address;
        let text = if error.kind() == io::ErrorKind::ConnectionRefused {
            format!("nobody listens at {shown}: check the port, and whether the server runs")
        } else if error.kind() == io::ErrorKind::TimedOut {
            format!("{shown} does not answer: check the address and the network")
        } else {
            format!("no connection to {shown} ({error}): check the address and the network")
        };
        DialError {
            lasting: false,
            text,
        }
    }

    fn explain_tls(&self, error: &io::Error) -> DialError {
        let inner = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match inner {
            Some(rustls::Error::InvalidCertificate(error)) => {
                lasting(trust::refusal(error, self.options))
            }
            Some(rustls::Error::InvalidMessage(_)) => DialError {
                lasting: false,
                text: format!("{} does not speak TLS: check the port", self.address),
            },
            Some(_) | None => self.explain(error),
        }
    }
}

fn lasting(text: impl ToString) -> DialError {
    DialError {
        lasting: true,
        text: text.to_string(),
    }
}

/// No waiting for full segments; and a connection whose bytes are not acknowledged, or whose other end is gone while
/// nothing is said, ends in less than the time after which messages are taken for accepted.
fn prepare(stream: &Async<TcpStream>) -> io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(Duration::from_secs(25));
    let keepalive = keepalive
        .with_interval(Duration::from_secs(5))
        .with_retries(4);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(ACKNOWLEDGED))?;
    Ok(())
}

/// How long written bytes may stay without an acknowledgement: well below
/// [`ClientConfig::settle`](mles_sansio::client::ClientConfig::settle).
#[cfg(target_os = "linux")]
const ACKNOWLEDGED: Duration = Duration::from_secs(20);

/// What a client's options begin with.
const OPTIONS: &str = "--";

/// How long one of a host's addresses has to accept a connection.
const EACH_ADDRESS: Duration = Duration::from_secs(5);

const READ_BUFFER: usize = 32 << 10;
