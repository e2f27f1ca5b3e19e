#!/usr/bin/env python3
"""Holds a program against the vectors: python3 run.py [FILE…] [-- COMMAND…]

The command gets each case as a line of JSON and answers with one (README.md, "Holding a program against them"). FILE
is headers, auth, ... or traces; without any, all are run. Without a command, the first four are held against the
functions below, which are a command too: `--answer`. Exit status: 0 all right, 1 a case is wrong, 2 anything else.
"""
import json
import pathlib
import re
import shutil
import subprocess
import sys
import threading

HERE = pathlib.Path(__file__).parent
ALL = "headers auth announcements history frames handshakes merging paths traces".split()
sys.setrecursionlimit(20_000)


def header(case):
    payload = bytes.fromhex(case["input_hex"]) if "input_hex" in case else case["input"].encode()

    def unique(pairs):
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    def depth(value):
        inside = list(value.values()) if isinstance(value, dict) else value
        return 1 + max(map(depth, inside), default=0) if isinstance(inside, list) else 0

    try:
        assert len(payload) <= 4096 and case.get("kind", "text") == "text"
        said = json.loads(payload.decode(), object_pairs_hook=unique, parse_int=float, parse_constant=int)
        assert isinstance(said, dict) and depth(said) <= 17
        uid, channel, auth, peer = said["uid"], said["channel"], said.get("auth", ""), said.get("peer", False)
        assert isinstance(auth, str) and isinstance(peer, bool)
        assert all(re.fullmatch("[^\0\ud800-\udfff]+", name) for name in (uid, channel))
    except (AssertionError, KeyError, TypeError, ValueError):
        return {"code": 4000}
    return {"uid": uid, "channel": channel, "auth": said.get("auth"), "peer": peer}


