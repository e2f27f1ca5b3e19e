#!/usr/bin/env python3
"""A server of the Mles v2 client protocol in one file; comments cite the clauses of ../client.md.

It needs Python 3.11 and `websockets` 15. How to run it, and why of that library only what lies below its
ServerProtocol is used, is said in README.md; the options are those of section 12.

What does not conform, or is not done:
- T1.3 rests on `SSLContext._msg_callback`, which Python does not document: its ssl module has no other way.
- H2.2, L3.8 and M3.5 count bytes of the protocol. Python's objects come on top, which is much for very small frames, and
  its copies for the length of a call.
- Of what a server may do, it does not limit sources (X1.12), nor what sessions hold together (M4.6, L3.10). It takes
  no peers.

This Source Code Form is subject to the terms of the Mozilla Public License, v. 2.0. If a copy of the MPL was not
distributed with this file, You can obtain one at https://mozilla.org/MPL/2.0/.
"""
import argparse, asyncio, heapq, hmac, json, re, resource, signal, socket, ssl, struct, time
from collections import deque
from email.utils import formatdate
from http import HTTPStatus
from websockets.exceptions import ProtocolError
from websockets.frames import Close, Frame, Opcode, apply_mask
from websockets.utils import accept_key

KIB, MIB = 1024, 1024 * 1024
HEADER_MAX, HEAD_MAX, UNREAD_MAX = 4096, 16 * KIB, 8 * KIB                         # H2.1, X1.11, H2.2
LIFE, CLOSE_TIME, HEAD_TIME = 2_592_000, 5, 10                                      # L1.3, X1.7, X1.11
REASONS = {                                                                         # X1.1, X1.2, X1.3
    1000: "", 1002: "This is not the WebSocket protocol: check the client's library.",
    1007: "This text is not UTF-8: send bytes as a binary message.",
    1009: "The message is too long: send less at a time.",
    1012: "The server restarts: connect again.",
    4000: "The first frame is no valid header: send a JSON object with uid and channel.",
    4001: "The auth is missing or wrong: ask for the key.",
    4002: "Another live session has this uid here: choose another uid, or close the other session.",
    4003: "No header came in time: send it right after connecting.",
    4005: "No answer to pings: connect again.",
    4008: "You read too slowly and have missed messages: connect again.",
    4011: "This server takes no peers: leave the member peer out."}

# ---- Header and auth (sections 3 and 4) -----------------------------------------------------------------------------

class Refused(Exception): """args: the name of the violation, the close code"""

def siphash(data):                                              # A1.1: SipHash-2-4, key of zero bits, 64-bit result
    mask, (a, b, c, d) = (1 << 64) - 1, (0x736f6d6570736575, 0x646f72616e646f6d, 0x6c7967656e657261, 0x7465646279746573)
    rotl = lambda x, n: (x << n | x >> 64 - n) & mask
    padded = data + bytes(-(len(data) + 1) % 8) + bytes([len(data) & 255])
    for word, rounds in [(w, 2) for (w,) in struct.iter_unpack("<Q", padded)] + [(None, 4)]:
        if word is None: c ^= 255                               # the end
        else: d ^= word
        for _ in range(rounds):
            a = a + b & mask; b = rotl(b, 13) ^ a; a = rotl(a, 32)
            c = c + d & mask; d = rotl(d, 16) ^ c
            a = a + d & mask; d = rotl(d, 21) ^ a
            c = c + b & mask; b = rotl(b, 17) ^ c; c = rotl(c, 32)
        if word is not None: a ^= word
    return a ^ b ^ c ^ d

def check_auth(uid, channel, key, auth):                                            # A1, A2
    value = siphash(uid.encode() + channel.encode() + (key or b""))
    if auth is None:
        if key: raise Refused("AuthMissing", 4001)                                  # A2.1, A2.3
    elif not re.fullmatch("[0-9A-Fa-f]{1,16}", auth): raise Refused("AuthMalformed", 4001)           # A1.3, A1.4
    elif not hmac.compare_digest(int(auth, 16).to_bytes(8, "big"), value.to_bytes(8, "big")):        # A2.6
        raise Refused("AuthMismatch", 4001)                                         # A2.2, A2.4

def depth(value):                                                                   # H1.7
    if isinstance(value, dict): value = list(value.values())
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0

