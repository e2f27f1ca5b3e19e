//! What holds of any bytes.

use super::{Answer, Gate, HEAD_MAX, HEADERS_MAX, Health, parse_head, respond};

/// Fuzz body. The first byte chooses the pieces in which the rest arrives: the head, or the
/// refusal, is that of reading it whole, and each head has a well-formed answer.
pub fn fuzz(data: &[u8]) {
    let [pieces, ref buf @ ..] = *data else {
        return;
    };
    let whole = parse_head(buf);
    let step = 1 + usize::from(pieces);
    let ends = (0..buf.len()).step_by(step).chain([buf.len()]);
    let first = ends
        .map(|end| parse_head(&buf[..end]))
        .find(|head| *head != Ok(None));
    assert_eq!(
        whole,
        first.unwrap_or(Ok(None)),
        "pieces make no difference"
    );
    let Ok(Some((head, used))) = whole else {
        return;
    };
    assert!(
        used <= HEAD_MAX && head.fields.len() <= HEADERS_MAX,
        "the bounds hold"
    );
    assert_eq!(
        parse_head(&buf[..used - 1]),
        Ok(None),
        "the head is no longer than it must be"
    );
    for gate in [Gate::Open, Gate::Full, Gate::ShuttingDown] {
        match respond(&head, gate, &Health::new(true)) {
            Answer::Upgrade { response } => {
                assert_eq!(gate, Gate::Open, "the gate is respected");
                assert!(response.starts_with(b"HTTP/1.1 101 "), "it upgrades");
                assert!(response.ends_with(b"\r\n\r\n"), "it has no body");
            }
            Answer::Close { response, status } => {
                let line = format!("HTTP/1.1 {status} ");
                assert!(response.starts_with(line.as_bytes()), "it has its status");
            }
        }
    }
}