def siphash(data):  # SipHash-2-4 under the zero key.
    mask, v = 2**64 - 1, [0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573]

    def rounds(n):
        for a, b, s, t in [(0, 1, 13, 32), (2, 3, 16, 0), (2, 1, 17, 32), (0, 3, 21, 0)] * n:
            v[a] = v[a] + v[b] & mask
            v[b] = (v[b] << s | v[b] >> 64 - s) & mask ^ v[a]
            v[a] = (v[a] << t | v[a] >> 64 - t) & mask

    data += bytes(7 - len(data) % 8) + bytes([len(data) % 256])
    for word in (int.from_bytes(data[i:i + 8], "little") for i in range(0, len(data), 8)):
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    v[2] ^= 255
    rounds(4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def auth(case):
    uid, channel, auth, key = (case["input"][name] for name in ("uid", "channel", "auth", "key"))
    value = siphash((uid + channel + (key or "")).encode())
    right = key is None if auth is None else re.fullmatch("[0-9a-fA-F]{1,16}", auth) and int(auth, 16) == value
    return {"hash": f"{value:016x}"} | ({"accepted": True} if right else {"code": 4001})


def canonical(uid, channel):
    short = dict(zip('"\\\b\f\n\r\t', ['\\"', "\\\\", "\\b", "\\f", "\\n", "\\r", "\\t"]))
    uid, channel = ("".join(short.get(c) or (f"\\u{ord(c):04x}" if c < " " else c) for c in s) for s in (uid, channel))
    return f'{{"uid":"{uid}","channel":"{channel}"}}'


def announcement(case):
    return {"text": (text := canonical(**case["input"])), "hex": text.encode().hex()}


def history(case):
    limits, steps = case["input"]["limits"], case["input"]["steps"]
    channels, joined, now, replays = {}, {}, 0, {}  # Channels by name: [members, entries, last ts].

    def total():
        return sum(256 + len(name.encode()) + sum(e["cost"] for e in c[1]) for name, c in channels.items())

    def tidy():
        for name, (members, entries, last) in list(channels.items()):
            if not members and (not entries or now - last >= 2_592_000_000):
                del channels[name]

    def store(name, uid, step, kind, payload):
        channel, own = channels[name], 256 + len(name.encode())
        channel[2] = max(now, channel[2] + 0.001)
        said = kind == "text" and payload == canonical(uid, name).encode()
        entry = {"step": step, "uid": uid, "kind": kind, "cost": len(payload) + len(uid.encode()) + 64, "said": said}
        if limits["limit"] and entry["cost"] <= min(limits["channel_bytes"], limits["history_bytes"] - own):
            entries = channel[1] = [e for e in channel[1] if not (said and e["said"] and e["uid"] == uid)] + [entry]
            same = [e for e in entries if e["said"] == said]
            if len(same) > limits["limit"]:
                entries.remove(same[0])
            while sum(e["cost"] for e in entries) > limits["channel_bytes"]:
                entries.pop(0)
        while total() > limits["history_bytes"] and any(c[1] for c in channels.values()):
            min((c for c in channels.values() if c[1]), key=lambda c: c[2])[1].pop(0)
            tidy()

    for number, step in enumerate(steps):  # Times in milliseconds.
        now += 1
        tidy()
        if "join" in step:
            name, uid = joined[step["join"]] = step["channel"], step["uid"]
            members, entries, _ = channels.setdefault(name, [set(), [], -1e18])
            replays[str(number)] = [{k: e[k] for k in ("step", "uid", "kind")} for e in entries]
            members.add(step["join"])
            store(name, uid, number, "text", canonical(uid, name).encode())
        elif "message" in step:
            payload = step["text"].encode() if "text" in step else b"x" * step["length"]
            store(*joined[step["message"]], number, step["kind"], payload)
        elif "leave" in step:
            channels[joined[step["leave"]][0]][0].discard(step["leave"])
        else:
            now += 1000 * step.get("wait", step.get("clock"))
        tidy()
    return {"replays": replays}


PORT = {"headers": header, "auth": auth, "announcements": announcement, "history": history}


def cases(file):
    if file == "traces":
        for path in sorted((HERE / "traces").iterdir()):
            trace = json.loads(path.read_text()) | {"file": file, "story": None}
            yield trace, [step.pop("expect") for step in trace["steps"]]
        return
    for case in json.loads((HERE / f"{file}.json").read_text()):
        yield {k: v for k, v in case.items() if k != "expect"} | {"file": file}, case["expect"]


def agree(expect, got):
    """`refused`, `clause` and `written` count only if they are in the answer."""
    if isinstance(expect, dict) and isinstance(got, dict):
        expect = {k: v for k, v in expect.items() if k in got or k not in ("refused", "clause", "written")}
        return expect.keys() == got.keys() and all(agree(v, got[k]) for k, v in expect.items())
    if isinstance(expect, list) and isinstance(got, list):
        return len(expect) == len(got) and all(map(agree, expect, got))
    return type(expect) is type(got) and expect in (got, "\ufffd")  # H1.10: an `auth` that Unicode cannot hold.


def difference(file, expect, got):
    """Where they differ first, what is expected there, and what came; None if they agree."""
    if file != "traces" or not isinstance(got, list) or list(map(type, got)) != [list] * len(expect):
        return None if agree(expect, got) else ("", expect, got)

    def target(action):  # Between connections the order is free.
        return str([action[w] for w in ("send", "close", "ping", "dial") if w in action] + ["dial" in action])
    steps = ((sorted(e, key=target), sorted(g, key=target)) for e, g in zip(expect, got))
    return next(((f", step {n}", e, g) for n, (e, g) in enumerate(steps) if not agree(e, g)), None)


def answer(process, case):
    watch = threading.Timer(60, process.kill)
    try:
        watch.start()
        print(json.dumps(case), file=process.stdin, flush=True)
        return json.loads(process.stdout.readline())
    except (OSError, ValueError) as error:
        sys.exit(print(f"{case['id']}: no line of JSON as answer within a minute ({error})") or 2)
    finally:
        watch.cancel()


def main():
    words = sys.argv[1:]
    if words == ["--answer"]:
        for case in map(json.loads, sys.stdin):
            print(json.dumps(PORT.get(case["file"], lambda case: None)(case)), flush=True)
        return 0
    at = (words + ["--"]).index("--")
    files, command = words[:at], words[at + 1:]
    if set(files) - set(ALL if command else PORT) or "--" in words and not shutil.which((command or [""])[0]):
        return print(f"{__doc__}\nNo such file, or no such program: {' '.join(words)}") or 2
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8")
    process = subprocess.Popen(command, **pipes) if command else None
    count = wrong = skipped = 0
    for file in files or (ALL if command else PORT):
        for case, expect in cases(file):
            got, count = answer(process, case) if process else PORT[file](case), count + 1
            skipped += got is None
            if got is not None and (found := difference(file, expect, got)):
                wrong, (at, expect, got) = wrong + 1, found
                print(f"{case['id']}{at} ({case['clause']}): {case['given']}\n"
                      f"  expected {json.dumps(expect)}\n  got      {json.dumps(got)}")
    print(f"{count} cases, {wrong} wrong" + (f", {skipped} not answered" if skipped else ""))
    return min(wrong, 1)


if __name__ == "__main__":
    sys.exit(main())