def parse_header(is_text, payload):                                                 # in the order of H1.11
    def members(pairs):                                         # H1.8; Python compares strings by code points
        if len(dict(pairs)) < len(pairs): raise Refused("HeaderRepeatedMember", 4000)
        return dict(pairs)
    def no_constant(name): raise ValueError(name)               # NaN and Infinity, which Python takes, are not JSON
    if len(payload) > HEADER_MAX: raise Refused("HeaderTooBig", 4000)               # H2.1
    if not is_text: raise Refused("HeaderNotText", 4000)                            # H1.1
    try:                                                        # H1.2; as floats, numbers of any length are no trouble
        header = json.loads(payload.decode(), object_pairs_hook=members, parse_constant=no_constant, parse_int=float)
        if not isinstance(header, dict): raise ValueError
        if any(depth(v) > 16 for v in header.values()): raise RecursionError
    except ValueError: raise Refused("HeaderNotJson", 4000) from None               # UnicodeDecodeError is one, too
    except RecursionError: raise Refused("HeaderTooDeep", 4000) from None           # H1.7
    if not {"uid", "channel"} <= header.keys(): raise Refused("HeaderMissingMember", 4000)           # H1.3
    for name, kind in ("uid", str), ("channel", str), ("auth", str), ("peer", bool):                 # H1.3, H1.5, H4.2
        if name in header and type(header[name]) is not kind: raise Refused("HeaderWrongType", 4000)
    for name in header["uid"], header["channel"]:
        if not name: raise Refused("HeaderEmptyName", 4000)                         # H1.4
        if re.search("[\0\ud800-\udfff]", name): raise Refused("HeaderBadName", 4000)                # H1.9
    return {"uid": header["uid"], "channel": header["channel"], "auth": header.get("auth"),
            "peer": header.get("peer", False)}                                      # the rest is ignored: H1.6, H4.1

def canonical(uid, channel):                                    # J3.1, J3.2: json.dumps escapes just so
    return ('{"uid":%s,"channel":%s}' % tuple(json.dumps(s, ensure_ascii=False) for s in (uid, channel))).encode()

# ---- History (section 7, L1.3) --------------------------------------------------------------------------------------

class Entry:
    __slots__ = "channel", "uid", "announces", "frame", "cost", "ts", "stored", "replays"
    def __init__(self, channel, uid, is_text, payload):         # of the payload the frame is kept, not two copies
        self.channel, self.uid = channel, uid
        self.announces = is_text and payload == canonical(uid, channel.name)        # J3.8, J3.9
        self.frame = Frame(Opcode.TEXT if is_text else Opcode.BINARY, payload).serialize(mask=False)  # M1.6
        self.cost = len(payload) + len(uid.encode()) + 64                           # M3.5
        now = channel.store.now()
        self.ts = channel.ts = max(now if now < 1 << 53 else 0, channel.ts + 1)     # M3.1; without peers no seq (M3.11)
        self.stored, self.replays = False, 0                    # whether in the history; how many replays hold it

class Channel:
    def __init__(self, store, name):
        self.store, self.name, self.members = store, name, {}   # members: uid -> session (J1.1)
        self.cost, self.bytes, self.ghosts, self.ts = len(name.encode()) + 256, 0, 0, 0              # M3.5
        self.messages, self.announcements = deque(), {}         # oldest first; the second: uid -> entry (J3.6)
    def entries(self): return sorted([*self.messages, *self.announcements.values()], key=lambda e: e.ts)     # M3.2
    def oldest(self):
        first = (next(iter(kept)) for kept in (self.messages, self.announcements.values()) if kept)
        return min(first, key=lambda e: e.ts, default=None)
    def remove(self, entry):
        if self.messages and self.messages[0] is entry: self.messages.popleft()
        else: del self.announcements[entry.uid]
        entry.stored = False
        self.bytes -= entry.cost
        if entry.replays: self.ghosts += 1                      # L3.9: it counts until it is replayed
        else: self.store.used -= entry.cost
    def put(self, entry):                                                           # M3.10, in its order
        store = self.store
        if entry.cost > store.channel_bytes or entry.cost + self.cost > store.total_bytes: return    # M3.8
        if entry.announces:
            if entry.uid in self.announcements: self.remove(self.announcements[entry.uid])           # J3.6
            self.announcements[entry.uid] = entry
        else: self.messages.append(entry)
        entry.stored = True
        self.bytes += entry.cost
        store.used += entry.cost
        for kept in self.messages, self.announcements.values():                     # M3.3, M3.4, J3.7
            while len(kept) > store.limit: self.remove(next(iter(kept)))
        while self.bytes > store.channel_bytes: self.remove(self.oldest())          # M3.6

