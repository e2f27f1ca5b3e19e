//! TLS records made by hand, also those that no library would make.

use std::io::{self, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA384, KeyType, Prk};
use rustls::version::TLS13;
use rustls::{CipherSuite, KeyLog};

use crate::tls;

/// The sending half of a TLS 1.3 connection (RFC 8446 sections 5.2 and 7).
#[derive(Debug)]
pub struct Records {
    tcp: TcpStream,
    secret: [u8; 48],
    key: LessSafeKey,
    iv: [u8; 12],
    sequence: u64,
}

impl Records {
    /// A connection, its handshake complete.
    #[must_use]
    pub fn on(tcp: TcpStream) -> Self {
        let secret = Arc::new(Secret::default());
        let mut config = tls::config_of(&[&TLS13], &[]);
        config.key_log = secret.clone();
        let stream = tls::connect(tcp, &Arc::new(config)).expect("TLS handshake");
        let suite = stream.conn.negotiated_cipher_suite().unwrap().suite();
        assert_eq!(suite, CipherSuite::TLS13_AES_256_GCM_SHA384);
        let secret = secret.0.lock().unwrap()[..].try_into().unwrap();
        let (key, iv) = keys(&secret);
        Self {
            tcp: stream.sock,
            secret,
            key,
            iv,
            sequence: 0,
        }
    }

    /// Sends application data in one record.
    ///
    /// # Errors
    /// The connection is closed.
    pub fn send(&mut self, data: &[u8]) -> io::Result<()> {
        let record = self.seal(APPLICATION_DATA, data);
        self.tcp.write_all(&record)
    }

    /// Sends this many times as many records without data as a server takes in a row, and new keys; says
    /// how many bytes that was.
    ///
    /// # Errors
    /// The connection is closed.
    pub fn send_nothing(&mut self, times: usize) -> io::Result<usize> {
        let mut bytes = Vec::new();
        for _ in 0..times {
            (0..32).for_each(|_| bytes.extend(self.seal(APPLICATION_DATA, b"")));
            bytes.extend(self.seal(HANDSHAKE, &KEY_UPDATE));
            let mut next = [0; 48];
            expand(&self.secret, b"traffic upd", &mut next);
            self.secret = next;
            (self.key, self.iv) = keys(&next);
            self.sequence = 0;
        }
        self.tcp.write_all(&bytes)?;
        Ok(bytes.len())
    }

    fn seal(&mut self, kind: u8, data: &[u8]) -> Vec<u8> {
        let mut nonce = self.iv;
        let low = nonce[4..].iter_mut().zip(self.sequence.to_be_bytes());
        low.for_each(|(byte, number)| *byte ^= number);
        self.sequence += 1;
        let mut inner = [data, &[kind]].concat();
        let length = u16::try_from(inner.len() + AES_256_GCM.tag_len()).unwrap();
        let length = length.to_be_bytes();
        let head = [APPLICATION_DATA, 3, 3, length[0], length[1]];
        let nonce = Nonce::assume_unique_for_key(nonce);
        let sealed = self
            .key
            .seal_in_place_append_tag(nonce, Aad::from(head), &mut inner);
        sealed.unwrap();
        [&head[..], &inner].concat()
    }
}

/// The key and the nonces' base that belong to a secret.
fn keys(secret: &[u8; 48]) -> (LessSafeKey, [u8; 12]) {
    let (mut key, mut iv) = ([0; 32], [0; 12]);
    expand(secret, b"key", &mut key);
    expand(secret, b"iv", &mut iv);
    (
        LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).unwrap()),
        iv,
    )
}

/// HKDF-Expand-Label without a context.
fn expand(secret: &[u8; 48], label: &[u8], out: &mut [u8]) {
    struct Length(usize);
    impl KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    let (length, label_length) = (out.len() as u8, 6 + label.len() as u8);
    let info: [&[u8]; 4] = [&[0, length, label_length], b"tls13 ", label, &[0]];
    let prk = Prk::new_less_safe(HKDF_SHA384, secret);
    let expanded = prk.expand(&info, Length(out.len())).unwrap();
    expanded.fill(out).unwrap();
}

/// The first secret under which the client sends data.
#[derive(Debug, Default)]
struct Secret(Mutex<Vec<u8>>);

impl KeyLog for Secret {
    fn log(&self, label: &str, _: &[u8], secret: &[u8]) {
        if label == "CLIENT_TRAFFIC_SECRET_0" {
            *self.0.lock().unwrap() = secret.to_vec();
        }
    }
}

/// Types of records.
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

/// A handshake message: the client's keys change, the server's need not.
const KEY_UPDATE: [u8; 5] = [24, 0, 0, 1, 0];
