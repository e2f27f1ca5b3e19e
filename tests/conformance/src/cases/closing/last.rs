//! What is sent last, although not all input was read (client.md, X1.16).

use crate::case::{Case, Judged, Stop, case};
use crate::connection::Connection;
use crate::session::Session;
use crate::transcript::shown;
use crate::wire::{End, Frame, Length, Response, head};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(
            "X1.16/refused-header",
            "a close frame arrives although messages came right behind the header that is refused",
            |bench| {
                let mut alice = bench.open("alice")?;
                closed_all_the_same(&mut alice, Frame::text("{}").encode(), 4000)
            },
        ),
        case(
            "X1.16/violation",
            "a close frame arrives although messages came right behind a violation of RFC 6455",
            |bench| {
                let (mut alice, _bob) = bench.pair()?;
                let wrong = Frame::text("wrong").reserved(4).encode();
                closed_all_the_same(&mut alice, wrong, 1002)
            },
        ),
        case(
            "X1.16/too-long",
            "a close frame arrives although the message that is too long came with its head",
            |bench| {
                let (mut alice, _bob) = bench.pair()?;
                let length = bench.limits().max_message + MUCH as u64;
                closed_all_the_same(&mut alice, head(0x81, length, Length::Shortest, true), 1009)
            },
        ),
        case(
            "X1.16/close-frame",
            "a close frame arrives although messages came right behind the client's close frame",
            |bench| {
                let (mut alice, _bob) = bench.pair()?;
                closed_all_the_same(&mut alice, Frame::close(1000, "").encode(), 1000)
            },
        ),
        case(
            "X1.16/body",
            "the answer to a request arrives although the request has a body",
            |bench| {
                let length = MUCH.to_string();
                let request = bench.plain_request().method("POST");
                let mut bytes = request.with("Content-Length", &length).encode();
                bytes.resize(bytes.len() + MUCH, b'b');
                answered_all_the_same(bench.tls("client")?, &bytes, 405)
            },
        ),
        case(
            "X1.16/long-head",
            "the answer to a head that is too long arrives although more of the head came",
            |bench| {
                let request = bench.plain_request();
                let mut bytes = request.with("X-Padding", "p").encode();
                bytes.truncate(bytes.len() - 4);
                bytes.resize((16 << 10) + MUCH, b'p');
                answered_all_the_same(bench.tls("client")?, &bytes, 431)
            },
        ),
        case(
            "X1.16/plain-http",
            "the answer to plain HTTP arrives although the request has a body",
            |bench| {
                let length = MUCH.to_string();
                let request = bench.plain_request().method("POST");
                let mut bytes = request.with("Content-Length", &length).encode();
                bytes.resize(bytes.len() + MUCH, b'b');
                answered_all_the_same(bench.tcp("client")?, &bytes, 400)
            },
        ),
    ]
}

/// More than a server reads at once, and less than it may have had enough of.
const MUCH: usize = 48 << 10;

fn closed_all_the_same(session: &mut Session, mut bytes: Vec<u8>, code: u16) -> Judged {
    let short = shown(&bytes);
    while bytes.len() < MUCH {
        bytes.extend(Frame::text("and more ".repeat(100)).encode());
    }
    let what = format!(
        "{short}, and messages behind it, {} bytes in all",
        bytes.len()
    );
    session.send_bytes(&bytes, &what)?;
    session.closed(code)?;
    if code != 1000 {
        session.send(&Frame::close(code, ""))?;
    }
    let end = session.ends(session.patience())?;
    is_orderly(&end)
}

fn answered_all_the_same(mut connection: Connection, bytes: &[u8], status: u16) -> Judged {
    let begin = shown(&bytes[..bytes.len().min(100)]);
    let what = format!("{begin}…, {} bytes in all", bytes.len());
    connection.send(bytes, &what)?;
    let (came, end) = connection.rest(connection.patience)?;
    match Response::parse(&came) {
        Ok(Some((response, _))) if response.status == status => is_orderly(&end),
        _ => {
            let came = format!("{}, then {end}", shown(&came));
            Err(Stop::fail(format!("an answer with {status}"), came))
        }
    }
}

/// A reset may overtake what was sent before it.
fn is_orderly(end: &End) -> Judged {
    match end {
        End::Orderly => Ok(()),
        End::Cut | End::Reset | End::Tls(_) => Err(Stop::fail(
            "the server ends its direction, and reads on for a while",
            end.to_string(),
        )),
    }
}
