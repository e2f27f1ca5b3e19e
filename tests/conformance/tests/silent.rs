//! No case passes against a server that says nothing, however far it lets the judge get.

#![expect(
    clippy::unwrap_used,
    reason = "this is test code: what is not expected is a panic, and that is how it says so"
)]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use mles_conformance::wire::{Request, Response, Trust, complete, server_config};
use mles_conformance::{Subject, Target, cases, run_one};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// Where a server stops to say anything.
#[derive(Clone, Copy, Debug)]
enum Silent {
    /// It accepts connections.
    FromTheStart,
    /// It completes the handshake of TLS.
    AfterTls,
    /// It upgrades, and reads whatever comes.
    AfterTheUpgrade,
}

fn serve(tcp: TcpStream, silent: Silent, tls: Arc<ServerConfig>) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    match silent {
        Silent::FromTheStart => {
            let mut tcp = tcp;
            while tcp.read(&mut buffer)? > 0 {}
        }
        Silent::AfterTls | Silent::AfterTheUpgrade => {
            let mut stream = StreamOwned::new(ServerConnection::new(tls).unwrap(), tcp);
            let mut upgraded = matches!(silent, Silent::AfterTls);
            loop {
                let count = stream.read(&mut buffer)?;
                if count == 0 {
                    return Ok(());
                }
                bytes.extend(&buffer[..count]);
                if !upgraded && complete(&bytes).is_some() {
                    upgraded = true;
                    let Ok(Some((request, _))) = Request::parse(&bytes) else {
                        continue;
                    };
                    stream.write_all(&Response::upgraded(&request).encode())?;
                    stream.flush()?;
                }
                if upgraded {
                    bytes.clear();
                }
            }
        }
    }
    Ok(())
}

fn listen(silent: Silent) -> SocketAddr {
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = pair.signing_key.serialize_der();
    let config = server_config(
        pair.cert.der().clone(),
        key,
        rustls::ALL_VERSIONS,
        &["http/1.1"],
    );
    let config = Arc::new(config.unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for tcp in listener.incoming().map_while(Result::ok) {
            let config = config.clone();
            thread::spawn(move || serve(tcp, silent, config));
        }
    });
    address
}

fn nothing_passes(silent: Silent) {
    let address = listen(silent);
    let target = |key: Option<&str>, peer_key: Option<&str>| {
        let mut target = Target::new(&format!("wss://{address}"), Trust::Anyone).unwrap();
        for limit in [
            "probe-timeout=1s",
            "header-timeout=1s",
            "handshake-timeout=1s",
            "ping-interval=1s",
            "replay-timeout=1s",
        ] {
            target.limits.set(limit).unwrap();
        }
        target.patience = Duration::from_millis(500);
        target.key = key.map(str::to_owned);
        target.peer_key = peer_key.map(str::to_owned);
        target.shutdown = Some("true".to_owned());
        Subject::Server(Arc::new(target))
    };
    let targets = [target(None, None), target(Some("key"), Some("peer key"))];
    let cases = cases::all();
    let work: Vec<_> = targets
        .iter()
        .flat_map(|target| cases.iter().map(move |case| (target, case)))
        .collect();
    let next = Mutex::new(work.iter());
    let passed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..48 {
            scope.spawn(|| {
                loop {
                    let Some((target, case)) = next.lock().unwrap().next().copied() else {
                        return;
                    };
                    let verdict = run_one(target, case);
                    if verdict.result.is_ok() {
                        let lines = verdict.transcript.iter().map(|line| format!("  {line}\n"));
                        let shown = format!("{case:?}\n{}", lines.collect::<String>());
                        passed.lock().unwrap().push(shown);
                    }
                }
            });
        }
    });
    let passed = passed.into_inner().unwrap();
    assert!(passed.is_empty(), "{silent:?}:\n{}", passed.join("\n"));
}

#[test]
fn nothing_passes_where_connections_are_accepted() {
    nothing_passes(Silent::FromTheStart);
}

#[test]
fn nothing_passes_where_tls_is_spoken() {
    nothing_passes(Silent::AfterTls);
}

#[test]
fn nothing_passes_where_connections_are_upgraded() {
    nothing_passes(Silent::AfterTheUpgrade);
}
