//! TLS: its versions, and ALPN.

use std::sync::Arc;
use std::time::Instant;

use rustls::SupportedProtocolVersion;
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};

use super::{control, lives};
use crate::bench::{Bench, random_digits};
use crate::case::{Case, Judged, Stop, case};
use crate::connection::Connection;
use crate::transcript::{Way, shown};
use crate::wire::{End, Read, client_config};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("T1.2/tls-1.2", "TLS 1.2 carries a session", |bench| {
            carries(bench, &[&TLS12], "TLS 1.2")
        })
        .connections(1),
        case("T1.2/tls-1.3", "TLS 1.3 carries a session", |bench| {
            carries(bench, &[&TLS13], "TLS 1.3")
        })
        .connections(1),
        case(
            "T1.2/nothing-older",
            "a client that knows nothing newer than TLS 1.1 gets no handshake",
            nothing_older,
        )
        .connections(1),
        case(
            "T1.3/selected",
            "http/1.1 is selected if it is among the protocols offered by ALPN",
            alpn_selected,
        )
        .connections(1),
        case(
            "T1.3/refused",
            "the handshake fails if http/1.1 is not among the protocols offered by ALPN",
            alpn_refused,
        )
        .connections(1),
        case(
            "T1.4/no-alpn",
            "a client that offers no ALPN gets a session",
            no_alpn,
        )
        .connections(1),
    ]
}