class Store:
    """All channels. `now` is Unix time in microseconds."""
    def __init__(self, limit=200, channel_bytes=8 * MIB, total_bytes=64 * MIB, now=lambda: time.time_ns() // 1000):
        self.limit, self.channel_bytes, self.total_bytes, self.now = limit, channel_bytes, total_bytes, now
        self.channels, self.used = {}, 0
        self.quiet = []                                         # heap: each channel, by a ts that may be out of date
        self.replaying = {}                                     # sessions, in the order of their joins
        self.accepting = self.admitting = False
        self.next = deque()                                     # newcomers whose incumbents have left (J1.6)
    def accept(self, session, is_text, payload, joins=False):                       # M1; an entry gets its place here
        self.accepting, channel = True, session.channel
        try:
            entry = Entry(channel, session.uid, is_text, payload)
            for member in list(channel.members.values()):
                if member is not session: member.deliver(entry.frame)               # M1.1, M1.2, M1.3, M1.8, J3.3, J3.4
            channel.put(entry)                                                      # M1.4, J3.5
            self.bound(session if joins else None)
        finally: self.accepting = False
        self.admit()
    def bound(self, spared=None):                                                   # M3.7, L3.9
        aside = []
        while self.used > self.total_bytes:
            if quietest := self.quietest(aside):
                quietest.remove(quietest.oldest())
                self.forget_if_empty(quietest)
                continue
            slow = next((s for s in self.replaying if any(not e.stored for e in s.replay)), None)
            if not slow or slow is spared: break                                    # J3.5
            slow.lag()
            while aside: self.push_quiet(aside.pop())           # some are not held any more
        while aside: self.push_quiet(aside.pop())
    def push_quiet(self, channel): heapq.heappush(self.quiet, (channel.ts, id(channel), channel))
    def quietest(self, aside):                                  # of those that can lose an entry; others go aside
        while self.quiet:
            ts, _, channel = self.quiet[0]
            known = self.channels.get(channel.name) is channel
            if known and ts == channel.ts and channel.oldest() and not channel.ghosts: return channel
            heapq.heappop(self.quiet)
            if known and ts < channel.ts: self.push_quiet(channel)
            elif known: aside.append(channel)
    def admit(self):                                            # behind what is being accepted, before more is: J1.6
        if self.accepting or self.admitting: return             # who joins is accepted: not one inside the other
        self.admitting = True
        try:
            while self.next: self.next.popleft().join()
        finally: self.admitting = False
    def join(self, session):                                                        # J2, J3
        name = session.channel_name
        if name not in self.channels:
            self.channels[name] = Channel(self, name)
            self.used += self.channels[name].cost
            if len(self.quiet) > 2 * len(self.channels) + 64:   # mostly forgotten ones
                self.quiet = [(c.ts, id(c), c) for c in self.channels.values() if c.name != name]
                heapq.heapify(self.quiet)
            self.push_quiet(self.channels[name])
        channel = session.channel = self.channels[name]
        channel.members[session.uid] = session
        session.replay = deque(channel.entries())                                   # J2.1, J2.4, J2.5
        for entry in session.replay: entry.replays += 1
        if session.replay: self.replaying[session] = None
        self.accept(session, True, canonical(session.uid, name), joins=True)        # J3.3, J3.5
    def leave(self, session):                                                       # L1.1; nobody is told: L1.2
        self.end_replay(session)
        del session.channel.members[session.uid]
        self.forget_if_empty(session.channel)
    def replayed(self, session):                                # takes the next entry of its replay
        entry = session.replay.popleft()
        entry.replays -= 1
        if not entry.replays and not entry.stored:                                  # L3.9: gone at last
            entry.channel.ghosts -= 1
            self.used -= entry.cost
        if not session.replay: self.replaying.pop(session, None)
        return entry
    def end_replay(self, session):
        while session.replay: self.replayed(session)
    def forget_if_empty(self, channel):                                             # M3.9
        if channel.members or channel.oldest(): return
        del self.channels[channel.name]
        self.used -= channel.cost
    def expire(self):                                                               # L1.3, L1.5
        for channel in list(self.channels.values()):
            if not channel.members and self.now() - channel.ts >= LIFE * 10**6:
                while channel.oldest(): channel.remove(channel.oldest())
                self.forget_if_empty(channel)

# ---- The socket, TLS and HTTP (sections 2 and 11) -------------------------------------------------------------------

class Wire:
    """A non-blocking socket, with TLS on it once start_tls has run."""
    def __init__(self, sock):
        sock.setblocking(False)
        self.sock, self.fd, self.loop, self.waiter = sock, sock.fileno(), asyncio.get_running_loop(), None
    def wake(self):
        if self.waiter and not self.waiter.done(): self.waiter.set_result(None)
    async def wait(self, idle=False):                           # until there is something to read, or wake()
        self.waiter = self.loop.create_future()
        if not idle: self.loop.add_reader(self.fd, self.wake)
        try: await self.waiter
        finally:
            if self.sock.fileno() >= 0: self.loop.remove_reader(self.fd)
    async def call(self, function, *args):
        while True:
            if self.sock.fileno() < 0: raise EOFError           # dropped meanwhile
            try: return function(*args)
            except (ssl.SSLWantReadError, BlockingIOError): await self.wait()
            except ssl.SSLWantWriteError: await asyncio.sleep(0.05)                 # rare; only flush has a writer
    async def start_tls(self, context):
        self.sock = context.wrap_socket(self.sock, server_side=True, do_handshake_on_connect=False)
        await self.call(self.sock.do_handshake)
    async def refuse(self, text):                                                   # X1.9, X1.14, X1.16
        data = memoryview(text.encode())
        async with asyncio.timeout(CLOSE_TIME):
            while data: data = data[await self.call(self.sock.send, data):]
            self.end_output()
            await self.drain()
    async def drain(self):                                      # what comes is not even decrypted
        while await self.call(socket.socket.recv, self.sock, 64 * KIB): await asyncio.sleep(0)       # L2.2
    def end_output(self):                                       # X1.16: lest a reset overtakes what was sent last
        for end in getattr(self.sock, "unwrap", lambda: None), lambda: self.sock.shutdown(socket.SHUT_WR):
            try: end()
            except (OSError, ValueError): pass
    def drop(self):
        if self.sock.fileno() < 0: return
        self.loop.remove_reader(self.fd); self.loop.remove_writer(self.fd)
        self.end_output()
        self.sock.close()
        self.wake()

def tls_context(cert, key):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)                               # T1.1
    context.minimum_version = ssl.TLSVersion.TLSv1_2                                # T1.2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.load_cert_chain(cert, key)
    context.set_alpn_protocols(["http/1.1"])                                        # T1.3, T1.4
    def on_message(conn, direction, _version, content, kind, hello):                # ClientHello: RFC 8446, 4.1.2
        if direction != "read" or content != 22 or kind != 1: return
        at = 38                                                 # behind type, length, version and random:
        for width in 1, 2, 1:                                   # session, ciphers, compression
            at += width + int.from_bytes(hello[at:at + width], "big")
        at += 2
        while at + 4 <= len(hello):
            extension, size = struct.unpack_from(">HH", hello, at)
            if extension == 16: conn.alpn = hello[at + 6:at + 4 + size]
            at += 4 + size
    def on_server_name(conn, _name, _context):                  # called with SNI and without
        if b"\x08http/1.1" not in getattr(conn, "alpn", b"\x08http/1.1"): return 120    # no_application_protocol
    context._msg_callback, context.sni_callback = on_message, on_server_name
    return context

