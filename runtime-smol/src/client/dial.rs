//! From an address to an open WebSocket.

use std::io;
use std::time::Duration;

use async_tungstenite::tungstenite::client::IntoClientRequest;
use async_tungstenite::tungstenite::error::Error as WsError;
use async_tungstenite::tungstenite::http::HeaderValue;
use async_tungstenite::tungstenite::protocol::WebSocketConfig;
use async_tungstenite::{WebSocketStream, client_async_with_config};
use futures_rustls::TlsConnector;
use futures_rustls::client::TlsStream;
use smol::net::TcpStream;
use socket2::{SockRef, TcpKeepalive};

use super::address::Address;
use super::cork::{Cork, Corked};
use super::trust::{self, Trust};

pub(crate) type Stream = Corked<TlsStream<TcpStream>>;

/// Opens connections to one server.
#[derive(Clone)]
pub(crate) struct Dialer {
    address: Address,
    tls: TlsConnector,
    limits: WebSocketConfig,
}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) struct DialError {
    /// Trying again makes no sense.
    pub(crate) lasting: bool,
    /// One line that says what to do.
    pub(crate) text: String,
}

impl Dialer {
    pub(crate) fn new(address: Address, trust: &Trust, max_message: usize) -> Result<Self, String> {
        let limits = WebSocketConfig::default()
            .max_message_size(Some(max_message))
            .max_frame_size(Some(max_message))
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0);
        Ok(Self {
            address,
            tls: TlsConnector::from(trust.client_config()?),
            limits,
        })
    }

    pub(crate) async fn dial(self) -> Result<(WebSocketStream<Stream>, Cork), DialError> {
        let tcp = self.tcp().await?;
        let tls = self.tls.connect(self.address.name.clone(), tcp).await;
        let tls = tls.map_err(|error| self.explain_tls(&error))?;
        let mut request = self
            .address
            .uri
            .clone()
            .into_client_request()
            .map_err(lasting)?;
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
                        503 => format!(
                            "{} has no room now (HTTP 503): try again later",
                            self.shown()
                        ),
                        code => format!(
                            "{} answers with HTTP {code}: is it a Mles server?",
                            self.shown()
                        ),
                    },
                })
            }
            Err(WsError::Io(error)) => Err(self.explain(&error)),
            Err(error) => Err(DialError {
                lasting: true,
                text: format!(
                    "{} does not speak Mles ({error}): check the address",
                    self.shown()
                ),
            }),
        }
    }

    async fn tcp(&self) -> Result<TcpStream, DialError> {
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
            let connected = smol::future::or(TcpStream::connect(address), async {
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

    fn explain(&self, error: &io::Error) -> DialError {
        let shown = self.shown();
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
            Some(rustls::Error::InvalidCertificate(error)) => lasting(trust::refusal(error)),
            Some(rustls::Error::InvalidMessage(_)) => DialError {
                lasting: false,
                text: format!("{} does not speak TLS: check the port", self.shown()),
            },
            Some(_) | None => self.explain(error),
        }
    }

    fn shown(&self) -> String {
        let Address { host, port, .. } = &self.address;
        match host.contains(':') {
            true => format!("[{host}]:{port}"),
            false => format!("{host}:{port}"),
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
fn prepare(stream: &TcpStream) -> io::Result<()> {
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

/// How long one of a host's addresses has to accept a connection.
const EACH_ADDRESS: Duration = Duration::from_secs(5);

const READ_BUFFER: usize = 32 << 10;