/// TLS in these versions and with this offer.
fn shaken(
    bench: &Bench,
    versions: &[&'static SupportedProtocolVersion],
    alpn: &[&str],
) -> Judged<Result<Connection, End>> {
    let config = client_config(&bench.target().trust, versions, alpn);
    let config = config.map_err(Stop::Inconclusive)?;
    bench.note(format!(
        "TLS of {versions:?}, by ALPN {alpn:?} is offered",
        versions = names(versions)
    ));
    bench.shake(bench.tcp("alice")?, Arc::new(config))
}

fn names(versions: &[&'static SupportedProtocolVersion]) -> Vec<rustls::ProtocolVersion> {
    versions.iter().map(|version| version.version).collect()
}

fn session_over(bench: &Bench, tls: Result<Connection, End>, what: &str) -> Judged {
    let expected = format!("a session {what}");
    let connection = tls.map_err(|end| Stop::fail(&expected, end.to_string()))?;
    let answer = bench.upgrade_on(connection, &bench.upgrade_request())?;
    match answer {
        Ok((session, _)) => lives(bench, session),
        Err(response) => Err(Stop::fail(expected, response.status.to_string())),
    }
}

fn carries(bench: &Bench, versions: &[&'static SupportedProtocolVersion], what: &str) -> Judged {
    control(bench)?;
    let tls = shaken(bench, versions, &["http/1.1"])?;
    session_over(bench, tls, &format!("over {what}"))
}

fn nothing_older(bench: &mut Bench) -> Judged {
    control(bench)?;
    for (version, name) in [(2, "TLS 1.1"), (1, "TLS 1.0"), (0, "SSL 3.0")] {
        let mut alice = bench.tcp("alice")?;
        let hello = old_hello(&bench.target().name, version);
        alice.send(&hello, &format!("the hello of a client of {name}"))?;
        let came = first_bytes(bench, &mut alice)?;
        // A record of the handshake, not an alert.
        if came.first() == Some(&22) {
            return Err(Stop::fail(
                format!("{name} is not accepted"),
                format!("a record of the handshake: {}", shown(&came)),
            ));
        }
    }
    Ok(())
}

/// The beginning of what comes, or nothing if the connection ends.
fn first_bytes(bench: &Bench, connection: &mut Connection) -> Judged<Vec<u8>> {
    // Whoever waits for more of the handshake does so at most this long.
    let deadline = Instant::now() + bench.limits().handshake_timeout + bench.patience();
    let mut buffer = vec![0; 1 << 12];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match connection.stream.read(&mut buffer, left) {
            Read::Bytes(count) => {
                buffer.truncate(count);
                let Connection {
                    who, transcript, ..
                } = connection;
                transcript.add(who, Way::Came, shown(&buffer));
                return Ok(buffer);
            }
            Read::End(end) => {
                let Connection {
                    who, transcript, ..
                } = connection;
                transcript.add(who, Way::Note, end.to_string());
                return Ok(Vec::new());
            }
            Read::Nothing if left.is_zero() => {
                let why = "neither an answer to the hello nor an end has come";
                return Err(Stop::Inconclusive(why.into()));
            }
            Read::Nothing => {}
        }
    }
}

/// A vector of TLS: its length in so many bytes, and what is in it.
fn vector(width: usize, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let mut bytes = length[length.len() - width..].to_vec();
    bytes.extend(content);
    bytes
}

/// The hello of a client that knows the version 3.`minor` at most, which is TLS 1.1 for 2.
fn old_hello(name: &ServerName<'_>, minor: u8) -> Vec<u8> {
    // ECDHE and RSA with AES in CBC and 3DES, as such clients have them.
    const SUITES: [u8; 20] = [
        0xc0, 0x09, 0xc0, 0x0a, 0xc0, 0x13, 0xc0, 0x14, 0x00, 0x33, 0x00, 0x39, 0x00, 0x2f, 0x00,
        0x35, 0x00, 0x0a, 0x00, 0xff,
    ];
    let mut body = vec![3, minor];
    body.extend(format!("{}{}", random_digits(), random_digits()).bytes());
    body.extend(vector(1, &[]));
    body.extend(vector(2, &SUITES));
    body.extend(vector(1, &[0]));
    if minor > 0 {
        let mut extensions = Vec::new();
        if let ServerName::DnsName(name) = name {
            let mut entry = vec![0];
            entry.extend(vector(2, name.as_ref().as_bytes()));
            extensions.extend([0, 0]);
            extensions.extend(vector(2, &vector(2, &entry)));
        }
        // The curves P-256, P-384 and X25519, and points without compression.
        extensions.extend([0, 10]);
        extensions.extend(vector(2, &vector(2, &[0, 23, 0, 24, 0, 29])));
        extensions.extend([0, 11]);
        extensions.extend(vector(2, &vector(1, &[0])));
        body.extend(vector(2, &extensions));
    }
    let mut handshake = vec![1];
    handshake.extend(vector(3, &body));
    let mut record = vec![22, 3, minor.min(1)];
    record.extend(vector(2, &handshake));
    record
}

fn alpn_of(connection: &Connection) -> String {
    let tls = connection.stream.connection();
    match tls.and_then(|tls| tls.alpn_protocol()) {
        Some(name) => format!("{} is selected", String::from_utf8_lossy(name)),
        None => "no protocol is selected".into(),
    }
}

fn alpn_selected(bench: &mut Bench) -> Judged {
    control(bench)?;
    let selected = |connection: &Connection, offer: &[&str]| {
        let came = alpn_of(connection);
        match came == "http/1.1 is selected" {
            true => Ok(()),
            false => Err(Stop::fail(
                format!("of {offer:?}, http/1.1 is selected"),
                came,
            )),
        }
    };
    for version in [&TLS12, &TLS13] {
        let alone = &["http/1.1"][..];
        // Which versions there are is not the point here.
        let Ok(connection) = shaken(bench, &[version], alone)? else {
            continue;
        };
        selected(&connection, alone)?;
        drop(connection);
        for offer in [
            &["h2", "http/1.1"][..],
            &["http/1.1", "h2"],
            &["h3", "http/1.0", "http/1.1", "x"],
        ] {
            match shaken(bench, &[version], offer)? {
                Ok(connection) => selected(&connection, offer)?,
                Err(end) => {
                    let expected = format!("of {offer:?}, http/1.1 is selected");
                    return Err(Stop::fail(expected, end.to_string()));
                }
            }
        }
    }
    Ok(())
}

fn alpn_refused(bench: &mut Bench) -> Judged {
    control(bench)?;
    for offer in [
        &["h2"][..],
        &["http/1.0"],
        &["h2", "HTTP/1.1", "http/1.10"],
        &["mles-websocket"],
    ] {
        for version in [&TLS12, &TLS13] {
            let began = Instant::now();
            match shaken(bench, &[version], offer)? {
                Ok(connection) => ends_behind_it(bench, connection, offer)?,
                Err(_) if began.elapsed() >= bench.patience() => {
                    let why = format!("with the offer of {offer:?} nothing came in time");
                    return Err(Stop::Inconclusive(why));
                }
                Err(_) => {}
            }
        }
    }
    Ok(())
}

/// A handshake that was complete although http/1.1 was not offered: TLS could not have it fail, and nothing is selected;
/// then the connection ends right behind it.
fn ends_behind_it(bench: &Bench, mut connection: Connection, offer: &[&str]) -> Judged {
    let came = format!("the handshake is complete; {}", alpn_of(&connection));
    let expected = format!(
        "with the offer of {offer:?} the handshake fails, or the connection ends right behind it"
    );
    let tls = connection.stream.connection();
    if tls.is_some_and(|tls| tls.alpn_protocol().is_some()) {
        return Err(Stop::fail(expected, came));
    }
    match connection.rest(bench.patience()) {
        Ok((bytes, _)) if bytes.is_empty() => Ok(()),
        Ok((bytes, _)) => Err(Stop::fail(expected, shown(&bytes))),
        Err(_) => Err(Stop::fail(
            expected,
            format!("{came}, and the connection is open"),
        )),
    }
}

fn no_alpn(bench: &mut Bench) -> Judged {
    control(bench)?;
    let tls = shaken(bench, rustls::ALL_VERSIONS, &[])?;
    session_over(bench, tls, "without ALPN")
}