def answer(status, sentence, more="", body=True):                                   # X1.9
    return (f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nDate: {formatdate(usegmt=True)}\r\n{more}"
            f"Content-Type: text/plain; charset=utf-8\r\nContent-Length: {len(sentence) + 1}\r\n"
            "Connection: close\r\n\r\n" + (sentence + "\n") * body)

TOKEN = r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)"                        # no pattern here takes more than linear time

def upgrade(head, full):                                        # (the 101, True) or (a refusal, False); X1.2
    line, *lines = head.decode("latin-1").split("\r\n")
    request = re.fullmatch(TOKEN + r" \S+ HTTP/(\d\.\d)", line)                                      # T2.5: any path
    fields = [re.fullmatch(TOKEN + r":([^\0\r\n]*)", line) for line in lines]
    def values(name): return [f[2].strip(" \t") for f in fields if f[1].lower() == name]
    def tokens(name): return [t.strip(" \t") for v in values(name) for t in v.split(",")]
    def has(name, token): return token in [t.lower() for t in tokens(name)]
    if not request or not all(fields):                                              # in the order of X1.17
        return answer(400, "This is not a well-formed HTTP request."), False
    method, version = request.groups()
    if version not in ("1.0", "1.1"): return answer(505, "This server speaks HTTP/1.1."), False
    if len(values("host")) != 1 and version == "1.1": return answer(400, "Send one Host."), False
    if method not in ("GET", "HEAD"): return answer(405, "Only GET is allowed here.", "Allow: GET, HEAD\r\n"), False
    if method == "HEAD" or version == "1.0" or not (has("upgrade", "websocket") and has("connection", "upgrade")):
        return answer(404, "Nothing is here but a WebSocket.", body=method == "GET"), False
    if values("sec-websocket-version") != ["13"]:                                   # T1.5
        return answer(426, "This server speaks version 13 of the WebSocket protocol.",
                      "Sec-WebSocket-Version: 13\r\nUpgrade: websocket\r\n"), False
    key = values("sec-websocket-key")
    if len(key) != 1 or not re.fullmatch("[A-Za-z0-9+/]{22}==", key[0]):
        return answer(400, "This is not a well-formed WebSocket upgrade."), False
    if "mles-websocket" not in tokens("sec-websocket-protocol"):                    # T2.2, T2.4
        return answer(400, "Offer the subprotocol mles-websocket."), False
    if full: return answer(503, "This server is full: try again later.", "Retry-After: 10\r\n"), False       # X1.10
    return ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"      # T2.3, T2.6, T2.7
            f"Sec-WebSocket-Accept: {accept_key(key[0])}\r\nSec-WebSocket-Protocol: mles-websocket\r\n\r\n"), True

