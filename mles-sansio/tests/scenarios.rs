//! Runs the scenario files: a story, then commands, each with the complete trace it must give.
//!
//! A file is blocks separated by empty lines. A block is comment lines (`#`), command lines, a line
//! `----`, and the trace. Commands:
//!
//! ```text
//! config limit=2 key=secret …     a new node; spans in seconds
//! open c1                         a WebSocket is open
//! text c1 {"uid":"a",…}           a text message arrives; `header c1 a room` is short for a header
//! binary c1 bytes                 a binary message arrives; `size c1 300` is one of so many `x`
//! heard|pong|overrun|drained|replayed|close|lost c1
//! fault c1 Protocol|NotUtf8|TooBig|NoRoom
//! restore room alice 7 2h hello   an entry from before the start: number, age, text
//! repeat 3 text c1 no. {n}        a command several times; {n} counts from 1
//! wait 5s                         time passes; every timeout that comes due is handled
//! date 2d                         the date, and only that, moves on; `date -2d` back
//! timers                          what the node waits for next
//! history room                    what a channel remembers
//! stats                           counters that are not zero
//! shutdown
//! ```
//!
//! `MLES_REWRITE=1 cargo test -p mles-sansio --test scenarios` writes the traces anew. The story says
//! what must happen: read each rewritten line against the spec before you commit it.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::fmt::Write as _;
use std::time::Duration;

use common::{World, binary, close_frame, fault, header, heard, lost, open, pong, text};
use mles_sansio::{Action, Config, ConnId, Entry, Event, Fault, Frame, Instant, Key, NodeId};

#[test]
fn scenarios() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty());
    let mut wrong = String::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let (first, second) = (run(&text), run(&text));
        assert_eq!(first, second, "not deterministic: {file:?}"); // P8
        if std::env::var_os("MLES_REWRITE").is_some() {
            std::fs::write(&file, first).unwrap();
        } else if first != text {
            let at = first.lines().zip(text.lines()).position(|(a, b)| a != b);
            let line = at.unwrap_or_else(|| first.lines().count().min(text.lines().count()));
            let _ = writeln!(
                wrong,
                "{}:{}\n  expected {:?}\n  got      {:?}",
                file.display(),
                line + 1,
                text.lines().nth(line),
                first.lines().nth(line)
            );
        }
    }
    assert!(wrong.is_empty(), "traces differ:\n{wrong}");
}

