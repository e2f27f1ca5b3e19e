"""What a node knows: connections, channels, entries of a history."""
from models.headers import canonical

SECOND = 10**6
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE


class Connection:
    def __init__(self, name, state, **more):
        self.name, self.state, self.answers, self.nonces = name, state, False, None
        self.heard = self.pings = 0
        self.newcomer, self.wait, self.lagging = None, None, False
        self.__dict__.update(more)


class Channel:
    def __init__(self, name, seq, own_ts):
        self.name, self.seq, self.own_ts, self.last_ts = name, seq, own_ts, 0
        self.members, self.entries = {}, []
        self.seen, self.floor = {}, 0  # S1.1, S2.2: origin → [seq, ts]
        self.wanted_until = 0


class Entry:
    def __init__(self, origin, seq, ts, uid, kind, payload, channel):
        self.origin, self.seq, self.ts, self.uid, self.kind, self.payload = origin, seq, ts, uid, kind, payload
        self.cost = len(payload) + len(uid.encode()) + 64  # M3.5
        self.announcement = kind == "text" and payload == canonical(uid, channel).encode()  # J3.8

    def order(self):
        return self.ts, self.origin, self.seq  # M3.2