# ---- Sessions (sections 5, 6 and 8 to 11; the states of section 13) -------------------------------------------------

class Session:
    def __init__(self, server, wire, unread, response):
        self.server, self.wire, self.unread, self.state = server, wire, unread, "AwaitHeader"
        self.current = memoryview(response.encode())            # the WebSocket frame in progress
        self.ping = self.pong = self.code = None                # what goes ahead of what waits (L3.5)
        self.close_sent = self.close_received = self.deaf = False
        self.replay, self.outbox, self.outbox_bytes, self.timers = deque(), deque(), 0, {}
        self.rival, self.incumbent, self.heard, self.probed = None, None, 0, 0      # J1
        self.after("header", server.options.header_timeout, lambda: self.close(4003))                # H3.1, H3.2
    def after(self, name, delay, function): self.timers[name] = self.wire.loop.call_later(delay, function)
    def cancel(self, *names):
        for name in names or list(self.timers):
            if name in self.timers: self.timers.pop(name).cancel()

    # Sending: TLS gets one frame at a time, so that it is known what is in progress.
    def next_frame(self):
        if self.close_sent: return None                                            # X1.5: nothing follows a close frame
        if self.code and not self.outbox:                                           # X1.5
            self.close_sent = True
            return Frame(Opcode.CLOSE, Close(self.code, REASONS[self.code]).serialize()).serialize(mask=False)
        if self.pong is not None:                                                   # L3.5
            payload, self.pong = self.pong, None
            return Frame(Opcode.PONG, payload).serialize(mask=False)
        if self.ping: self.ping = None; return Frame(Opcode.PING, b"").serialize(mask=False)
        if self.replay: return self.server.store.replayed(self).frame               # L3.6
        self.cancel("replay")                                                       # L3.7: the socket has all of it
        if not self.outbox: return None
        frame = self.outbox.popleft()
        self.outbox_bytes -= len(frame)
        return frame
    def flush(self):
        for _ in range(64):                                                         # L2.2: others have their turn
            if self.wire.sock.fileno() < 0: return
            if not self.current:
                if self.state == "Lagging": self.decide(4008)                       # L2.5: it reads again
                self.current = memoryview(self.next_frame() or b"")
                if not self.current:
                    self.wire.loop.remove_writer(self.wire.fd)
                    if self.close_sent and (self.close_received or self.deaf):      # X1.7, X1.16: run() drains
                        self.wire.end_output()
                    return
            try: self.current = self.current[self.wire.sock.send(self.current[:64 * KIB]):]
            except (ssl.SSLWantWriteError, ssl.SSLWantReadError): break
            except OSError: return self.drop()                                      # X1.15
        self.wire.loop.add_writer(self.wire.fd, self.flush)
    def send_soon(self):
        if not self.current: self.flush()
    def deliver(self, frame):                                                       # a live frame: J2.3, M1
        if self.state != "Joined": return                                           # L2.4
        if self.outbox and self.outbox_bytes + len(frame) > self.server.options.outbox:
            return self.lag()                                                       # L3.1, L3.2, L3.3
        self.outbox.append(frame)
        self.outbox_bytes += len(frame)
        self.send_soon()
    def clear(self):
        self.server.store.end_replay(self)
        self.outbox.clear()
        self.outbox_bytes = 0
    def lag(self):                                                                  # L2.4, L3.4, L3.7, L3.9
        if self.state != "Joined": return
        self.state = "Lagging"
        self.cancel("replay")
        self.clear()
        self.wire.loop.call_soon(self.send_soon)                                    # L2.5

    # Joining and leaving
    def enter(self):                                                                # a good header has come
        channel, pair = self.server.store.channels.get(self.channel_name), (self.channel_name, self.uid)
        incumbent = channel and channel.members.get(self.uid)                       # J1.1, J1.8, J1.9
        if pair in self.server.newcomers: return self.close(4002)                   # J1.7
        if not incumbent: return self.join()
        self.server.newcomers[pair] = self
        self.state, self.incumbent, incumbent.rival = "AwaitIncumbent", incumbent, self
        incumbent.probed, incumbent.ping = time.monotonic(), True                   # J1.2
        self.after("probe", self.server.options.probe_timeout, self.probe_ends)
        incumbent.send_soon()
    def probe_ends(self):
        if self.incumbent.heard > self.incumbent.probed: self.close(4002)           # J1.4
        else: self.incumbent.close(4005)                                            # J1.5, and then J1.6
    def join(self):                                                                 # J1.5, J1.6, J2, J3
        if self.code or self.server.leaving: return                                 # it has left meanwhile; X1.8
        self.server.newcomers.pop((self.channel_name, self.uid), None)
        self.state, self.incumbent, self.heard = "Joined", None, time.monotonic()
        self.server.store.join(self)
        if self.code: return
        if self.replay: self.after("replay", self.server.options.replay_timeout, self.lag)           # L3.7
        self.keep_alive(1)                                                          # K1.4
        self.send_soon()
        self.server.store.bound()                               # J3.5: its socket has been offered the replay
        self.wire.wake()
    def keep_alive(self, pings):                                                    # K1.1, K1.4
        interval = self.server.options.ping_interval
        if time.monotonic() - self.heard < pings * interval - 0.001: pings = 1      # K1.3
        elif pings == 4: return self.close(4005)                                    # K1.2
        else:
            self.ping, pings = True, pings + 1
            self.send_soon()
        self.after("ping", self.heard + pings * interval - time.monotonic(), lambda: self.keep_alive(pings))
    def leave(self):                                                                # L1.1
        if self.state in ("Joined", "Lagging"): self.server.store.leave(self)
        if self.state == "AwaitIncumbent":                                          # J1.10
            self.server.newcomers.pop((self.channel_name, self.uid), None)
            if self.incumbent: self.incumbent.rival = None
        rival, self.state, self.rival, self.incumbent = self.rival, "Closed", None, None
        if rival:                                                                   # J1.6
            rival.cancel("probe")
            rival.incumbent = None
            self.server.store.next.append(rival)
            self.server.store.admit()
    def fault(self, code):                                      # what follows cannot be told apart, or is long: X1.7
        self.deaf = True
        self.close(code)
    def decide(self, code):                                                        # X1.6: from here on all is discarded
        self.code = code
        kept = [e.frame for e in self.replay] + list(self.outbox) if code == 1012 else []            # X1.5
        self.cancel()
        self.leave()
        self.clear()
        self.outbox.extend(kept)
        self.after("drop", CLOSE_TIME, self.drop)                                   # X1.7
    def close(self, code):
        if self.code: return
        self.decide(code)
        self.wire.wake()
        self.send_soon()
    def drop(self):                                                                 # X1.7, X1.15
        self.code = self.code or 1006
        self.cancel()
        self.leave()
        self.clear()
        self.wire.drop()
        self.server.sessions.discard(self)

    # Receiving
    async def fill(self):
        joined = self.state in ("Joined", "Lagging")
        data = await self.wire.call(self.wire.sock.recv, 64 * KIB if joined else 4000)               # H2.2
        if not data: raise EOFError
        self.heard = time.monotonic()                                               # J1.4, K1.3
        self.unread += data
        await asyncio.sleep(0)                                                      # L2.2: others have their turn
    async def take(self, size):
        while len(self.unread) < size: await self.fill()
        data = bytes(self.unread[:size])
        del self.unread[:size]
        return data
    async def wait_for_turn(self):                                                # H2.3: nothing is processed meanwhile
        while self.state == "AwaitIncumbent":
            if len(self.unread) > UNREAD_MAX - 4000: await self.wire.wait(idle=True)                 # H2.2
            else:
                try: data = self.wire.sock.recv(4000)
                except ssl.SSLWantReadError: await self.wire.wait(); continue
                if not data: raise EOFError                                         # J1.10
                self.unread += data
    async def receive(self):                                    # until the client's close frame
        kind, message = None, bytearray()
        while True:
            first, second = await self.take(2)
            fin, opcode, size, control = first >> 7, first & 15, second & 127, first & 8
            bad = first & 0x70 or opcode not in (0, 1, 2, 8, 9, 10) or not second & 128              # M4.4
            bad = bad or ((not fin or size > 125) if control else (opcode == 0) == (kind is None))
            if size > 125 and not bad:
                least, wide = (126, 2) if size == 126 else (1 << 16, 8)
                size = int.from_bytes(await self.take(wide), "big")
                bad = size < least or size >> 63
            if bad: return self.fault(1002)
            mask, at, payload = await self.take(4), 0, bytearray() if control else message
            if not control:
                kind = kind or opcode
                most, code = self.server.options.max_message, 1009
                if self.state == "AwaitHeader": most, code = HEADER_MAX, 4000
                if len(message) + size > most and not self.code: return self.fault(code)             # H2.1, M4.2
            while at < size:                                                       # M4.3: only what has arrived is held
                if not self.unread: await self.fill()
                chunk = bytes(self.unread[:size - at])
                del self.unread[:len(chunk)]
                if self.code: payload.clear()                                       # X1.6
                else: payload += apply_mask(chunk, mask[at % 4:] + mask[:at % 4])
                at += len(chunk)
            if opcode == 8: return self.on_close(bytes(payload))
            if control and not self.code: self.on_control(opcode, bytes(payload))
            if fin and not control:                                                 # M1.5
                if not self.code: await self.on_frame(kind == 1, bytes(message))
                kind, message = None, bytearray()
            await asyncio.sleep(0)                              # L2.2, also if what comes is many small frames
    def on_control(self, opcode, payload):                                          # M2.1: never distributed
        if opcode == 9:
            self.pong = payload                                                     # M2.2, M2.4: the latest
            self.send_soon()
        elif self.rival: self.rival.close(4002)                                     # J1.3, M2.3
    async def on_frame(self, is_text, payload):
        if self.state == "AwaitHeader":                                             # T1.6: only the first is a header
            try:
                header = parse_header(is_text, payload)
                if header["peer"]: raise Refused("", 4011)                          # H4.3
                check_auth(header["uid"], header["channel"], self.server.key, header["auth"])        # A2.5, A3
            except Refused as refusal: return self.close(refusal.args[1])           # H1.12
            self.uid, self.channel_name = header["uid"], header["channel"]
            self.cancel("header")
            self.enter()
            return await self.wait_for_turn()
        try: is_text and payload.decode()
        except UnicodeDecodeError: return self.close(1007)                          # M4.5
        self.server.store.accept(self, is_text, payload)                            # M1, L2.1, L2.3
    def on_close(self, payload):
        self.leave()                                                                # L1.1: before it is answered
        self.close_received, code = True, 1000                                      # X1.4
        try: Close.parse(payload)
        except ProtocolError: code = 1002                                           # M4.4
        except UnicodeDecodeError: code = 1007                                      # M4.5
        self.close(code)
        self.send_soon()
    async def run(self):
        try:
            self.flush()
            await self.receive()
            await self.wire.drain()                             # until drop(), or the end: X1.16
        except (EOFError, OSError): pass
        finally: self.drop()

