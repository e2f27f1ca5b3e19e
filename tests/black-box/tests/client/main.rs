//! The client programs `mles talk`, `mles pub` and `mles sub` against a server of the same program.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::fmt::Write as _;

use black_box::{Binary, Ended, Message, Server, Tool};

mod receiving;
mod refusals;
mod sending;
mod talking;

fn url(server: &Server) -> String {
    format!("wss://localhost:{}", server.address().port())
}

/// The port is asked of the server, so that it can be restarted there.
fn port(server: &Server) -> String {
    server.address().port().to_string()
}

fn code(ended: &Ended) -> Option<i32> {
    ended.status.code()
}

fn numbers(range: std::ops::RangeInclusive<u32>) -> String {
    range.fold(String::new(), |mut text, number| {
        writeln!(text, "{number}").unwrap();
        text
    })
}

fn publish(client: &Binary, url: &str, options: &[&str], input: &str) -> Ended {
    let args = [&["pub", url, "--channel", "c", "--insecure"], options].concat();
    let mut tool = Tool::start(client, &args, &[]);
    tool.write(input);
    tool.wait()
}

/// What a newcomer gets, by the channel's order.
fn history(server: &Server) -> Vec<String> {
    let messages = server.join("newcomer", "c").leave();
    let texts = messages.iter().filter_map(|message| match message {
        Message::Text(text) if !text.starts_with('{') => Some(text.to_string()),
        Message::Text(_) | Message::Binary(_) => None,
        Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => None,
    });
    texts.collect()
}

/// One line that says what to do.
#[track_caller]
fn assert_fails(ended: &Ended, part: &str) {
    assert_eq!(code(ended), Some(1), "{ended:?}");
    let [line] = &ended.stderr[..] else {
        panic!("one line: {ended:#?}");
    };
    assert!(line.starts_with("error: ") && line.contains(part), "{line}");
    assert!(ended.stdout.is_empty());
}
