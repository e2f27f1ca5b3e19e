"""What the cases of handshakes.json, merging.json and paths.json ask of the model of a node."""
import json

from models.headers import canonical
from models.links import link_auth
from models.node import Node
from models.state import SECOND, Connection

NONCES = {"dialer": "1" * 32, "acceptor": "2" * 32}


def handshake(node, uid, path, probe=False, nonces=NONCES, max=16 << 20, ahead=0):
    """A handshake of another node, as text."""
    auth = link_auth(uid, "mles", node.peer_key, nonces)
    return json.dumps({"uid": uid, "channel": "mles", "auth": f"{auth:016x}", "peer": True, "path": path,
                       "ts": node.now + ahead, "max": max} | ({"probe": True} if probe else {}))


def stub(node, uid, end, path=()):
    """A link that is there already."""
    connection = Connection(uid, "new", nonces=NONCES, answers=True)
    node.connections[uid] = connection
    node.open_link(connection, {"uid": uid, "path": list(path), "ts": node.now, "max": 16 << 20}, end, None)
    return connection


def outcome(actions, connection):
    """What is said on a connection, its end, and which others end."""
    result, closed = {}, {}
    for action in actions:
        if action.get("send") == connection:
            result["reply"] = action["frame"]
        elif action.get("close") == connection:
            result["code"] = action["code"]
            if action["code"] != 1000:
                result["refused"] = action["clause"]
        elif "close" in action:
            closed[action["close"]] = action["code"]
    return result | ({"closed": closed} if closed else {})


def expect_handshake(case):
    given = case["input"]
    node = Node(given["uid"], peer_key=given["peer_key"], open_peering=given["open"], clock=given["clock"])
    *above, upstream = given["path"] or [None]
    if upstream:
        node.upstream = stub(node, upstream, "lower", above)
        node.path = given["path"]
    for uid in given["linked"]:
        stub(node, uid, "upper")
    for n in range(given["more_links"]):
        stub(node, f"{n + 0xABC000:032x}", "upper")
    if given["dialed"]:
        node.entries, node.dialing = ["it"], {"entry": "it", "probe": given["dialed"] == "probe"}
        node.handle({"dialed": "it", "connection": "it", "nonces": given["nonces"]})
    else:
        node.handle({"opened": "it", "nonces": given["nonces"]})
    actions = node.handle({"frame": "it", "text": given["frame"]})
    result = outcome(actions, "it")
    return result | {"link": "it" in node.connections}


# ---- merging.json -------------------------------------------------------------------------------------

def short(action):
    """What goes over a link, without what every frame has."""
    if "close" in action:
        return {"close": action["code"]}
    frame = action["frame"]
    names = ("channel", "have", "done", "node", "seq", "ts")
    leave = {"peer": False} if frame.get("peer") is False else {}
    return {name: frame[name] for name in names if name in frame} | leave


class Merging:
    def __init__(self, given):
        limits = given.get("limits", {})
        self.node = Node(given["uid"], open_peering=True, max_payload=given.get("max", 16 << 20), **limits)
        self.links = {}

    def do(self, event):
        return self.node.handle(event)

    def frame(self, link, **members):
        frame = {"uid": self.links[link]} | members
        return self.do({"frame": link, "text": json.dumps(frame)})

    def link(self, step):
        name, self.links[step["link"]] = step["link"], step["uid"]
        text = handshake(self.node, step["uid"], [], max=step.get("max", 16 << 20),
                         ahead=step.get("ahead", 0) * SECOND)
        if step["end"] == "upper":
            self.do({"opened": name, "nonces": NONCES, "answers": True})
            return self.do({"frame": name, "text": text})
        self.node.entries, self.node.dialing = [name], {"entry": name, "probe": False}
        self.do({"dialed": name, "connection": name, "nonces": NONCES, "answers": True})
        return self.do({"frame": name, "text": text})

    def message(self, step):
        actions, node, ts = [], int(step["node"], 16), step["ts"]
        for n in range(step.get("times", 1)):
            label = {"uid": step["uid"], "channel": step["channel"], "node": f"{node + n:032x}", "seq": step["seq"],
                     "ts": ts + n}
            payload = {k: step[k] for k in ("kind", "text", "length") if k in step}
            actions += self.do({"frame": step["said"], "text": json.dumps(label)})
            actions += self.do({"frame": step["said"], **payload})
        return actions

    def step(self, step):
        self.node.accepted = 0
        if "join" in step:
            self.do({"opened": step["join"], "answers": True})
            return self.do({"frame": step["join"], "text": canonical(step["uid"], step["channel"])})
        if "message" in step:
            payload = {k: step[k] for k in ("kind", "text", "length") if k in step}
            return self.do({"frame": step["message"], **payload})
        if "leave" in step:
            return self.do({"lost": step["leave"]})
        if "link" in step:
            return self.link(step)
        if "lost" in step:
            return self.do({"lost": step["lost"]})
        if "wait" in step:
            return self.wait(step["wait"] * 1000)
        if "clock" in step:
            return self.do({"clock": step["clock"]})
        if "node" in step:
            return self.message(step)
        members = {k: v for k, v in step.items() if k != "said"}
        return self.frame(step["said"], **{"peer": True} | members)

    def wait(self, span):
        return self.node.handle({"passes": span})

    def result(self, step, actions):
        result, sent, delivered = {}, {}, []
        for action in actions:
            to = action.get("send", action.get("close"))
            if to in self.links and ("frame" in action or "close" in action) and "path" not in action.get("frame", {}):
                sent.setdefault(to, []).append(short(action))
            elif "send" in action and to not in self.links and action["clause"] in ("S1.2",):
                delivered.append(to)
        if "node" in step:
            result["accepted"] = self.node.accepted if "times" in step else self.node.accepted == 1
        if delivered and "times" not in step:
            result["delivered"] = sorted(delivered)
        return result | ({"sent": sent} if sent else {})