# ---- The server -----------------------------------------------------------------------------------------------------

class Server:
    def __init__(self, options, key):
        self.options, self.key, self.sessions, self.newcomers, self.leaving = options, key, set(), {}, False
        self.others = {}                                        # wires without a session, oldest first
        self.store = Store(options.limit, options.history_channel_bytes, options.history_bytes)
        self.tls = tls_context(options.cert, options.key)
    async def connection(self, wire):
        sock, head = wire.sock, bytearray()
        async def more():
            head.extend(data := await wire.call(wire.sock.recv, 4000))
            if not data: raise EOFError
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            async with asyncio.timeout(self.options.handshake_timeout):             # X1.13
                if await wire.call(sock.recv, 1, socket.MSG_PEEK) == b"\x16": await wire.start_tls(self.tls)
                else:                                                               # X1.14: not TLS
                    while b"\n" not in head and len(head) < 4000: await more()
                    if re.match(rb"[A-Z]+ \S+ HTTP/\d\.\d\r?\n", head):
                        await wire.refuse(answer(400, "This port speaks TLS: use wss or https."))
                    return
            try:
                async with asyncio.timeout(HEAD_TIME):                              # X1.11
                    while (end := head.find(b"\r\n\r\n")) < 0 and len(head) <= HEAD_MAX: await more()
            except TimeoutError: return await wire.refuse(answer(408, "The request did not come in time."))
            if not 0 <= end <= HEAD_MAX - 4: return await wire.refuse(answer(431, "The request's head is too long."))
            response, good = upgrade(bytes(head[:end]), self.leaving or len(self.sessions) >= self.options.max_sessions)
            if not good: return await wire.refuse(response)
            session = Session(self, wire, head[end + 4:], response)
            self.sessions.add(session)
            self.others.pop(wire, None)
            await session.run()
        except (OSError, TimeoutError, EOFError): pass                              # X1.14, X1.15
        finally:
            self.others.pop(wire, None)
            wire.drop()
    async def serve(self):
        loop, stop, tasks = asyncio.get_running_loop(), asyncio.Event(), set()
        for name in signal.SIGTERM, signal.SIGINT: loop.add_signal_handler(name, stop.set)
        host, _, port = self.options.listen.rpartition(":")
        family = socket.AF_INET6 if "[" in host else socket.AF_INET
        listener = socket.create_server((host.strip("[]"), int(port)), family=family,
                                        dualstack_ipv6=host == "[::]")              # T3.1
        listener.setblocking(False)
        print(f"listening on wss://{host}:{listener.getsockname()[1]}", flush=True)
        async def accept():
            while True:
                try: sock, _ = await loop.sock_accept(listener)
                except OSError: await asyncio.sleep(0.1); continue                  # such as: out of descriptors
                if len(self.others) >= self.options.filelimit:                      # X1.12
                    self.others.pop(oldest := next(iter(self.others)))
                    oldest.drop()
                self.others[wire := Wire(sock)] = None
                tasks.add(task := loop.create_task(self.connection(wire)))
                task.add_done_callback(tasks.discard)
                await asyncio.sleep(0)                                              # L2.2
        async def expire():
            while True: await asyncio.sleep(600); self.store.expire()               # L1.3: within an hour
        background = [loop.create_task(accept()), loop.create_task(expire())]
        await stop.wait()
        self.leaving = True                                                         # X1.8, X1.10
        background[0].cancel()
        listener.close()
        for session in list(self.sessions): session.close(1012)
        if tasks: await asyncio.wait(tasks, timeout=CLOSE_TIME + 1)

