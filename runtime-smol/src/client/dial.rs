//! From an address to an open WebSocket.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;

use async_tungstenite::tungstenite::client::IntoClientRequest;
use async_tungstenite::tungstenite::error::Error as WsError;
use async_tungstenite::tungstenite::http::HeaderValue;
use async_tungstenite::tungstenite::protocol::WebSocketConfig;
use async_tungstenite::{WebSocketStream, client_async_with_config};
use futures_rustls::TlsConnector;
use futures_rustls::client::TlsStream;
use runtime_common::address::Address;
use runtime_common::client::OPTIONS;
use runtime_common::dial::{DialError, EACH_ADDRESS, prepare};
use runtime_common::trust::{self, Trust};
use rustls::ClientConfig;
use smol::Async;
use smol::io::{AsyncRead, AsyncWrite};
use socket2::SockRef;

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
        let mut request = address
            .uri
            .clone()
            .into_client_request()
            .map_err(DialError::lasting)?;
        let token = HeaderValue::from_static(runtime_common::websocket::SUBPROTOCOL);
        request
            .headers_mut()
            .insert("Sec-WebSocket-Protocol", token); // T2.1
        let cork = Cork::default();
        let stream = Corked::new(tls, cork.clone());
        match client_async_with_config(request, stream, Some(self.limits)).await {
            Ok((socket, _)) => Ok((socket, cork)),
            Err(WsError::Http(response)) => {
                Err(DialError::of_http(address, response.status().as_u16()))
            }
            Err(WsError::Io(error)) => Err(DialError::of_tcp(address, &error)),
            Err(error) => Err(DialError::no_mles(address, error)),
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
        let addresses = found.map_err(|error| DialError::unknown_host(host, &error))?;
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for address in addresses {
            let connected = smol::future::or(Async::<TcpStream>::connect(address), async {
                smol::Timer::after(EACH_ADDRESS).await;
                Err(io::ErrorKind::TimedOut.into())
            });
            match connected.await {
                Ok(stream) => match prepare(SockRef::from(&stream)) {
                    Ok(()) => return Ok(stream),
                    Err(error) => last = error,
                },
                Err(error) => last = error,
            }
        }
        Err(DialError::of_tcp(&self.address, &last))
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
        tls.map_err(|error| DialError::of_tls(&self.address, &error, self.options))
    }
}

const READ_BUFFER: usize = 32 << 10;
