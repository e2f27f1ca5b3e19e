//! Header (client.md, section 3).

mod form;
mod names;
mod time;
mod vectors;
mod waiting;

use std::time::{Duration, Instant};

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use serde_json::Value;

use crate::bench::{Bench, random_digits};
use crate::case::{Case, Judged, Stop};
use crate::session::{Event, Message, Session};
use crate::wire::{Frame, Opcode};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = [
        vectors::cases(),
        form::cases(),
        names::cases(),
        waiting::cases(),
        time::cases(),
    ]
    .concat();
    cases.sort_by_key(|case| crate::clause::rank(case.clause_id()));
    cases
}

/// So many letters and digits that nobody else has drawn, if they are not too few.
pub(super) fn random_letters(count: usize) -> String {
    let bytes = HEXLOWER.decode(random_digits().as_bytes());
    let mut letters = BASE64URL_NOPAD.encode(&bytes.unwrap_or_default());
    letters.truncate(count);
    letters
}

/// A member of a channel, in front of whom headers are tried.
pub(super) fn watcher(bench: &Bench, channel: &str) -> Judged<Session> {
    let mut watcher = bench.open("watcher")?.hearing_announcements();
    watcher.say(&bench.header_on("watcher", channel))?;
    Ok(watcher)
}

/// These frames, the first of a session, are accepted as the header of this uid on this channel.
pub(super) fn accepted(
    bench: &mut Bench,
    frames: &[Frame],
    uid: &str,
    channel: &str,
    what: &str,
) -> Judged {
    let mut watcher = watcher(bench, channel)?;
    accepted_before(bench, &mut watcher, frames, uid, channel, what)
}

/// The same in front of this member of the channel: what the session says behind its header reaches the member. If its
/// join is announced, it is with this uid.
pub(super) fn accepted_before(
    bench: &mut Bench,
    watcher: &mut Session,
    frames: &[Frame],
    uid: &str,
    channel: &str,
    what: &str,
) -> Judged {
    let expected = format!("{what} is accepted");
    let mut session = bench.open("alice")?;
    session.send_together(frames)?;
    let marker = bench.marker();
    session.say(&marker)?;
    let Some(heard) = heard_behind(bench, watcher, &mut session, &marker, &expected)? else {
        // Whether that is because of the header shows by one that nobody can mistake.
        drop(session);
        let mut control = bench.open("control")?;
        control.say(&bench.header_on("control", channel))?;
        let marker = bench.marker();
        control.say(&marker)?;
        let heard = heard_behind(bench, watcher, &mut control, &marker, "a plain header");
        return match heard.map_err(Stop::on_the_way)? {
            Some(_) => Err(Stop::fail(
                format!("{expected}, and what is said behind it reaches the channel"),
                format!("nothing within {:.1} s", bench.patience().as_secs_f32()),
            )),
            None => Err(Stop::Inconclusive(
                "did not get as far: behind a plain header nothing reaches the channel either"
                    .into(),
            )),
        };
    };
    for message in heard {
        let Ok(value) = serde_json::from_slice::<Value>(&message.payload) else {
            continue;
        };
        let (came, on) = (&value["uid"], &value["channel"]);
        if came.is_string() && came != "watcher" && (came != uid || on != channel) {
            return Err(Stop::fail(
                format!("{what} is accepted as that of {uid:?} on {channel:?}"),
                format!("announced is {message}"),
            ));
        }
    }
    session.leave();
    Ok(())
}

/// How often what was said is said again, until it is heard.
const AGAIN: Duration = Duration::from_millis(700);

/// What a member hears before the marker that a session has said behind its header; nothing if it does not come.
fn heard_behind(
    bench: &Bench,
    watcher: &mut Session,
    session: &mut Session,
    marker: &str,
    expected: &str,
) -> Judged<Option<Vec<Message>>> {
    let deadline = Instant::now() + bench.patience();
    let mut again = Instant::now() + AGAIN;
    let marked = Message::text(marker);
    let (mut heard, mut gone) = (Vec::new(), None);
    while Instant::now() < deadline {
        if gone.is_none() {
            let event = watcher.next(Duration::from_millis(20));
            match event.map_err(Stop::on_the_way)? {
                Some(Event::Message(message)) if message.equals(&marked) => return Ok(Some(heard)),
                Some(Event::Message(message)) => heard.push(message),
                Some(end @ (Event::Close(_) | Event::End(_))) => gone = Some(end),
                Some(Event::Ping(_) | Event::Pong(_)) | None => {}
            }
        }
        let time = if gone.is_some() { 20 } else { 1 };
        match session.next(Duration::from_millis(time))? {
            Some(end @ (Event::Close(_) | Event::End(_))) => {
                return Err(Stop::fail(expected, end.to_string()));
            }
            Some(Event::Message(_) | Event::Ping(_) | Event::Pong(_)) | None => {}
        }
        // It may have come before the member was one, and a history that keeps nothing does not tell it.
        if Instant::now() > again {
            again += AGAIN;
            session.say(marker)?;
        }
    }
    match gone {
        Some(end) => Err(Stop::Inconclusive(format!(
            "did not get as far: {} is no member of the channel: {end}",
            watcher.who()
        ))),
        None => Ok(None),
    }
}

/// Whether there is no history that a joiner could be replayed.
pub(super) fn keeps_nothing(bench: &Bench) -> bool {
    let limits = bench.limits();
    [
        limits.limit,
        limits.history_bytes,
        limits.history_channel_bytes,
    ]
    .contains(&0)
}