def main():
    def number(units, least, most):                                                 # section 12: a size or a time
        def parse(text):
            found = re.fullmatch(r"(\d+)([A-Za-z]*)", text, re.ASCII)
            value = int(found[1]) * units.get(found[2], -1) if found else -1
            if not least <= value <= most: raise argparse.ArgumentTypeError("out of range: " + text)
            return value
        return parse
    count, sizes = {"": 1}, {"": 1, "KiB": KIB, "MiB": MIB, "GiB": KIB * MIB}
    times = {"": 1, "ms": 0.001, "s": 1, "m": 60, "h": 3600}
    parser = argparse.ArgumentParser(description="a server of the Mles v2 client protocol")
    for name, default in ("listen", "0.0.0.0:443"), ("cert", None), ("key", None), ("client-key-file", ""):
        parser.add_argument("--" + name, default=default, required=default is None)
    for name, default, units, least, most in (
            ("limit", 200, count, 0, 10**6), ("history-channel-bytes", None, sizes, 0, 1024**4),
            ("history-bytes", 64 * MIB, sizes, 0, 1024**4), ("max-message", 16 * MIB, sizes, 4 * KIB, 1024**3),
            ("outbox", MIB, sizes, 4 * KIB, 1024**3), ("replay-timeout", 60, times, 0.01, 3600),
            ("handshake-timeout", 10, times, 0.01, 3600), ("header-timeout", 10, times, 0.01, 3600),
            ("ping-interval", 24, times, 0.01, 3600), ("probe-timeout", 5, times, 0.01, 3600),
            ("filelimit", 256, count, 1, 10**6),
            ("max-sessions", resource.getrlimit(resource.RLIMIT_NOFILE)[0] * 8 // 10, count, 1, 10**7)):
        parser.add_argument("--" + name, default=default, type=number(units, least, most))
    options = parser.parse_args()
    if options.history_channel_bytes is None: options.history_channel_bytes = min(8 * MIB, options.history_bytes // 4)
    if options.history_channel_bytes > options.history_bytes: parser.error("--history-channel-bytes is above the total")
    key = None
    if options.client_key_file:
        with open(options.client_key_file, "rb") as file:                           # A2.8
            key = file.readline().rstrip(b"\n").removesuffix(b"\r")
        if not key: parser.error("the key is empty")                                # A2.7
    asyncio.run(Server(options, key).serve())

if __name__ == "__main__": main()