/// The text with every trace made anew.
fn run(text: &str) -> String {
    let mut world = World::new(Config::default());
    let mut out = String::new();
    for block in text.trim_end().split("\n\n") {
        let mut trace = String::new();
        let mut commands = false;
        for line in block.lines().take_while(|line| *line != "----") {
            out.push_str(line);
            out.push('\n');
            if !line.starts_with('#') {
                commands = true;
                world.command(line, &mut trace);
            }
        }
        if commands {
            out.push_str("----\n");
            out.push_str(if trace.is_empty() {
                "nothing\n"
            } else {
                &trace
            });
        }
        out.push('\n');
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

impl World {
    fn command(&mut self, line: &str, trace: &mut String) {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        match verb {
            "config" => *self = Self::new(config(rest)),
            "wait" => {
                for (at, actions) in self.timeouts(span(rest)) {
                    if !actions.is_empty() {
                        let _ = writeln!(trace, "at {:?}:", at.since(Instant::from_micros(0)));
                    }
                    tell(actions, trace);
                }
            }
            "date" => match rest.strip_prefix('-') {
                Some(back) => self.now.unix -= micros(back),
                None => self.now.unix += micros(rest),
            },
            "repeat" => {
                let (times, line) = rest.split_once(' ').unwrap();
                for n in 1..=times.parse().unwrap() {
                    let n: u32 = n;
                    self.command(&line.replace("{n}", &n.to_string()), trace);
                }
            }
            "restore" => {
                let [channel, uid, seq, age, text] = rest
                    .splitn(5, ' ')
                    .collect::<Vec<_>>()
                    .try_into()
                    .expect("five words");
                let entry = Entry {
                    origin: NodeId(7),
                    seq: seq.parse().unwrap(),
                    ts: match age.strip_prefix('-') {
                        Some(ahead) => self.now.unix + micros(ahead),
                        None => self.now.unix.saturating_sub(micros(age)),
                    },
                    uid: uid.into(),
                    frame: Frame::text(text.to_owned()),
                };
                let channel = channel.into();
                tell(self.event(Event::Restored { channel, entry }), trace);
            }
            "timers" => {
                let _ = match self.waits() {
                    Some((left, timer)) => writeln!(trace, "in {left:?}: {timer}"),
                    None => writeln!(trace, "none"),
                };
            }
            "history" => {
                for entry in self.node.history(rest) {
                    let _ = writeln!(trace, "{} {} {}", entry.seq, entry.uid, entry.frame);
                }
            }
            "stats" => {
                let stats = format!("{:?}", self.node.stats());
                let inner = stats.trim_start_matches("Stats { ").trim_end_matches(" }");
                let some: Vec<_> = inner.split(", ").filter(|s| !s.ends_with(": 0")).collect();
                let some = if some.is_empty() {
                    "all zero".into()
                } else {
                    some.join(", ")
                };
                let _ = writeln!(trace, "{some}");
            }
            _ => tell(self.event(event(verb, rest)), trace),
        }
    }
}

fn tell(actions: Vec<Action>, trace: &mut String) {
    for action in actions {
        let _ = writeln!(trace, "{action}");
    }
}

fn event(verb: &str, rest: &str) -> Event {
    let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let n = name.strip_prefix('c').map_or(0, |n| n.parse().unwrap());
    let conn = ConnId(n);
    match verb {
        "open" => open(n),
        "text" => text(n, rest),
        "binary" => binary(n, rest.as_bytes()),
        "size" => binary(n, &vec![b'x'; rest.parse().unwrap()]),
        "header" => {
            let (uid, channel) = rest.split_once(' ').unwrap();
            header(n, uid, channel)
        }
        "heard" => heard(n),
        "pong" => pong(n),
        "overrun" => Event::Overrun { conn },
        "drained" => Event::Drained { conn },
        "replayed" => Event::Replayed { conn },
        "close" => close_frame(n),
        "lost" => lost(n),
        "fault" => {
            let what = match rest {
                "Protocol" => Fault::Protocol,
                "NotUtf8" => Fault::NotUtf8,
                "TooBig" => Fault::TooBig,
                "NoRoom" => Fault::NoRoom,
                _ => panic!("unknown fault {rest}"),
            };
            fault(n, what)
        }
        "shutdown" => Event::Shutdown,
        _ => panic!("unknown command {verb}"),
    }
}

fn config(rest: &str) -> Config {
    let mut config = Config::default();
    for setting in rest.split(' ') {
        let (name, value) = setting.split_once('=').unwrap();
        let number = || value.parse().unwrap();
        match name {
            "key" => config.key = Key::new(value.as_bytes()),
            "limit" => config.history_limit = value.parse().unwrap(),
            "channel-bytes" => config.history_channel_bytes = number(),
            "bytes" => config.history_bytes = number(),
            "ping" => config.ping_interval = Duration::from_secs(number()),
            "store" => config.store_history = value == "on",
            _ => panic!("unknown setting {name}"),
        }
    }
    config
}

fn span(text: &str) -> Duration {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap());
    let number: u64 = number.parse().unwrap();
    match unit {
        "us" => Duration::from_micros(number),
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "h" => Duration::from_secs(number * 3600),
        "d" => Duration::from_secs(number * 86_400),
        _ => panic!("unknown unit {unit}"),
    }
}

fn micros(text: &str) -> u64 {
    u64::try_from(span(text).as_micros()).unwrap()
}
