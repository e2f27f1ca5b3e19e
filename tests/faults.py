#!/usr/bin/env python3
"""Puts one fault after the other into a copy of the core, and expects a test to notice each.

    python3 tests/faults.py [NAME...]

A fault that survives means that the tests lack teeth; a text that is not found, that this table is out
of date. Both make the script exit with 1. The copy and what is built of it go to a temporary folder,
or to FAULTS_TARGET, so that a second run is faster.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CORE = "mles-sansio/src/"
LANE, TREE = CORE + "peering/lane.rs", CORE + "peering/tree.rs"
INCOMING, OUTGOING = CORE + "peering/incoming.rs", CORE + "peering/outgoing.rs"
CHANNELS, INTEREST = CORE + "peering/channels.rs", CORE + "peering/interest.rs"
SEEN, SEEK, LINK = CORE + "peering/seen.rs", CORE + "peering/seek.rs", CORE + "peering/link.rs"
HANDSHAKE = CORE + "peering/handshake.rs"
CHANNEL, ACCEPT, JOIN = CORE + "channel.rs", CORE + "accept.rs", CORE + "join.rs"
BRIDGED, CROSSING = CORE + "bridge/wanted.rs", CORE + "bridge/crossing.rs"
ACROSS = CORE + "bridge/messages.rs"
CATCHING_UP, REPEATS = CORE + "bridge/catching_up.rs", CORE + "bridge/repeats.rs"

CASES = "200"

# Name, file, text, replacement, the test target that has to fail.
FAULTS = [
    ("own path is not looked at (R1.2)", TREE,
     "if let Some(own) = path.iter().rposition(|node| *node == self.uid) {",
     "if let Some(own) = path.iter().rposition(|_| false) {", "topology"),
    ("the ring is cut by the least (R1.3)", TREE,
     "path.iter().all(|node| *node < self.uid)", "path.iter().all(|node| *node > self.uid)", "peering"),
    ("the ring is cut by all (R1.3)", TREE,
     "path.iter().all(|node| *node < self.uid)", "true", "topology"),
    ("a handshake from above is taken (R1.1)", HANDSHAKE,
     "if self.peering.path.contains(&handshake.uid) {", "if false {", "rejects_links"),
    ("auth is not checked (O1.4)", HANDSHAKE,
     "auth::check_link(&uid, channel, handshake.auth.as_ref(), key, nonces)?;", "", "rejects_links"),
    ("a change of path is not passed on (R1.4)", TREE,
     "link.owe_path(); // R1.4", "", "topology"),
    ("a turn is not answered (G1.5)", TREE,
     "link.owe(Control::Echo);", "", "peering"),
    ("the former upstream is not turned (G1.3)", TREE,
     "self.turn(now, former);", "let _ = former;", "peering"),
    ("frames count while turning (G1.4)", INCOMING,
     "_ if turning => {} // G1.4", "_ if false && turning => {}", "network"),
    ("messages are not passed on (S1.2)", ACCEPT,
     "self.forward(group, &news, link, &taken.dropped);", "", "network"),
    ("a message is accepted twice (S1.1)", SEEN,
     "Some(newest) => seq <= newest.seq,", "Some(_) => false,", "network"),
    ("of an origin that was forgotten all is news (S2.2)", SEEN,
     "self.floor = self.floor.max(ts);", "", "rejects_links"),
    ("origins may fill the budget (S2.2)", CHANNEL,
     "if self.seen_cost < part {", "if true {", "rejects_links"),
    ("the first number after forgetting is 1 (S2.3)", CHANNEL,
     "self.seq_floor = self.seq_floor.max(channel.seq);", "", "link_rules"),
    ("time goes back after forgetting (S2.3)", CHANNEL,
     "self.ts_floor = self.ts_floor.max(channel.own_ts);", "", "link_rules"),
    ("time stamps are those of the clock alone (M3.1)", ACCEPT,
     "date.max(last + 1)", "date.max(last.min(1))", "network"),
    ("a channel is forgotten with its members (S2.1)", CHANNEL,
     "self.members.is_empty() && self.links.is_empty()", "self.members.is_empty()", "network"),
    ("messages count before the reply (C1.5)", LANE,
     "Phase::Asking | Phase::AwaitReply | Phase::Refused { .. } => false,",
     "Phase::Asking | Phase::AwaitReply | Phase::Refused { .. } => true,", "link_rules"),
    ("a reply is taken while none is outstanding (C1.5)", CHANNELS,
     "lane.filter(|(_, lane)| lane.phase == Phase::AwaitReply)", "lane.filter(|_| true)", "rejects_links"),
    ("a channel is left before it is done (C1.7)", INTEREST,
     "*leaving = *done && !wanted", "*leaving = !wanted", "link_rules"),
    ("a channel is left although somebody has come back (C1.2)", CHANNELS,
     "*leaving = false;", "let _ = leaving;", "rejoins"),
    ("a second join is not sent (C1.1)", CHANNELS,
     "link.lanes.insert(group, Lane::new(Phase::Asking));",
     "link.lanes.insert(group, Lane::new(Phase::AwaitReply));", "rejoins"),
    ("a channel is left although messages wait (C1.7)", OUTGOING,
     "        if more {\n            return link.wake(group);\n        }\n", "        let _ = more;\n", "link_rules"),
    ("the max of the other is ignored (F1.5)", OUTGOING,
     "let fits = entry.frame.payload.len() as u64 <= link.max;", "let fits = true;", "rejects_links"),
    ("what comes in counts as not known there (S1.5)", INCOMING,
     "lane.knows(label.origin, label.seq);", "", "link_rules"),
    ("what goes out counts as not known there (S1.5)", LANE,
     "if sent {", "if false && sent {", "link_rules"),
    ("older news is not looked at (S1.5)", LANE,
     "self.late.insert(entry.order());", "", "network"),
    ("with many late messages some are not looked at (S1.3)", LANE,
     "            self.from = first;\n", "            let _ = first;\n", "link_rules"),
    ("a late message that leaves the history is not kept (S1.6)", LANE,
     "entry.order() >= self.from || self.late.contains(&entry.order())", "entry.order() >= self.from", "link_rules"),
    ("all that leaves the history is kept (S1.6)", LANE,
     "            && is_news(&self.told, entry)\n    }", "    }", "link_rules"),
    ("nothing that leaves the history is kept (S1.6)", LANE,
     "!matches!(self.phase, Phase::Refused { .. })", "false && !matches!(self.phase, Phase::Refused { .. })",
     "rejects_links"),
    ("what is kept has no bound (S1.6)", INCOMING,
     "link.kept > 0 && link.kept + entry.cost() > bound", "false", "rejects_links"),
    ("a joiner who waited gets its own announcement (W1.4)", JOIN,
     "entry.origin == node && entry.seq > own && entry.uid == uid", "false && entry.seq > own", "link_rules"),
    ("what was dropped during the wait is missing (W1.3)", CHANNEL,
     "self.awaited.insert(entry.order(), (before, entry.clone()));", "let _ = before;", "link_rules"),
    ("who comes late gets what was dropped before (W1.3)", CHANNEL,
     "*before >= since", "*before >= since.min(0)", "links"),
    ("nobody waits for history (W1.1)", JOIN,
     "let waits = !self.is_synchronised(group);", "let waits = false;", "link_rules"),
    ("done is not said without an upstream's (S3.2)", OUTGOING,
     "synchronised || *due <= now.mono", "synchronised", "link_rules"),
    ("channels without interest are not joined (C1.3)", OUTGOING,
     "Turn::Quiet => remembers,", "Turn::Quiet => false,", "link_rules"),
    ("channels are joined as they come (C1.3)", OUTGOING,
     "Turn::Wanted => self.is_wanted(now, group),", "Turn::Wanted => true,", "link_rules"),
    ("a number of its own that is higher is ignored (S1.4)", CHANNELS,
     "channel.seq = channel.seq.max(*seq);", "", "rejects_links"),
    ("others are not left alone for longer each time (G1.1)", SEEK,
     "((min * 2).min(most.0), (max * 2).min(most.1))", "(min.min(most.0), max.min(most.1))", "large_networks"),
    ("who has cut a ring dials at once (R1.3)", TREE,
     "return self.seek_late(now); // G1.1", "return;", "links"),
    ("peers in the same tree are not left alone (G1.1)", SEEK,
     "self.peering.seek.same.insert(peer, now.mono + wait);", "let _ = peer;", "links"),
    ("peers are left alone although the root has changed (G1.1)", SEEK,
     "seek.same.clear();", "", "links"),
    ("a clock that is set is no matter (O1.7)", HANDSHAKE,
     "if date.abs_diff(now.unix) > APART_MAX {", "if false {", "links"),
    ("a suspected upstream has no time (R1.6)", HANDSHAKE,
     "asked + patience <= now.mono", "asked < now.mono", "large_networks"),
    ("a probe from above makes a node suspicious (R1.6)", HANDSHAKE,
     "if !handshake.probe {", "if true {", "links"),
    ("a node whose numbers run out goes on (S1.4)", ACCEPT,
     "if channel.seq + 1 >= NUMBER_MAX {", "if false {", "rejects_links"),
    ("a bridge takes channels that are not synchronised (B1.2)", BRIDGED,
     "None if !ready => {}", "None if false && !ready => {}", "bridges"),
    ("channels that wait for room at a bridge wait for ever (B1.2)", BRIDGED,
     "self.bridges.awake.extend(bridge.crowded.pop_first());", "bridge.crowded.pop_first();", "bridges"),
    ("what comes over a bridge goes back (B1.4)", ACROSS,
     "if from == Some(key.0) || bridge.name == entry.uid {", "if false {", "bridges"),
    ("what comes from a server by another node goes back by a bridge (B1.5)", ACROSS,
     "|| bridge.name == entry.uid {", "{", "bridges"),
    ("a bridge's server has none of what is here (B1.6)", CROSSING,
     "Stage::CatchingUp(here) => here.knows(digest),", "Stage::CatchingUp(_) => false,", "bridges"),
    ("all of a history goes over a bridge (B1.7)", CATCHING_UP,
     "skip(self.shared)", "skip(0 * self.shared)", "bridges"),
    ("an announcement shows where histories meet (B1.7)", CATCHING_UP,
     "if !self.here[at].announces {", "if true {", "bridges"),
    ("what goes round a bridge is not noticed (B1.9)", REPEATS,
     "*count > OFTEN", "*count > OFTEN << 20", "bridges"),
    ("a bridge sends what is too long again (B1.10)", ACROSS,
     "bridge.too_long = bridge.too_long.min(longest);", "let _ = longest;", "bridges"),
]


def run(folder, target, test, patience=120):
    command = ["cargo", "test", "-q", "--offline", "-p", "mles-sansio", "--test", test]
    env = dict(os.environ, CARGO_TARGET_DIR=target, PROPTEST_CASES=CASES,
               PROPTEST_MAX_SHRINK_ITERS="0", RUST_BACKTRACE="0", CARGO_PROFILE_DEV_DEBUG="0")
    try:
        done = subprocess.run(command, cwd=folder, env=env, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=patience)
    except subprocess.TimeoutExpired:
        return "noticed", "it never ends"
    if done.returncode == 0:
        return "survived", ""
    if "could not compile" in done.stdout:
        return "broken", done.stdout
    said = [line for line in done.stdout.splitlines() if " panicked at " in line]
    return "noticed", said[0].split("'")[1] if said else "failed"


def main():
    chosen = [fault for fault in FAULTS
              if not sys.argv[1:] or any(word in fault[0] for word in sys.argv[1:])]
    kept = os.environ.get("FAULTS_TARGET")
    scratch = kept or tempfile.mkdtemp(prefix="faults-")
    folder, target = os.path.join(scratch, "copy"), os.path.join(scratch, "target")
    shutil.rmtree(folder, ignore_errors=True)
    # Times are those of the copy: what was built of a former one is out of date.
    shutil.copytree(ROOT, folder, copy_function=shutil.copy,
                    ignore=shutil.ignore_patterns("target", ".git"))
    bad = 0
    try:
        for test in sorted({fault[4] for fault in chosen}):
            outcome, said = run(folder, target, test, 600)  # With everything to be built.
            if outcome != "survived":
                sys.exit(f"{test} fails without any fault: {outcome} {said}")
        for name, path, text, instead, test in chosen:
            begin = time.monotonic()
            full = os.path.join(folder, path)
            with open(full, encoding="utf-8") as file:
                source = file.read()
            if source.count(text) != 1:
                outcome, said = "out of date", f"its text occurs {source.count(text)} times in {path}"
            else:
                with open(full, "w", encoding="utf-8") as file:
                    file.write(source.replace(text, instead))
                outcome, said = run(folder, target, test)
                with open(full, "w", encoding="utf-8") as file:
                    file.write(source)
            bad += outcome != "noticed"
            took = time.monotonic() - begin
            print(f"{outcome:>12}  {test:<14}{took:5.1f} s  {name}  [{said}]", flush=True)
    finally:
        if not kept:
            shutil.rmtree(scratch, ignore_errors=True)
    print(f"{len(chosen)} faults, {bad} not noticed")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
