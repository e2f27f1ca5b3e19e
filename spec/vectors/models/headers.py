"""Headers, auth and announcements: H1, H2, H4, A1, A2, J3.1, J3.2."""
import json
import re
import sys

sys.setrecursionlimit(20_000)  # A header may try 2000 levels of nesting.
MASK = 2**64 - 1


class Refused(Exception):
    """A violation, by its name or by its clause and close code."""


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
