"""Paths, rings, merging, and who is dialed when (R1, G1, U1)."""
from models.headers import Refused
from models.state import MINUTE, SECOND, Connection


class Tree:
    def start_tree(self):
        self.upstream, self.path, self.accepted, self.stopping = None, [], 0, False
        self.entries, self.next, self.dialing, self.dial_timer = [], 0, None, None
        self.backoff = self.relapse = self.changed = 0
        self.patience, self.same = None, {}

    def root(self):
        return self.path[0] if self.path else self.uid

    def is_turning(self):
        return any(link.end == "turning" for link in self.links())

    # -- Paths --

    def route(self):
        """R1.2, R1.3, R1.4, R1.7"""
        before = self.root()
        path = self.upstream.path + [self.upstream.uid] if self.upstream else []
        if self.uid in path:
            path = path[len(path) - path[::-1].index(self.uid):]
            if all(node < self.uid for node in path):
                self.close(self.upstream, 4010, "R1.3")
                return self.dial_late()
        if len(path) > 64:
            return self.close(self.upstream, 4011, "R1.7")
        if path == self.path:
            return
        self.path = path
        for link in self.links():
            if link.end != "lower" and (not link.controls or link.controls[-1] not in ("path", "turn")):
                link.controls.append("path")
        if self.root() != before:
            self.root_changed()

    def path_said(self, link, path):
        if link.end != "lower":
            return self.close(link, 4012, "F1.4")
        if len(path) > 64:
            return self.close(link, 4011, "R1.7")
        link.path = path  # R1.5
        self.route()

    def adopt(self, link):
        former, self.upstream = self.upstream, link
        if former:
            self.turn(former)
        self.route()
        if self.upstream is link:  # C1.3: what is wanted first.
            for channel in sorted(self.channels.values(), key=lambda c: not self.is_wanted(c)):
                if self.is_wanted(channel) or channel.entries:
                    self.want(channel)

    def turn(self, link):
        """G1.4, G1.7"""
        self.drop_lanes(link)
        link.end, link.entry, link.path = "turning", None, []
        link.controls.append("turn")

        def late():
            if link.name in self.connections and link.end == "turning":
                self.close(link, 4003, "G1.7")
        self.at(self.time + MINUTE, late)

    def turned(self, link, path):
        if link.end == "lower":
            self.close(link, 4012, "F1.4")
        elif link.end == "turning":
            link.end = "upper"
            self.dial_again()  # G1.6
        else:
            link.end, link.path = "lower", path  # G1.5
            self.drop_lanes(link)
            link.controls.append("answer")
            self.adopt(link)

    def drop_lanes(self, link):
        names, link.lanes = list(link.lanes), {}
        for name in names:
            if name in self.channels:
                self.interest_may_end(self.channels[name])

    def unlink(self, link):
        self.drop_lanes(link)
        if link.end == "turning":
            self.dial_again()
        if link is self.upstream:
            self.upstream = None
            self.dial_lost(link)
            self.route()
            for channel in list(self.channels.values()):
                self.synchronised(channel)

    # -- Dialing --

    def on_peers(self, peers):
        self.entries, self.next, self.backoff = peers, 0, 0
        self.same = {entry: until for entry, until in self.same.items() if entry in peers}
        if self.upstream and self.upstream.entry and self.upstream.entry not in peers:
            self.close(self.upstream, 1000, "U1.5")
        self.dial_at(0, 0)

    def from_when(self, entry):
        """Since when an entry may be dialed, at the earliest and at the latest; none if it is the upstream's."""
        if not self.upstream:
            return 0, 0
        return None if self.upstream.entry == entry else self.same.get(entry, (0, 0))

    def dial_at(self, least, most):
        if self.dialing:
            return
        if self.dial_timer in self.timers:
            self.timers.remove(self.dial_timer)
        if self.upstream and self.is_turning() or self.stopping:
            return  # G1.6
        firsts = [self.from_when(entry) for entry in self.entries]
        firsts = [first for first in firsts if first]
        if firsts:
            first = min(firsts)
            at = max(self.time + least, first[0]), max(self.time + most, first[1])
            self.dial_timer = self.at(at[0], self.dial_due, at[1])

    def dial_due(self):
        due = lambda entry: (first := self.from_when(entry)) and first[1] <= self.time  # noqa: E731
        order = self.entries[self.next:] + self.entries[:self.next]
        entry = next(filter(due, order), None)
        if entry is None:
            return self.dial_at(0, 0)
        self.next = self.entries.index(entry)
        self.dialing = {"entry": entry, "probe": bool(self.upstream)}
        self.act("G1.1" if self.upstream else "U1.1", dial=entry)

    def on_dialed(self, dialed, connection, nonces, answers=False):
        probe = self.dialing["probe"] and bool(self.upstream)
        c = Connection(connection, "asked", nonces=nonces, answers=answers, entry=dialed, probe=probe)
        self.connections[connection] = c

        def late():
            if c.state == "asked" and connection in self.connections:
                self.close(c, 4003, "O1.8")
        self.at(self.time + 10 * SECOND, late)
        self.act("O1.10" if probe else "O1.2", send=connection, frame=self.handshake(nonces, probe))

    def on_fails(self, fails):
        self.dialing = None
        self.dial_next()

    def refused_by_peer(self, connection, code):
        if connection.state == "asked" and code == 4010:
            self.is_same(connection.entry)  # G1.1

    def dial_ended(self, connection):
        self.dialing = None
        self.dial_next()

    def replied(self, connection, payload, kind):
        try:
            said = self.judge(payload, kind, connection.nonces)
        except Refused as violation:
            clause, code = (violation.args + (4012,))[:2]
            return self.close(connection, code, clause)
        root = (said["path"] + [said["uid"]])[0]
        differs = not self.upstream or root != self.root() and not self.is_turning()
        again = bool(self.upstream) and self.upstream.uid == said["uid"]
        entry, probe = connection.entry, connection.probe
        if self.uid in said["path"] or probe or not differs and not again:
            clause = "O1.3" if self.uid in said["path"] else "O1.10" if probe else "G1.3"
            if self.uid in said["path"] or root == self.root() or again:
                self.is_same(entry)
            self.close(connection, 1000, clause)
            if clause == "O1.10" and differs and not again:
                if self.dial_timer in self.timers:
                    self.timers.remove(self.dial_timer)
                self.dialing = {"entry": entry, "probe": False}
                self.act("G1.2", dial=entry)
            return
        if again:
            self.close(self.upstream, 4002, "G1.3")
        self.dialing, self.next = None, 0
        self.open_link(connection, said, "lower", entry)
        self.dial_again()
        self.adopt(connection)

    def spread(self, wait):
        return wait - wait // 4, wait + wait // 4  # U1.3

    def dial_next(self):
        """U1.2, U1.3"""
        self.next += 1
        self.backoff = max(self.backoff, SECOND // 4)
        left = [self.from_when(entry) for entry in self.entries[self.next:]]
        if any(first and first[1] <= self.time for first in left):
            return self.dial_at(*self.spread(SECOND // 4))
        self.next, wait = 0, self.backoff
        self.backoff = min(2 * wait, 30 * SECOND)
        self.dial_at(*self.spread(wait))

    def dial_lost(self, link):
        if link.entry in self.entries:
            self.next = (self.entries.index(link.entry) + 1) % len(self.entries)
        else:
            self.next = 0
        short = self.time - link.since < 30 * SECOND
        wait = max(self.relapse, SECOND // 4) if short else SECOND // 4
        self.relapse, self.backoff = min(2 * wait, 30 * SECOND), 0
        self.dial_at(*self.spread(wait))

    def is_same(self, entry):
        """A peer that has shown to be in the same tree is left alone (G1.1)."""
        rest = min(self.time - self.changed, 5 * MINUTE)
        if rest and self.upstream:
            least, most = self.spread(rest)
            self.same[entry] = self.time + least, self.time + most

    def window(self):
        return self.patience or (SECOND // 10, SECOND)

    def root_changed(self):
        """G1.1: the more often, the longer."""
        calm = self.time - self.changed >= 4 * MINUTE
        self.changed, self.same = self.time, {}
        if self.patience and not calm:
            least, most = self.patience
            self.patience = min(2 * least, 128 * SECOND // 10), min(2 * most, 128 * SECOND)
        else:
            self.patience = SECOND // 10, SECOND
        self.dial_again()

    def dial_again(self):
        if self.upstream:
            self.backoff = 0
            self.dial_at(*self.window())

    def dial_late(self):
        """R1.3: who has cut a ring waits."""
        least, most = self.window()
        if self.dial_timer in self.timers:
            at, _, latest, _ = self.dial_timer
            self.dial_at(max(least, at - self.time), max(most, latest - self.time))
