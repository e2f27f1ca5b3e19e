"""A whole node: events in, actions with their clauses out. Sessions and channels are here, links in links.py, paths
and dialing in tree.py.

Sockets take everything at once, so that nothing waits in an outbox but when an event says so. Times are in
microseconds. What is drawn at random has an interval here; an event within it would make the rest depend on the
draw, and is an error of the trace.
"""
from models.headers import Refused, canonical, expect_auth, header
from models.links import Links
from models.state import HOUR, SECOND, Channel, Connection, Entry
from models.tree import Tree

START = 1_700_000_000_000_000
EXPIRY = 30 * 24 * HOUR


class DependsOnDraw(Exception):
    pass


class Node(Links, Tree):
    def __init__(self, uid, key=None, peer_key=None, open_peering=False, max_payload=16 << 20, limit=200,
                 channel_bytes=8 << 20, history_bytes=64 << 20, clock=START):
        self.uid, self.key, self.peer_key = uid, key, peer_key
        self.takes_peers = peer_key is not None or open_peering  # O1.5
        self.max, self.limit, self.channel_bytes, self.history_bytes = max_payload, limit, channel_bytes, history_bytes
        self.time, self.clock = 0, clock
        self.connections, self.channels, self.timers, self.actions = {}, {}, [], []
        self.seq_floor = self.ts_floor = self.armed = 0  # S2.3
        self.start_tree()

    @property
    def now(self):
        return self.clock + self.time

    # -- Events and time --

    def handle(self, event):
        """One event; gives what is to be done, in order."""
        self.actions = []
        name = next(iter(event))
        getattr(self, "on_" + name)(**event)
        self.tidy()
        self.flush()
        while any(timer[2] <= self.time for timer in self.timers):
            self.on_passes(0)
        return self.actions

    def act(self, clause, **action):
        self.actions.append(action | {"clause": clause})

    def at(self, time, do, latest=None):
        """A timer; with `latest` it is drawn, and fires somewhere in between."""
        self.armed += 1
        timer = (time, self.armed, latest or time, do)
        self.timers.append(timer)
        return timer

    def on_passes(self, passes):
        until = self.time + passes * 1000
        while due := sorted(timer for timer in self.timers if timer[0] <= until):
            timer = min(due, key=lambda timer: (timer[2], timer[1]))
            if timer[2] > until:
                raise DependsOnDraw(f"{self.uid} at {until}: between {timer[0]} and {timer[2]}")
            self.timers.remove(timer)
            self.time = max(self.time, timer[2])
            timer[3]()
            self.tidy()
            self.flush()
        self.time = until

    def on_clock(self, clock):
        self.clock += clock * SECOND

    def on_shutdown(self, shutdown):
        self.stopping = True
        # Nobody joins because an incumbent is closed: those who wait are closed as well.
        for connection in sorted(self.connections.values(), key=lambda c: c.state != "waiting"):
            self.close(connection, 1012, "X1.8")

    # -- Connections --

    def on_opened(self, opened, nonces=None, answers=False):
        connection = Connection(opened, "new", nonces=nonces, answers=answers)
        self.connections[opened] = connection

        def late():
            if connection.state == "new" and opened in self.connections:
                self.close(connection, 4003, "O1.8" if nonces else "H3.1")
        self.at(self.time + 10 * SECOND, late)

    def on_frame(self, frame, kind="text", text=None, length=None):
        connection = self.connections.get(frame)
        if not connection:
            return  # X1.6
        payload = b"x" * length if text is None else text.encode()
        self.hear(connection, False)
        if connection.state == "new":
            self.first(connection, payload, kind)
        elif connection.state == "member":
            channel = self.channels[connection.channel]
            self.accept(channel, connection.uid, kind, payload, connection, "M1.1")
        elif connection.state == "asked":
            self.replied(connection, payload, kind)
        else:
            self.link_frame(connection, payload, kind)

    def on_pong(self, pong):
        if pong in self.connections:
            self.hear(self.connections[pong], True)

    def on_heard(self, heard):
        if heard in self.connections:
            self.hear(self.connections[heard], False)

    def on_closes(self, closes, code=1000):
        connection = self.connections.get(closes)
        if connection:
            self.refused_by_peer(connection, code)
            self.close(connection, 1000, "X1.4")

    def on_lost(self, lost):
        if lost in self.connections:
            self.remove(self.connections[lost])

    def on_overrun(self, overrun):
        member = self.connections[overrun]
        member.lagging, member.wait = True, None  # L2.4

    def on_drained(self, drained):
        if drained in self.connections:
            self.close(self.connections[drained], 4008, "L2.5")

    def hear(self, connection, pong):
        connection.heard, connection.pings = self.time, 0
        newcomer = self.connections.get(connection.newcomer)
        if newcomer and pong:
            self.close(newcomer, 4002, "J1.3")
        elif newcomer:
            newcomer.alive = True

    def ping(self, connection, clause):
        if connection.answers:
            self.hear(connection, True)
        else:
            self.act(clause, ping=connection.name)

    def send(self, connection, kind, payload, clause):
        text = payload.decode() if kind == "text" else None
        if text is not None and len(text) < 1000:
            what = {"text": text}
        elif text is None and len(payload) < 1000:
            what = {"hex": payload.hex()}
        else:
            assert payload == b"x" * len(payload)
            what = {"kind": kind, "length": len(payload)}
        self.act(clause, send=connection.name, **what)

    def close(self, connection, code, clause):
        self.act(clause, close=connection.name, code=code)
        self.remove(connection)

    def remove(self, connection):
        if self.connections.pop(connection.name, None) is None:
            return
        if connection.state == "member":
            channel = self.channels[connection.channel]
            del channel.members[connection.uid]
            newcomer = self.connections.get(connection.newcomer)
            if newcomer:
                self.join(newcomer)  # J1.6
            else:
                self.interest_may_end(channel)
        elif connection.state == "waiting" and connection.incumbent in self.connections:
            self.connections[connection.incumbent].newcomer = None  # J1.10
        elif connection.state == "asked":
            self.dial_ended(connection)
        elif connection.state == "link":
            self.unlink(connection)

    # -- Sessions --

    def first(self, connection, payload, kind):
        try:
            said = header(payload, kind)
        except Refused:
            return self.close(connection, 4000, "H1.12")
        if said["peer"]:
            return self.greeted(connection, payload)
        auth = expect_auth({"input": said | {"key": self.key}})
        if "code" in auth:
            return self.close(connection, 4001, "A2.5")
        connection.uid, connection.channel = said["uid"], said["channel"]
        channel = self.channels.get(connection.channel)
        incumbent = channel and channel.members.get(connection.uid)
        if not incumbent:
            return self.join(connection)
        if incumbent.newcomer:
            return self.close(connection, 4002, "J1.7")
        connection.state, connection.incumbent, connection.alive = "waiting", incumbent.name, False
        incumbent.newcomer = connection.name
        self.at(self.time + 5 * SECOND, lambda: self.probe_over(connection))
        self.ping(incumbent, "J1.2")

    def probe_over(self, newcomer):
        if newcomer.state != "waiting" or newcomer.name not in self.connections:
            return
        if newcomer.alive:
            return self.close(newcomer, 4002, "J1.4")
        self.close(self.connections[newcomer.incumbent], 4005, "J1.5")

    def join(self, connection):
        connection.state, connection.heard, connection.pings = "member", self.time, 0
        channel = self.open_channel(connection.channel)
        channel.members[connection.uid] = connection
        self.want(channel)  # C1.1
        if self.is_synchronised(channel):
            for entry in channel.entries:
                self.send(connection, entry.kind, entry.payload, "J2.1")
        else:
            connection.wait = {"above": channel.seq, "gone": []}
            self.at(self.time + 2 * SECOND, lambda: self.release(connection, "W1.1"))
        self.keep_alive(connection)
        text = canonical(connection.uid, channel.name).encode()
        self.accept(channel, connection.uid, "text", text, connection, "J3.3")

    def release(self, connection, clause):
        """W1.3, W1.4: the replay of a session that has waited."""
        if not connection.wait or connection.name not in self.connections:
            return
        channel, wait = self.channels[connection.channel], connection.wait
        connection.wait = None
        for entry in sorted(channel.entries + wait["gone"], key=Entry.order):
            own = entry.origin == self.uid and entry.seq > wait["above"] and entry.uid == connection.uid
            if not own:
                self.send(connection, entry.kind, entry.payload, clause)

    def release_all(self, channel, clause):
        for member in list(channel.members.values()):
            self.release(member, clause)

    def keep_alive(self, member):
        def look():
            if member.name not in self.connections:
                return
            if member.heard + 24 * SECOND * (member.pings + 1) <= self.time:
                if member.pings == 3:
                    return self.close(member, 4005, "K1.2")
                member.pings += 1
                self.ping(member, "K1.1")
            self.at(member.heard + 24 * SECOND * (member.pings + 1), look)
        self.at(self.time + 24 * SECOND, look)

    # -- Channels --

    def open_channel(self, name):
        return self.channels.setdefault(name, Channel(name, self.seq_floor, self.ts_floor))

    def tidy(self):
        """M3.9, L1.3: channels that are forgotten."""
        for channel in list(self.channels.values()):
            expired = self.now - channel.last_ts >= EXPIRY
            if not channel.members and not self.is_joined(channel) and (expired or not channel.entries):
                self.seq_floor = max(self.seq_floor, channel.seq)
                self.ts_floor = max(self.ts_floor, channel.own_ts)
                del self.channels[channel.name]

    def cost(self, channel):  # M3.5
        own = 256 + len(channel.name.encode()) + 64 * len(channel.seen) + 512 * self.is_joined(channel)
        return own + sum(entry.cost for entry in channel.entries)

    def total(self):
        return sum(map(self.cost, self.channels.values()))

    def store(self, channel, entry):
        """M3.10; gives what is not stored, or not any more."""
        channel.last_ts = max(channel.last_ts, entry.ts)
        own = 256 + len(channel.name.encode()) + 512 * self.is_joined(channel)
        if not self.limit or entry.cost > self.channel_bytes or entry.cost + own > self.history_bytes:
            return [entry]  # M3.4, M3.8
        before = channel.entries + [entry]
        entries = channel.entries
        if entry.announcement:  # J3.6: one for each uid; the older goes.
            same = [e for e in entries if e.announcement and e.uid == entry.uid]
            if same and same[0].order() > entry.order():
                return [entry]
            entries = [e for e in entries if e not in same]
        entries = sorted(entries + [entry], key=Entry.order)
        alike = [e for e in entries if e.announcement == entry.announcement]
        if len(alike) > self.limit:  # M3.3, J3.7
            entries.remove(alike[0])
        while sum(e.cost for e in entries) > self.channel_bytes:  # M3.6
            entries.pop(0)
        channel.entries = entries
        while self.total() > self.history_bytes and any(c.entries for c in self.channels.values()):  # M3.7
            quietest = min((c for c in self.channels.values() if c.entries), key=lambda c: c.last_ts)
            oldest = quietest.entries.pop(0)
            if quietest is not channel:
                self.gone(quietest, [oldest])
        return [e for e in before if e not in channel.entries]

    def accept(self, channel, uid, kind, payload, sender, clause):
        """A message of a session of this node."""
        last = channel.last_ts
        if channel.own_ts <= self.now + HOUR:  # M3.1
            last = max(last, channel.own_ts)
        channel.seq += 1
        channel.own_ts = max(self.now, last + 1)
        entry = Entry(self.uid, channel.seq, channel.own_ts, uid, kind, payload, channel.name)
        self.distribute(channel, entry, sender, clause)

    def distribute(self, channel, entry, source, clause):
        gone = self.store(channel, entry)
        for member in channel.members.values():
            if member is not source and not member.wait and not member.lagging:  # M1.2, W1.1, L2.4
                self.send(member, entry.kind, entry.payload, clause)
        # To the link that it came from it does not go back.
        self.gone(channel, gone, entry if source in self.links() else None, source)
        self.wake(channel)

    def gone(self, channel, entries, came=None, source=None):
        """What has left the history, or never was in it, stays for those who have not had it yet (W1.3, S1.6)."""
        for member in channel.members.values():
            if member.wait:
                member.wait["gone"] += entries
        for link in self.links():
            lane = link.lanes.get(channel.name)
            if lane and lane.phase != "refused":
                lane.extra += [e for e in entries if e not in lane.extra and (e is not came or link is not source)]
