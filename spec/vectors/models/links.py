"""Links: how they open, and channels on them (O1, F1, C1, S1, S2, S3)."""
from models.frames import members, parse
from models.headers import Refused, siphash24
from models.state import HOUR, SECOND, Entry


def link_auth(uid, channel, key, nonces):
    """O1.4"""
    text = uid + channel + (key or "") + nonces["dialer"] + nonces["acceptor"]
    return siphash24(text.encode())


class Lane:
    """A channel on a link, at one end."""

    def __init__(self, phase):
        self.phase = phase  # Lower end: asking, awaiting, joined, refused; upper end: serving.
        self.told, self.extra = {}, []  # S1.5, S1.6
        self.owed, self.done, self.leaving, self.due, self.woken = 0, False, False, 0, True


class Links:
    # -- Opening --

    def handshake(self, nonces, probe):
        frame = {"is": "handshake", "uid": self.uid, "channel": "mles", "path": list(self.path), "ts": self.now,
                 "auth": f"{link_auth(self.uid, 'mles', self.peer_key, nonces):016x}", "max": self.max, "probe": probe}
        return members(frame)

    def judge(self, payload, kind, nonces):
        """O1.4, R1.1, O1.7, R1.7: what both ends check. Cases break one of them at most."""
        said = parse(payload, kind, 4096)
        if said["is"] != "handshake":
            raise Refused("F1.4", 4012)
        auth = said["auth"] or ""
        digits = 1 <= len(auth) <= 16 and all(c in "0123456789abcdefABCDEF" for c in auth)  # A1.3, A1.4
        if not digits or int(auth, 16) != link_auth(said["uid"], said["channel"], self.peer_key, nonces):
            raise Refused("O1.4", 4001)
        if said["uid"] == self.uid:
            raise Refused("R1.1", 4010)
        if abs(said["ts"] - self.now) > 600 * SECOND:
            raise Refused("O1.7", 4011)
        if len(said["path"]) > 64:
            raise Refused("R1.7", 4011)
        return said

    def greeted(self, connection, payload):
        """A handshake from who has dialed (O1.3)."""
        try:
            if not self.takes_peers:
                raise Refused("O1.5", 4011)
            if not connection.nonces:
                raise Refused("O1.1", 4011)
            said = self.judge(payload, "text", connection.nonces)
            if said["uid"] in self.path:
                if not said["probe"]:
                    self.suspect()  # R1.6
                raise Refused("R1.1", 4010)
            links = [link for link in self.links() if link.uid != said["uid"]]  # O1.6
            if len(links) >= 64 and not said["probe"]:
                raise Refused("O1.9", 4004)
        except Refused as violation:
            clause, code = (violation.args + (4012,))[:2]
            return self.close(connection, code, clause)
        self.act("O1.3", send=connection.name, frame=self.handshake(connection.nonces, False))
        if said["probe"]:
            return self.close(connection, 1000, "O1.10")
        for old in [link for link in self.links() if link.uid == said["uid"]]:
            self.close(old, 4002, "O1.6")
        self.open_link(connection, said, "upper", None)

    def open_link(self, connection, said, end, entry):
        connection.__dict__.update(
            state="link", uid=said["uid"], end=end, entry=entry, max=said["max"], path=said["path"], lanes={},
            controls=[], label=None, since=self.time, their_clock=said["ts"] - self.time,
            own_clock=self.clock, suspected=None, heard=self.time)
        self.at(self.time + 5 * SECOND, lambda: self.keep_link(connection))

    def keep_link(self, link):
        """U1.6, R1.6, O1.7"""
        if link.name not in self.connections:
            return
        if link.heard + 20 * SECOND <= self.time:
            return self.close(link, 4005, "U1.6")
        if abs(self.clock - link.own_clock) > 600 * SECOND:
            return self.close(link, 1012, "O1.7")
        self.ping(link, "U1.6")
        self.at(self.time + 5 * SECOND, lambda: self.keep_link(link))

    def suspect(self):
        link = self.upstream
        if not link or link.suspected is not None:
            return
        link.suspected = asked = self.time

        def look():
            link.suspected = None
            if link.name in self.connections and link.heard <= asked:
                self.close(link, 4005, "R1.6")
        self.at(self.time + 10 * SECOND, look)
        self.ping(link, "R1.6")

    def links(self):
        return [c for c in self.connections.values() if c.state == "link"]

    # -- What comes --

    def link_frame(self, link, payload, kind):
        if link.label:
            label, link.label = link.label, None
            return self.message(link, label, kind, payload)
        try:
            said = parse(payload, kind)
        except Refused:
            return self.close(link, 4012, "F1.4")
        what = said["is"]
        if what != "message" and said["uid"] != link.uid or what == "handshake":
            return self.close(link, 4012, "F1.4")
        if what == "message":
            link.label = said
        elif what == "turn":
            self.turned(link, said["path"])
        elif link.end == "turning":
            pass  # G1.4
        elif what == "path":
            self.path_said(link, said["path"])
        elif what == "join":
            (self.reply_said if link.end == "lower" else self.join_said)(link, said["channel"], said["have"])
        elif what == "done":
            self.done_said(link, said["channel"])
        else:
            self.leave_said(link, said["channel"])

    def message(self, link, label, kind, payload):
        if len(payload) > self.max:
            return self.close(link, 4012, "F1.5")
        if label["ts"] > link.their_clock + self.time + 2 * HOUR:
            return self.close(link, 4012, "F1.6")
        lane = link.lanes.get(label["channel"])
        if not lane or lane.phase not in ("joined", "serving") or label["ts"] > self.now + HOUR:
            return  # C1.5, C1.6, F1.6
        channel, origin, seq, ts = self.channels[label["channel"]], label["node"], label["seq"], label["ts"]
        lane.told[origin] = max(seq, lane.told.get(origin, 0))  # S1.5
        if origin == self.uid:
            if seq <= channel.seq:
                return  # S1.1
            channel.seq, channel.own_ts = seq, max(channel.own_ts, ts)  # S1.4
        elif origin in channel.seen:
            if seq <= channel.seen[origin][0]:
                return
            newest = channel.seen[origin]
            newest[0], newest[1] = seq, max(ts, newest[1])
        else:
            if ts <= channel.floor:
                return  # S2.2
            channel.seen[origin] = [seq, ts]
            if len(channel.seen) > 256:
                quiet = min(channel.seen, key=lambda origin: (channel.seen[origin][1], origin))
                channel.floor = max(channel.floor, channel.seen.pop(quiet)[1])
        entry = Entry(origin, seq, ts, label["uid"], kind, payload, channel.name)
        self.accepted += 1
        self.distribute(channel, entry, link, "S1.2")

    def tell(self, link, lane, channel, have):
        lane.told, lane.woken = dict(have), True
        if have.get(self.uid, 0) > channel.seq:
            channel.seq = have[self.uid]  # S1.4

    def join_said(self, link, name, have):
        if name not in self.channels and self.total() >= self.history_bytes:
            return link.controls.append({"is": "leave", "uid": self.uid, "channel": name})  # C1.8
        channel = self.open_channel(name)
        lane = link.lanes.setdefault(name, Lane("serving"))
        lane.owed, lane.done, lane.due = lane.owed + 1, False, self.time + 2 * SECOND
        self.tell(link, lane, channel, have)

        def late():
            lane.woken = True
        self.at(lane.due, late)
        self.want(channel)

    def reply_said(self, link, name, have):
        lane = link.lanes.get(name)
        if not lane or lane.phase != "awaiting":
            return self.close(link, 4012, "F1.4")
        lane.phase = "joined"
        self.tell(link, lane, self.channels[name], have)

    def done_said(self, link, name):
        if link.end != "lower":
            return self.close(link, 4012, "F1.4")
        lane = link.lanes.get(name)
        if lane and lane.phase == "joined":
            lane.done = True
            self.synchronised(self.channels[name])

    def leave_said(self, link, name):
        lane = link.lanes.get(name)
        if link.end == "upper":
            if lane:
                del link.lanes[name]
                self.interest_may_end(self.channels[name])
        elif lane:
            if lane.phase != "awaiting":
                return self.close(link, 4012, "F1.4")
            lane.phase = "refused"  # C1.8
            self.at(self.time + 30 * SECOND, lambda: self.try_again(link, name))
            self.synchronised(self.channels[name])

    def try_again(self, link, name):
        lane = link.lanes.get(name)
        if link.name in self.connections and lane and lane.phase == "refused":
            if self.is_wanted(self.channels[name]):
                lane.phase, lane.woken = "asking", True
            else:
                del link.lanes[name]

    # -- Who wants a channel --

    def is_joined(self, channel):
        return sum(channel.name in link.lanes for link in self.links())

    def is_wanted(self, channel):
        below = any(link.end == "upper" and channel.name in link.lanes for link in self.links())
        return bool(channel.members) or below or channel.wanted_until > self.time

    def want(self, channel):
        if self.upstream:
            lane = self.upstream.lanes.setdefault(channel.name, Lane("asking"))
            lane.leaving = False

    def is_synchronised(self, channel):
        if not self.upstream:
            return True
        lane = self.upstream.lanes.get(channel.name)
        return bool(lane) and (lane.phase == "joined" and lane.done or lane.phase == "refused")

    def synchronised(self, channel):
        self.release_all(channel, "W1.2")
        self.wake(channel)
        self.look_at_interest(channel)

    def interest_may_end(self, channel):
        if self.upstream and channel.name in self.upstream.lanes and not self.is_wanted(channel):
            channel.wanted_until = self.time + 600 * SECOND  # C1.2
            self.at(channel.wanted_until, lambda: self.look_at_interest(channel))

    def look_at_interest(self, channel):
        lane = self.upstream and self.upstream.lanes.get(channel.name)
        if lane and lane.phase == "joined" and lane.done and not self.is_wanted(channel):
            lane.leaving = lane.woken = True

    # -- What goes --

    def wake(self, channel):
        for link in self.links():
            if channel.name in link.lanes:
                link.lanes[channel.name].woken = True

    def flush(self):
        """Everything that can go out on links does."""
        for link in self.links():
            if link.controls:
                for control in link.controls:
                    if isinstance(control, dict):
                        self.say(link, "C1.8", **control)
                        continue
                    turn = control != "path"
                    path = {"is": "turn" if turn else "path", "uid": self.uid, "path": list(self.path)}
                    clause = {"path": "R1.4", "turn": "G1.4", "answer": "G1.5"}[control]
                    self.act(clause, send=link.name, frame=members(path))
                link.controls = []
            for name, lane in list(link.lanes.items()):
                if lane.woken:
                    lane.woken = False
                    self.serve(link, lane, self.channels[name])

    def have(self, channel):
        """C1.4"""
        own = {self.uid: channel.seq} if channel.seq else {}
        return own | {origin: newest[0] for origin, newest in channel.seen.items()}

    def say(self, link, clause, **frame):
        self.act(clause, send=link.name, frame=members(frame))

    def serve(self, link, lane, channel):
        join = {"is": "join", "uid": self.uid, "channel": channel.name, "have": self.have(channel)}
        if lane.phase == "asking":
            lane.phase = "awaiting"
            return self.say(link, "C1.4", **join)
        if lane.phase in ("awaiting", "refused"):
            return
        for _ in range(lane.owed):
            self.say(link, "C1.5", **join)
        lane.owed, early = 0, False
        waiting = {entry.order(): entry for entry in channel.entries + lane.extra}
        for _, entry in sorted(waiting.items(), key=lambda item: item[0]):
            if entry.seq <= lane.told.get(entry.origin, 0):
                continue
            if entry.ts > self.now + HOUR:
                early = True  # F1.6

                def again():
                    lane.woken = True
                self.at(self.time + entry.ts - self.now - HOUR, again)
                break
            if len(entry.payload) > link.max:
                continue  # F1.5
            lane.told[entry.origin] = entry.seq
            self.say(link, "S1.3", **{"is": "message", "uid": entry.uid, "channel": channel.name,
                                      "node": entry.origin, "seq": entry.seq, "ts": entry.ts})
            self.send(link, entry.kind, entry.payload, "F1.3")
        if not early:
            lane.extra = []
        if lane.phase == "serving" and not lane.done:
            if self.is_synchronised(channel) or lane.due <= self.time:
                lane.done = True
                clause = "S3.1" if self.is_synchronised(channel) else "S3.2"
                self.say(link, clause, **{"is": "done", "uid": self.uid, "channel": channel.name})
        if lane.leaving and not early:
            self.say(link, "C1.7", **{"is": "leave", "uid": self.uid, "channel": channel.name})
            del link.lanes[channel.name]