/// This frame, the first of a session, is refused: with which code is another clause's matter.
pub(super) fn refused(bench: &Bench, frame: &Frame, what: &str) -> Judged {
    let mut session = bench.open("mallory")?;
    session.send(frame)?;
    turned_away(&mut session, what)
}

/// The same with this code.
pub(super) fn refused_with(bench: &Bench, frame: &Frame, code: u16, what: &str) -> Judged {
    let mut session = bench.open("mallory")?;
    session.send(frame)?;
    closed(&mut session, code, what)
}

/// The same where the code only shows which of several things was looked at first: a server that gives no code shows
/// nothing.
pub(super) fn refused_for(bench: &Bench, frame: &Frame, code: u16, what: &str) -> Judged {
    let mut session = bench.open("mallory")?;
    session.send(frame)?;
    let expected = format!("{what} is refused: closed with {code}");
    let deadline = Instant::now() + session.patience();
    loop {
        match session.next(deadline.saturating_duration_since(Instant::now()))? {
            Some(Event::Close(close)) if close.code == Some(code) => return Ok(()),
            Some(Event::Close(close)) if close.code.is_some() => {
                return Err(Stop::fail(expected, close.to_string()));
            }
            Some(Event::Close(_) | Event::End(_)) => {
                let why = "it is refused, but no code says for what";
                return Err(Stop::Inconclusive(why.into()));
            }
            Some(Event::Message(_) | Event::Ping(_) | Event::Pong(_)) => {}
            None => {
                let came = format!("nothing within {:.1} s", session.patience().as_secs_f32());
                return Err(Stop::fail(expected, came));
            }
        }
    }
}

/// The session is ended for what it has sent, in whatever way.
pub(super) fn turned_away(session: &mut Session, what: &str) -> Judged {
    let deadline = Instant::now() + session.patience();
    let mut came = format!("nothing within {:.1} s", session.patience().as_secs_f32());
    loop {
        match session.next(deadline.saturating_duration_since(Instant::now()))? {
            Some(Event::Close(_) | Event::End(_)) => return Ok(()),
            Some(event) => came = event.to_string(),
            None => return Err(Stop::fail(format!("{what} is refused: closed"), came)),
        }
    }
}

/// The session is closed with this code for what it has sent.
pub(super) fn closed(session: &mut Session, code: u16, what: &str) -> Judged {
    let expected = format!("{what} is refused: closed with {code}");
    let patience = session.patience();
    let close = session.close_frame(patience, &expected)?;
    match close.code == Some(code) {
        true => Ok(()),
        false => Err(Stop::fail(expected, close.to_string())),
    }
}

/// A text frame in parts of these lengths, the last with what remains.
fn in_parts(payload: &str, lengths: &[usize]) -> Vec<Frame> {
    let mut rest = payload.as_bytes();
    let mut frames = Vec::new();
    for length in lengths {
        let (part, behind) = rest.split_at((*length).min(rest.len()));
        rest = behind;
        frames.push(Frame::continuation(part).unfinished());
    }
    frames.push(Frame::continuation(rest));
    frames[0].opcode = Opcode::TEXT;
    frames
}

/// What a member hears while this is done to the server, until the other says something new: its pings are counted.
fn pings_meanwhile(
    bench: &mut Bench,
    member: &mut Session,
    other: &mut Session,
    done: &mut dyn FnMut(&mut Bench) -> Judged,
) -> Judged<(usize, Vec<Message>)> {
    // What has come before is of no interest.
    while let Some(event) = member.next(Duration::from_millis(1))? {
        if let Event::Close(_) | Event::End(_) = event {
            let why = format!("{} is gone: {event}", member.who());
            return Err(Stop::Inconclusive(why));
        }
    }
    done(bench)?;
    let marker = bench.marker();
    other.say(&marker).map_err(Stop::on_the_way)?;
    let deadline = Instant::now() + bench.patience();
    let (mut pings, mut heard) = (0, Vec::new());
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match member.next(left)? {
            Some(Event::Ping(_)) => pings += 1,
            Some(Event::Pong(_)) => {}
            Some(Event::Message(message)) if message.equals(&Message::text(&marker)) => {
                return Ok((pings, heard));
            }
            Some(Event::Message(message)) => heard.push(message),
            Some(end @ (Event::Close(_) | Event::End(_))) => {
                let expected = format!("{} is not disturbed", member.who());
                return Err(Stop::fail(expected, end.to_string()));
            }
            None => {
                let why = format!("{} hears nothing any more", member.who());
                return Err(Stop::Inconclusive(why));
            }
        }
    }
}

/// A member hears nothing of what is done to the server, and gets no ping for it.
pub(super) fn undisturbed(
    bench: &mut Bench,
    member: &mut Session,
    other: &mut Session,
    what: &str,
    mut done: impl FnMut(&mut Bench) -> Judged,
) -> Judged {
    // A ping may come at that moment for another reason, but not each time.
    for _ in 0..3 {
        let (pings, heard) = pings_meanwhile(bench, member, other, &mut done)?;
        if !heard.is_empty() {
            return Err(Stop::fail(
                format!("{} hears nothing of {what}", member.who()),
                crate::session::listed(&heard),
            ));
        }
        if pings == 0 {
            return Ok(());
        }
    }
    Err(Stop::fail(
        format!("{} is not pinged for {what}", member.who()),
        "a ping each time",
    ))
}
