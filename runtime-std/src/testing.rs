//! A session and the client at its other end, for the tests.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use mles_sansio::{Role, Source};
use runtime_common::config::Config;
use runtime_common::trust::{Trust, client_config};
use rustls::pki_types::PrivateKeyDer;
use rustls::{
    ClientConnection, ConnectionCommon, ServerConfig, ServerConnection, SideData, StreamOwned,
};

use crate::inbox::{Inbox, Letters};
use crate::session::Session;
use crate::transport::Transport;

pub(crate) type Client = StreamOwned<ClientConnection, TcpStream>;

/// How long anything may take that is expected to happen at once, on a machine that is busy.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A session whose WebSocket is open, and its client. No thread reads it yet.
pub(crate) fn session(inbox: &Inbox) -> (Arc<Session>, Client) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let here = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    here.set_read_timeout(Some(DEADLINE)).unwrap();
    let there = Arc::new(listener.accept().unwrap().0);
    let (client, server) = tls();
    let session = inbox.open(Role::Accepted, Source::default(), |conn| {
        let transport = Transport::accepted(server, there.clone());
        Session::new(conn, there, transport, Vec::new())
    });
    (session, StreamOwned::new(client, here))
}

/// Both ends of TLS, the handshake being over.
fn tls() -> (ClientConnection, ServerConnection) {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().der().clone();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    config.send_tls13_tickets = 0;
    let mut server = ServerConnection::new(Arc::new(config)).unwrap();
    let config = client_config(&Trust::Anyone, "").unwrap();
    let name = "localhost".try_into().unwrap();
    let mut client = ClientConnection::new(config, name).unwrap();
    while client.wants_write() || server.wants_write() {
        pass(&mut client, &mut server);
        pass(&mut server, &mut client);
    }
    (client, server)
}

fn pass(from: &mut ConnectionCommon<impl SideData>, to: &mut ConnectionCommon<impl SideData>) {
    let mut bytes = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut bytes).unwrap();
    }
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        to.read_tls(&mut rest).unwrap();
        to.process_new_packets().unwrap();
    }
}

/// A short frame of a client's.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    assert!(length < 126, "a short one");
    let mut frame = vec![first, 0x80 | length, 0, 0, 0, 0];
    frame.extend_from_slice(payload);
    frame
}

pub(crate) const TEXT: u8 = 0x81;
pub(crate) const CLOSE: u8 = 0x88;

pub(crate) const HEADER: &[u8] = br#"{"uid":"alice","channel":"c"}"#;

/// The default one.
pub(crate) fn config() -> Config {
    Config::load(["mles".into()].into_iter(), &|_| None, &|_| Vec::new()).unwrap()
}

/// What has come in; waits until something has.
pub(crate) fn letters(inbox: &Inbox) -> Letters {
    let mut letters = Letters::default();
    inbox.take(&mut letters, None);
    letters
}

/// Whether that is the end of the stream without TLS's goodbye.
pub(crate) fn is_end(read: &io::Result<usize>) -> bool {
    match read {
        Ok(count) => *count == 0,
        Err(error) => error.kind() == io::ErrorKind::UnexpectedEof,
    }
}
