//! The canonical form of an announcement (J3.1, J3.2).

use serde_json::{Value, json};

use crate::bench::Bench;
use crate::case::{Case, Judged, Stop, case};
use crate::session::{Message, listed};

/// The published vectors of the canonical form.
const VECTORS: &str = include_str!("../../../../../spec/vectors/announcements.json");

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![
        case(
            "J3.1/header-spelled-otherwise",
            "the announcement has the canonical form, however the header was written",
            header_spelled_otherwise,
        )
        .connections(4),
    ];
    cases.extend(of_vectors());
    cases.sort_by_key(|case| crate::clause::rank(case.clause_id()));
    cases
}

/// One case for each vector.
fn of_vectors() -> Vec<Case> {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap_or_default();
    let vectors = vectors.as_array().cloned().unwrap_or_default();
    let made = vectors.into_iter().map(|vector| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let name = text(&vector["id"]).replace("announcements/", "");
        let name = format!("{}/{name}", text(&vector["clause"]));
        let title = format!(
            "the canonical form of an announcement, live and replayed: {}",
            text(&vector["given"])
        );
        let input = &vector["input"];
        let (uid, channel) = (text(&input["uid"]), text(&input["channel"]));
        case(name, title, move |bench| {
            // A channel that nobody else is on, with the vector's name in its name.
            let own = format!("{channel}{}", crate::random_digits());
            let uid = if uid == channel { &own } else { &uid };
            canonical(bench, uid, &own)
        })
        .connections(4)
    });
    made.collect()
}

/// The joins of this uid on this channel are told in the canonical form, live and in the replay.
fn canonical(bench: &mut Bench, uid: &str, channel: &str) -> Judged {
    bench.keeps(10, 1000)?;
    let header = bench.header_on(uid, channel);
    announced_as(bench, uid, channel, &header)
}

fn header_spelled_otherwise(bench: &mut Bench) -> Judged {
    bench.keeps(10, 1000)?;
    let channel = bench.channel.clone();
    let header = bench.header("carol");
    let auth = header.find(r#","auth""#);
    let auth = auth.map_or("", |at| &header[at..header.len() - 1]);
    let channel_text = json!(channel);
    let header = format!(
        "{{\r\n \"x\": {{\"uid\":1}}, \"channel\" :{channel_text} ,\"u\\u0069d\":\"\\u0063arol\"{auth}\t}} "
    );
    announced_as(bench, "carol", &channel, &header)
}

/// What a session with this header is announced as to a member, and to one that joins later.
fn announced_as(bench: &mut Bench, uid: &str, channel: &str, header: &str) -> Judged {
    let mut watcher = bench.join_on("watcher", channel)?;
    let mut speaker = bench.join_on("speaker", channel)?;
    bench.meet(&mut watcher, &mut speaker)?;
    watcher.hears_announcements = true;
    let mut joiner = bench.open("joiner")?;
    joiner.is_on(channel);
    joiner.say(header)?;
    let here = bench.marker();
    joiner.say(&here)?;
    let live = watcher.until(&here).map_err(Stop::on_the_way)?;
    let form = Message::announcement(uid, channel);
    is_form(&live, &form, "the join is announced")?;
    let mut late = bench.join_on("late", channel)?.hearing_announcements();
    let marker = bench.marker();
    speaker.say(&marker)?;
    let mut replay = late.until(&marker).map_err(Stop::on_the_way)?;
    // By then the others had joined.
    let met = Message::text(Bench::HERE);
    let at = replay.iter().position(|message| message.equals(&met));
    replay.drain(..at.map_or(0, |at| at + 1));
    let behind = Message::text(&here);
    let at = replay.iter().position(|message| message.equals(&behind));
    replay.truncate(at.unwrap_or(replay.len()));
    is_form(&replay, &form, "the announcement is replayed")
}

fn is_form(came: &[Message], form: &Message, what: &str) -> Judged {
    match came {
        [] => Err(Stop::Inconclusive("the join was not announced".into())),
        [one] if one.equals(form) => Ok(()),
        other => Err(Stop::fail(format!("{what} as {form}"), listed(other))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_canonical_form_is_that_of_the_published_vectors() {
        let vectors: Value = serde_json::from_str(VECTORS).unwrap();
        for vector in vectors.as_array().unwrap() {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let (uid, channel) = (&vector["input"]["uid"], &vector["input"]["channel"]);
            let made = Message::announcement(&text(uid), &text(channel));
            assert!(made.equals(&Message::text(&text(&vector["expect"]["text"]))));
        }
        assert_eq!(of_vectors().len(), vectors.as_array().unwrap().len());
    }
}
