"""What one server keeps: J2, J3, M3, L1."""
from models.headers import canonical


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
