//! Auth (client.md, section 4).

use std::sync::{Arc, Mutex};

use mles_conformance::hash;
use mles_conformance::wire::Frame;
use serde_json::{Value, json};

use crate::header::{First, closes_with, header, joins_first, refuses};
use crate::peering::and_down;
use crate::proxy::Hooks;
use crate::{KEY, Mutant, is_close, is_data, mutant};

pub(super) fn mutants() -> Vec<Mutant> {
    [hashes(), forms(), keys(), secrets()]
        .into_iter()
        .flatten()
        .collect()
}

/// The auth of a header, if it has any.
fn auth(first: &First) -> Option<String> {
    first.value()["auth"].as_str().map(str::to_owned)
}

/// The names of a header.
fn names(first: &First) -> (String, String) {
    let value = first.value();
    let name = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
    (name("uid"), name("channel"))
}

/// The same header with another auth, or none.
fn with_auth(first: &First, auth: Option<String>) -> String {
    let (uid, channel) = names(first);
    match auth {
        None => json!({"uid": uid, "channel": channel}).to_string(),
        Some(auth) => json!({"uid": uid, "channel": channel, "auth": auth}).to_string(),
    }
}

/// Whether auth is a number in hexadecimal of at most 16 digits.
fn is_well_formed(auth: &str) -> bool {
    (1..=16).contains(&auth.len()) && auth.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Refuses a header with auth whose names are such.
fn refuses_names(is_such: impl Fn(&str, &str) -> bool + Send + 'static) -> Hooks {
    refuses(4001, move |first| {
        let (uid, channel) = names(first);
        auth(first).is_some() && is_such(&uid, &channel)
    })
}

/// Refuses a header whose auth is such.
fn refuses_auth(is_such: impl Fn(&str) -> bool + Send + 'static) -> Hooks {
    refuses(4001, move |first| {
        auth(first).is_some_and(|auth| is_such(&auth))
    })
}

/// Takes auth that is such for right, on a server without a key.
fn takes_auth(is_such: impl Fn(&str) -> bool + Send + 'static) -> Hooks {
    header(move |first| {
        let is_such = auth(first).is_some_and(|auth| is_such(&auth));
        is_such.then(|| with_auth(first, None))
    })
}

fn hashes() -> Vec<Mutant> {
    vec![
        mutant(
            "A1.1",
            "takes the bytes of the hash the other way round",
            || {
                header(|first| {
                    let auth = auth(first)?;
                    let value = u64::from_str_radix(&auth, 16).ok()?;
                    Some(with_auth(
                        first,
                        Some(format!("{:016x}", value.swap_bytes())),
                    ))
                })
            },
        ),
        mutant(
            "A1.1/any-length",
            "forgets the last word if it is empty",
            || refuses_names(|uid, channel| (uid.len() + channel.len()) % 8 == 0),
        ),
        mutant("A1.1/256-bytes", "has no length above 255", || {
            refuses_names(|uid, channel| uid.len() + channel.len() > 255)
        }),
        mutant("A1.1/short", "wants a whole word", || {
            refuses_names(|uid, channel| uid.len() + channel.len() < 8)
        }),
        mutant("A1.1/utf-8", "hashes names in Latin-1", || {
            refuses_names(|uid, channel| !uid.is_ascii() || !channel.is_ascii())
        }),
        mutant("A1.1/utf-8", "normalises names", || {
            refuses_names(|uid, _| uid.contains('\u{301}'))
        }),
        mutant("A1.1/nothing-between", "hashes a line feed between", || {
            refuses_auth(|_| true)
        }),
    ]
}

fn forms() -> Vec<Mutant> {
    let is_upper = |auth: &str| auth.bytes().any(|byte| byte.is_ascii_uppercase());
    let mut mutants = vec![
        mutant("A1.3/lower", "wants upper case", || {
            refuses_auth(|auth| auth.bytes().any(|byte| byte.is_ascii_lowercase()))
        }),
        mutant(
            "A1.3/leading-zero",
            "compares with digits without zeros",
            || refuses_auth(|auth| auth.starts_with('0')),
        ),
        mutant("A1.3/some-zeros", "wants all zeros or none", || {
            refuses_auth(|auth| auth.starts_with('0') && auth.len() < 16)
        }),
        mutant(
            "A1.3/end-left-out",
            "compares only as many digits as there are",
            || takes_auth(|auth| auth.len() < 16),
        ),
        mutant("A1.4", "gives a value to what is malformed", || {
            takes_auth(|auth| !is_well_formed(auth))
        }),
        mutant(
            "A2.5/4001",
            "closes with 4000 for what is malformed",
            || closes_with(4000, 4001),
        ),
        mutant("A1.4/plus", "takes a sign", || {
            takes_auth(|auth| auth.starts_with('+'))
        }),
        mutant("A1.4/17-digits-right", "takes any number of digits", || {
            takes_auth(|auth| auth.len() > 16)
        }),
        mutant("A1.4/empty", "takes empty auth for none", || {
            takes_auth(str::is_empty)
        }),
    ];
    for case in ["A1.3/upper", "A1.3/mixed", "A1.3/short-upper"] {
        mutants.push(mutant(case, "wants lower case", move || {
            refuses_auth(is_upper)
        }));
    }
    for case in ["A1.3/short", "A1.3/some-zeros", "A1.3/shorter"] {
        mutants.push(mutant(case, "wants 16 digits", || {
            refuses_auth(|auth| auth.len() != 16)
        }));
    }
    mutants
}

/// The header of alice is right for a server with this key.
fn right_for_alice(key: Option<&'static str>) -> Hooks {
    header(move |first| {
        let (uid, channel) = names(first);
        let auth = key.map(|key| format!("{:016x}", hash(&[&uid, &channel, key])));
        (uid == "alice").then(|| with_auth(first, auth))
    })
}

fn keys() -> Vec<Mutant> {
    vec![
        mutant("A2.1/missing", "wants no auth", || {
            right_for_alice(Some(KEY))
        }),
        mutant("A2.2/wrong", "wants any auth", || {
            right_for_alice(Some(KEY))
        }),
        mutant("A2.2/wrong", "takes the hash without the key", || {
            header(|first| {
                let (uid, channel) = names(first);
                let without = format!("{:016x}", hash(&[&uid, &channel]));
                let right = format!("{:016x}", hash(&[&uid, &channel, KEY]));
                (auth(first)? == without).then(|| with_auth(first, Some(right)))
            })
        }),
        mutant("A2.2/right", "has another key", || refuses_auth(|_| true)),
        mutant("A2.3/none", "wants auth without having a key", || {
            refuses(4001, |first| auth(first).is_none())
        }),
        mutant("A2.4/wrong", "does not look at auth without a key", || {
            right_for_alice(None)
        }),
        mutant("A2.4/right", "wants no auth without a key", || {
            refuses_auth(|_| true)
        }),
        mutant(
            "A2.5/incumbent-undisturbed",
            "looks for the incumbent first",
            || joins_first(4001, |first| auth(first).is_some()),
        ),
        mutant("A2.5/4001", "closes with 4002", || closes_with(4002, 4001)),
    ]
}

fn secrets() -> Vec<Mutant> {
    vec![
        mutant("A3.1/not-sent", "announces headers as they came", {
            let known = Arc::new(Mutex::new(String::new()));
            move || tells("alice", known.clone())
        }),
        mutant("A3.1/not-sent", "stores headers as they came", {
            let known = Arc::new(Mutex::new(String::new()));
            move || tells("dave", known.clone())
        }),
        mutant("A3.1/not-sent-to-servers", "tells headers as they came", {
            let known = Arc::new(Mutex::new(String::new()));
            move || {
                let (known, told) = (known.clone(), known.clone());
                let hooks = header(move |first| {
                    if names(first).0 == "carol" {
                        *known.lock().unwrap() = first.value().to_string();
                    }
                    None
                });
                and_down(hooks, move |passing, _| {
                    if passing.text().is_some_and(|text| text.contains("carol")) {
                        let header = told.lock().unwrap();
                        passing.payload = Some(Frame::text(header.as_str()));
                    }
                    true
                })
            }
        }),
        mutant("A3.2/close-reason", "repeats auth in the reason", || {
            let sent = Arc::new(Mutex::new(String::new()));
            let told = sent.clone();
            let hooks = header(move |first| {
                *sent.lock().unwrap() = auth(first).unwrap_or_default();
                None
            });
            hooks.down(move |frame, wires| {
                wires.send_client(match is_close(&frame) {
                    true => {
                        let sent = told.lock().unwrap();
                        Frame::close(4001, &format!("This auth is wrong: {sent}"))
                    }
                    false => frame,
                });
            })
        }),
        mutant("A3.2/close-reason", "says which auth is right", || {
            let right = Arc::new(Mutex::new(0));
            let told = right.clone();
            let hooks = header(move |first| {
                let (uid, channel) = names(first);
                *right.lock().unwrap() = hash(&[&uid, &channel]);
                None
            });
            hooks.down(move |frame, wires| {
                wires.send_client(match is_close(&frame) {
                    true => {
                        let right = *told.lock().unwrap();
                        Frame::close(4001, &format!("The auth is {right:016X}."))
                    }
                    false => frame,
                });
            })
        }),
    ]
}

/// The session of this uid receives headers as they came, with their auth.
fn tells(to: &'static str, known: Arc<Mutex<String>>) -> Hooks {
    let is_told = Arc::new(Mutex::new(false));
    let tells = is_told.clone();
    let learns = known.clone();
    let hooks = header(move |first| {
        if auth(first).is_some() {
            *learns.lock().unwrap() = first.value().to_string();
        }
        *is_told.lock().unwrap() = first.is_of(to);
        None
    });
    hooks.down(move |mut frame, wires| {
        let came: Value = serde_json::from_slice(&frame.payload).unwrap_or_default();
        let header: Value = serde_json::from_str(&known.lock().unwrap()).unwrap_or_default();
        let is_it = !came["uid"].is_null() && came["uid"] == header["uid"];
        if is_data(&frame) && is_it && *tells.lock().unwrap() {
            frame.payload = header.to_string().into_bytes();
        }
        wires.send_client(frame);
    })
}
