"""Traces: what nodes do, event by event. A trace of one node has its events; one of a network has a story, from which
its events follow: what a node sends is what the other end of the connection receives next."""
import json

from models.headers import canonical
from models.node import Node

def replay(trace):
    """The events of a trace with the actions that must follow."""
    nodes = {name: Node(**settings) for name, settings in trace["nodes"].items()}
    return [step | {"expect": run(nodes, step)} for step in trace["steps"]]


def run(nodes, step):
    event = step["event"]
    if "restarts" in event:
        nodes[step["node"]] = Node(**event["restarts"])
        return []
    return nodes[step["node"]].handle(event)


class Network:
    """Nodes and clients; a connection delivers in order, and at once but for what was sent before."""

    def __init__(self, trace):
        self.nodes = {name: Node(**settings) for name, settings in trace["nodes"].items()}
        self.steps, self.queue, self.dials = [], [], []
        self.ends = {}  # (node, connection) → the node at the other end
        self.count = 0

    def do(self, node, event):
        step = {"node": node, "event": event}
        actions = run(self.nodes, step)
        self.steps.append(step | {"expect": actions})
        for action in actions:
            if "dial" in action:
                self.dials.append((node, action["dial"]))
                continue
            connection = action.get("send", action.get("close", action.get("ping")))
            other = self.ends.get((node, connection))
            if other:
                self.queue.append((other, connection, action))
                if "close" in action:
                    del self.ends[node, connection]

    def connect(self, node, other):
        self.count += 1
        nonces = {"dialer": f"{self.count:032x}", "acceptor": f"{self.count + 0xABC000:032x}"}
        connection = f"{node}{other}{self.count}"
        self.ends[node, connection], self.ends[other, connection] = other, node
        self.do(other, {"opened": connection, "nonces": nonces, "answers": True})
        self.do(node, {"dialed": other, "connection": connection, "nonces": nonces, "answers": True})

    def settle(self):
        while self.queue or self.dials:
            if self.dials:
                self.connect(*self.dials.pop(0))
                continue
            node, connection, action = self.queue.pop(0)
            if (node, connection) not in self.ends:
                continue  # It has closed the connection itself.
            if "close" in action:
                self.do(node, {"closes": connection, "code": action["code"]})
                self.ends.pop((node, connection), None)
            elif "frame" in action:
                text = json.dumps(action["frame"], separators=(",", ":"), ensure_ascii=False)
                self.do(node, {"frame": connection, "text": text})
            else:
                self.do(node, {"frame": connection, "text": action["text"]})

    def tell(self, chapter):
        what, = set(chapter) & {"peers", "joins", "says", "leaves", "passes", "restarts", "cut"}
        if what == "peers":
            self.do(chapter["peers"], {"peers": chapter["are"]})
        elif what == "joins":
            client, node = chapter["joins"], chapter["at"]
            self.do(node, {"opened": client, "answers": True})
            self.do(node, {"frame": client, "text": canonical(chapter["uid"], chapter["channel"])})
        elif what == "says":
            self.do(chapter["at"], {"frame": chapter["says"], "text": chapter["text"]})
        elif what == "leaves":
            self.do(chapter["at"], {"lost": chapter["leaves"]})
        elif what == "passes":
            for node in self.nodes:
                self.do(node, {"passes": chapter["passes"]})
        elif what == "restarts":
            self.restart(chapter["restarts"], chapter["as"])
        else:
            self.cut(*chapter["cut"])
        if not chapter.get("meanwhile"):
            self.settle()

    def restart(self, node, settings):
        self.queue = []
        here = [it for it in self.ends if it[0] == node]
        others = [(self.ends.pop(it), it[1]) for it in here]
        self.do(node, {"restarts": settings | {"clock": self.nodes[node].now}})
        for other, connection in others:
            self.ends.pop((other, connection), None)
            self.do(other, {"lost": connection})

    def cut(self, node, other):
        both = [it for it, to in self.ends.items() if {it[0], to} == {node, other}]
        for it in both:
            del self.ends[it]
        for it in both:
            self.do(it[0], {"lost": it[1]})


def expect_trace(trace):
    if "story" not in trace:
        return replay(trace)
    network = Network(trace)
    for chapter in trace["story"]:
        network.tell(chapter)
    again = [{k: v for k, v in step.items() if k != "expect"} for step in network.steps]
    assert replay(trace | {"steps": again}) == network.steps
    return network.steps
