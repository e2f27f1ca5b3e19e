#!/usr/bin/env python3
"""Derives every expected value of the vectors from the clauses of ../client.md.

    python3 derive.py           rewrites `expect` in every file
    python3 derive.py --check   changes nothing; fails if a value, an id or a clause is not right

Written from the text alone, with nothing but the standard library: it shares no mistake with a server.
"""
import json
import pathlib
import re
import sys

sys.setrecursionlimit(20_000)  # A header may try 2000 levels of nesting.
HERE = pathlib.Path(__file__).parent
MASK = 2**64 - 1


class Refused(Exception):
    """A violation, by its name."""


# ---- Header: H1, H2, H4 -------------------------------------------------------------------------------

def unique(pairs):
    """H1.8: names are compared unescaped; Python keeps a lone surrogate as a code point of its own."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Refused("HeaderRepeatedMember")
    return members


def no_constant(name):
    raise ValueError(name)  # NaN and the infinities are Python's own extension of JSON (H1.2).


def depth(value):
    """H1.7: 0 for a scalar, 1 for an empty object or array."""
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


def header(payload, kind):
    """H1.11: the checks, in their order."""
    if len(payload) > 4096:  # H2.1
        raise Refused("HeaderTooBig")
    if kind != "text":  # H1.1
        raise Refused("HeaderNotText")
    try:  # Strict decoding refuses surrogates in UTF-8; a byte order mark fails as a token.
        members = json.loads(payload.decode("utf-8"), object_pairs_hook=unique, parse_constant=no_constant,
                             parse_int=float)
    except ValueError:
        raise Refused("HeaderNotJson") from None
    if not isinstance(members, dict):  # H1.2
        raise Refused("HeaderNotJson")
    if max(map(depth, members.values()), default=0) > 16:  # H1.7
        raise Refused("HeaderTooDeep")
    for name, kinds in (("uid", str), ("channel", str), ("auth", str), ("peer", bool)):
        if name not in members and name in ("uid", "channel"):  # H1.3
            raise Refused("HeaderMissingMember")
        if name in members and not isinstance(members[name], kinds):  # H1.3, H1.5, H4.2
            raise Refused("HeaderWrongType")
    for name in ("uid", "channel"):
        if not members[name]:  # H1.4
            raise Refused("HeaderEmptyName")
        if re.search("[\0\ud800-\udfff]", members[name]):  # H1.9
            raise Refused("HeaderBadName")
    auth = members.get("auth")
    if auth is not None:  # H1.10: the files have U+FFFD for what Unicode text cannot hold.
        auth = re.sub("[\ud800-\udfff]", "\ufffd", auth)
    return dict(uid=members["uid"], channel=members["channel"], auth=auth, peer=members.get("peer", False))


def expect_header(case):
    payload = bytes.fromhex(case["input_hex"]) if "input_hex" in case else case["input"].encode()
    try:
        return header(payload, case.get("kind", "text"))
    except Refused as violation:
        return {"refused": str(violation), "code": 4000}  # H1.12


# ---- Auth: A1, A2 -------------------------------------------------------------------------------------

def siphash24(data, k0=0, k1=0):
    """The value of SipHash-2-4: the number that the eight output bytes of its paper mean."""
    v0, v1 = k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D
    v2, v3 = k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573

    def rotate(x, n):
        return (x << n | x >> (64 - n)) & MASK

    def rounds(n):
        nonlocal v0, v1, v2, v3
        for _ in range(n):
            v0, v2 = (v0 + v1) & MASK, (v2 + v3) & MASK
            v1, v3 = rotate(v1, 13) ^ v0, rotate(v3, 16) ^ v2
            v0, v2 = rotate(v0, 32) + v3 & MASK, (v2 + v1) & MASK
            v1, v3 = rotate(v1, 17) ^ v2, rotate(v3, 21) ^ v0
            v2 = rotate(v2, 32)

    whole = len(data) // 8 * 8
    words = [int.from_bytes(data[i:i + 8], "little") for i in range(0, whole, 8)]
    words.append(int.from_bytes(data[whole:], "little") | (len(data) & 0xFF) << 56)
    for word in words:
        v3 ^= word
        rounds(2)
        v0 ^= word
    v2 ^= 0xFF
    rounds(4)
    return v0 ^ v1 ^ v2 ^ v3


def expect_auth(case):
    given = case["input"]
    key, auth = given["key"], given["auth"]
    value = siphash24((given["uid"] + given["channel"] + (key or "")).encode())  # A1.1, A2.4
    result = {"hash": f"{value:016x}"}
    if auth is None:
        refused = "AuthMissing" if key is not None else None  # A2.1, A2.3
    elif not re.fullmatch("[0-9a-fA-F]{1,16}", auth):
        refused = "AuthMalformed"  # A1.3, A1.4
    else:
        refused = None if int(auth, 16) == value else "AuthMismatch"  # A2.2, A2.4
    return result | ({"refused": refused, "code": 4001} if refused else {"accepted": True})


# ---- Announcement: J3.1, J3.2 -------------------------------------------------------------------------

SHORT = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def canonical(uid, channel):
    def escaped(name):
        return "".join(SHORT.get(c) or (f"\\u{ord(c):04x}" if c < " " else c) for c in name)
    return '{"uid":"' + escaped(uid) + '","channel":"' + escaped(channel) + '"}'


def expect_announcement(case):
    text = canonical(case["input"]["uid"], case["input"]["channel"])
    return {"text": text, "hex": text.encode().hex()}


# ---- History: J2, J3, M3, L1 --------------------------------------------------------------------------

class Channel:
    def __init__(self, name):
        self.cost = 256 + len(name.encode())  # M3.5
        self.members, self.entries = {}, []
        self.last_ts = 0


class Server:
    """One server, as far as its histories go. Sessions read everything, so that nobody lags."""

    def __init__(self, limit, channel_bytes, history_bytes):
        self.limit, self.channel_bytes, self.bytes = limit, channel_bytes, history_bytes
        self.channels, self.now = {}, 1_700_000_000_000_000

    def total(self):  # M3.7
        return sum(c.cost + sum(e["cost"] for e in c.entries) for c in self.channels.values())

    def tidy(self):
        for name, c in list(self.channels.items()):
            expired = self.now - c.last_ts >= 2_592_000 * 10**6  # L1.3
            if not c.members and (expired or not c.entries):  # L1.5, M3.9
                del self.channels[name]

    def store(self, channel, name, uid, kind, payload, step):
        cost = len(payload) + len(uid.encode()) + 64  # M3.5
        announcement = kind == "text" and payload == canonical(uid, name).encode()  # J3.8
        channel.last_ts = max(self.now, channel.last_ts + 1)  # M3.1, L1.4
        fits = cost <= self.channel_bytes and cost + channel.cost <= self.bytes  # M3.8
        if self.limit and fits:  # M3.4; from here in the order of M3.10
            entries = channel.entries
            if announcement:  # J3.6
                entries[:] = [e for e in entries if not (e["announcement"] and e["uid"] == uid)]
            entries.append(dict(ts=channel.last_ts, cost=cost, announcement=announcement, step=step, uid=uid,
                                kind=kind))
            entries.sort(key=lambda e: e["ts"])  # M3.2
            same = [e for e in entries if e["announcement"] == announcement]
            if len(same) > self.limit:  # M3.3, J3.7
                entries.remove(same[0])
            while sum(e["cost"] for e in entries) > self.channel_bytes:  # M3.6
                entries.pop(0)
        while self.total() > self.bytes and any(c.entries for c in self.channels.values()):  # M3.7
            min((c for c in self.channels.values() if c.entries), key=lambda c: c.last_ts).entries.pop(0)
            self.tidy()

    def step(self, number, step):  # Gives what a join replays, else None.
        self.now += 1000  # Steps are a millisecond apart.
        self.tidy()
        replay = None
        if "join" in step:
            uid, name = step["uid"], step["channel"]
            channel = self.channels.setdefault(name, Channel(name))
            replay = [{k: e[k] for k in ("step", "uid", "kind")} for e in channel.entries]  # J2.1
            channel.members[step["join"]] = uid
            self.store(channel, name, uid, "text", canonical(uid, name).encode(), number)  # J3.5
        elif "message" in step:
            payload = step["text"].encode() if "text" in step else b"x" * step["length"]
            name, channel = next(i for i in self.channels.items() if step["message"] in i[1].members)
            self.store(channel, name, channel.members[step["message"]], step["kind"], payload, number)
        elif "leave" in step:
            for channel in self.channels.values():
                channel.members.pop(step["leave"], None)
        else:
            self.now += step.get("wait", step.get("clock")) * 10**6
        self.tidy()
        return replay


def expect_history(case):
    server = Server(**case["input"]["limits"])
    replays = {str(i): server.step(i, step) for i, step in enumerate(case["input"]["steps"])}
    return {"replays": {i: replay for i, replay in replays.items() if replay is not None}}


# ---- Files --------------------------------------------------------------------------------------------

FILES = dict(headers=expect_header, auth=expect_auth, announcements=expect_announcement, history=expect_history)


def main():
    check = sys.argv[1:] == ["--check"]
    clauses = set(re.findall(r"^\*\*([A-Z]\d+\.\d+)\*\*", (HERE.parent / "client.md").read_text(), re.M))
    wrong, seen = [], set()
    # The vector in SipHash's own paper: key 00..0f, message 00..0e.
    assert siphash24(bytes(range(15)), 0x0706050403020100, 0x0F0E0D0C0B0A0908) == 0xA129CA6149BE45E5
    for name, expect in FILES.items():
        path = HERE / f"{name}.json"
        cases = json.loads(path.read_text())
        for case in cases:
            derived = expect(case)
            if case.get("expect") != derived:
                wrong.append(f"{case['id']}: expect is {case.get('expect')}, derived {derived}")
            case["expect"] = derived
            if case["id"] in seen or not case["id"].startswith(name + "/"):
                wrong.append(f"{case['id']}: id repeated or not of this file")
            seen.add(case["id"])
            wrong += [f"{case['id']}: no clause {c}" for c in case["clause"].split() if c not in clauses]
        if not check:
            path.write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")
    print("\n".join(wrong + [f"{len(seen)} cases, {len(wrong)} " + ("wrong" if check else "changed or wrong")]))
    return 1 if check and wrong else 0


if __name__ == "__main__":
    sys.exit(main())
