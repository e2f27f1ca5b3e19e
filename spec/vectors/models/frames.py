"""Frames on a link: F1.1, F1.2, F1.4, R1.7, and the table of a link's states."""
import json
import re

from models.headers import Refused, canonical, depth, no_constant, unique

TOP = 2**53


class Number(str):
    """A number as it is written."""


def names(*values):
    """H1.4, H1.9: each is a name."""
    for value in values:
        if type(value) is not str or not value or re.search("[\0\ud800-\udfff]", value):
            raise Refused("F1.4")
    return values


def number(value, least=1):
    if type(value) is not Number or not re.fullmatch("[0-9]+", value) or not least <= int(value) < TOP:
        raise Refused("F1.4")  # F1.2
    return int(value)


def node(value):
    if type(value) is not str or not re.fullmatch("[0-9a-f]{32}", value):
        raise Refused("F1.4")
    return value


def need(truth):
    if not truth:
        raise Refused("F1.4")


def json_object(payload, kind, most):
    """F1.1: one object in the form of H1."""
    need(kind == "text" and len(payload) <= most)
    try:
        members = json.loads(payload.decode("utf-8"), object_pairs_hook=unique, parse_constant=no_constant,
                             parse_int=Number, parse_float=lambda text: Number("fraction"))
    except (ValueError, Refused):
        raise Refused("F1.4") from None
    need(isinstance(members, dict) and max(map(depth, members.values()), default=0) <= 16)
    return members


def parse(payload, kind="text", most=64 * 1024):
    """What a frame is: the first that F1.4 names tells."""
    m = json_object(payload, kind, most)
    if "node" in m:
        uid, channel = names(m.get("uid"), m.get("channel"))
        need("peer" not in m and len((uid + channel).encode()) <= 4096)  # F1.2
        return dict(zip(("is", "uid", "channel", "node", "seq", "ts"), (
            "message", uid, channel, node(m["node"]), number(m.get("seq")), number(m.get("ts")))))
    uid, peer = node(m.get("uid")), m.get("peer")
    need(isinstance(peer, bool))  # H4.2
    if "channel" not in m:
        need(peer and isinstance(m.get("path"), list) and m.get("turn", True) is True)
        return {"is": "turn" if "turn" in m else "path", "uid": uid, "path": [node(n) for n in m["path"]]}
    channel, = names(m["channel"])
    if not peer:
        return {"is": "leave", "uid": uid, "channel": channel}
    if "have" in m:
        need(isinstance(m["have"], dict))
        have = {node(origin): number(seq) for origin, seq in m["have"].items()}
        return {"is": "join", "uid": uid, "channel": channel, "have": have}
    if "done" in m:
        need(m["done"] is True)
        return {"is": "done", "uid": uid, "channel": channel}
    auth = m.get("auth", "")
    need(isinstance(m.get("path"), list) and type(auth) is str and m.get("probe", True) is True)
    return {"is": "handshake", "uid": uid, "channel": channel, "auth": m.get("auth"),
            "path": [node(n) for n in m["path"]], "ts": number(m.get("ts"), 0), "max": number(m.get("max"), 0),
            "probe": "probe" in m}


def members(frame):
    """The members of a frame in the order in which F1.1 and O1.2 write them."""
    is_, f = frame["is"], {"uid": frame["uid"]}
    if "channel" in frame:
        f["channel"] = frame["channel"]
    if is_ == "message":
        return f | {name: frame[name] for name in ("node", "seq", "ts")}
    if frame.get("auth") is not None:
        f["auth"] = frame["auth"]
    f["peer"] = is_ != "leave"
    if is_ in ("path", "turn", "handshake"):
        f["path"] = frame["path"]
    if is_ == "handshake":
        f |= {"ts": frame["ts"], "max": frame["max"]} | ({"probe": True} if frame["probe"] else {})
    if is_ == "join":
        f["have"] = frame["have"]
    return f | ({"turn": True} if is_ == "turn" else {"done": True} if is_ == "done" else {})


def written(frame):
    """F1.1: in that order, without spaces, with the escapes of J3.2."""
    f = members(frame)
    rest = json.dumps({k: v for k, v in f.items() if k not in ("uid", "channel")}, separators=(",", ":"))
    if "channel" in f:
        return canonical(f["uid"], f["channel"])[:-1] + "," + rest[1:]
    return json.dumps(f, separators=(",", ":"))


def on_a_link(frame, end, other):
    """Section 12: what an end of a link makes of a frame. A join, and with it a reply, is outstanding."""
    if frame["is"] != "message" and frame["uid"] != other:
        raise Refused("F1.4")
    if len(frame.get("path", [])) > (63 if end == "lower" else 64):  # An upstream makes it one longer.
        raise Refused("R1.7")
    allowed = {"upper": ("turn", "join", "leave", "message"),
               "lower": ("path", "join", "done", "leave", "message"),
               "turning": ("path", "turn", "join", "done", "leave", "message")}
    need(frame["is"] in allowed[end])
    return {"ignored": True} if end == "turning" and frame["is"] != "turn" else {"taken": True}


def expect_frame(case):
    text = case["input"]
    payload = text.encode().ljust(case.get("length", 0))  # Spaces behind it up to that length.
    try:
        frame = parse(payload, case.get("kind", "text"))
        if "end" in case:
            return on_a_link(frame, case["end"], case["other"])
        return frame | {"written": written(frame)}
    except Refused as violation:
        return {"refused": str(violation), "code": 4011 if str(violation) == "R1.7" else 4012}