def expect_merging(case):
    merging, results = Merging(case["input"]), {}
    for number, step in enumerate(case["input"]["steps"]):
        merging.wait(1)
        result = merging.result(step, merging.step(step))
        if result:
            results[str(number)] = result
    channels = merging.node.channels.values()
    history = {c.name: [[e.origin, e.seq, e.ts] for e in c.entries] for c in channels if c.entries}
    return {"steps": results, "history": history}


# ---- paths.json ---------------------------------------------------------------------------------------

def expect_paths(case):
    given = case["input"]
    node, steps, count = Node(given["uid"], open_peering=True), [], 0
    dialed, links = [], {}

    def do(event):
        actions = node.handle(event)
        dialed.extend(action["dial"] for action in actions if "dial" in action)
        return actions

    def wait_for(uid):
        """Until this peer is dialed; others cannot be had."""
        for _ in range(10_000):
            while dialed:
                entry = dialed.pop(0)
                if entry == uid:
                    return
                do({"fails": entry})
            pending = [timer[2] for timer in node.timers if timer[0] != timer[2]] or [node.time]
            do({"passes": max(1, (min(pending) - node.time) // 1000 + 1)})
        raise AssertionError(f"{uid} is never dialed")

    do({"peers": given["peers"]})
    for step in given["steps"]:
        actions = []
        what = next(iter(step))
        uid = step[what]
        if what in ("reply", "probe_reply"):
            wait_for(uid)
            count += 1
            name = f"{uid}#{count}"
            do({"dialed": uid, "connection": name, "nonces": NONCES, "answers": True})
            assert node.connections[name].probe == (what == "probe_reply"), case["id"]
            actions = do({"frame": name, "text": handshake(node, uid, step["path"])})
            if what == "probe_reply":
                answer = {"stays": uid in dialed}
            else:
                answer = {"link": name in node.connections}
            links[uid] = name if name in node.connections else links.get(uid)
        elif what == "dialed_by":
            count += 1
            name = f"{uid}#{count}"
            do({"opened": name, "nonces": NONCES, "answers": True})
            probe = step.get("probe", False)
            actions = do({"frame": name, "text": handshake(node, uid, step["path"], probe)})
            answer = {"link": name in node.connections}
            links[uid] = name if name in node.connections else links.get(uid)
        elif what == "said":
            frame = {"uid": uid, "peer": True, "path": step["path"]} | ({"turn": True} if step.get("turn") else {})
            actions, answer = do({"frame": links[uid], "text": json.dumps(frame)}), {}
        else:
            actions, answer = do({"lost": links[uid]}), {}
        told, closed = {}, {}
        for action in actions:
            peer = action.get("send", action.get("close", "")).split("#")[0]
            if action.get("frame", {}).get("path") is not None and "ts" not in action["frame"]:
                frame = action["frame"]
                told.setdefault(peer, []).append(
                    {"path": frame["path"]} | ({"turn": True} if frame.get("turn") else {}))
            elif "close" in action:
                closed[peer] = action["code"]
        upstream = node.upstream.uid if node.upstream else None
        steps.append(answer | {"path": list(node.path), "upstream": upstream}
                     | ({"told": told} if told else {}) | ({"closed": closed} if closed else {}))
    return {"steps": steps}
