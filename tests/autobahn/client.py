"""Runs the cases of the Autobahn test suite against servers, as `wstest -m fuzzingclient` does under Python 2.

Usage: client.py SPEC, a file in the format of that program. Reports are in its `outdir`: `index.json`, and a file for
each case that says more.
"""

import codecs
import json
import sys
import time
from pathlib import Path

import autobahn.websocket.protocol as protocol
from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol, connectWS
from twisted.internet import reactor, ssl

import suite


class Masker:
    """Applies a mask to many octets at once."""

    def __init__(self, mask):
        self.mask = mask
        self.taken = 0

    def pointer(self):
        return self.taken

    def process(self, data):
        turn = self.taken % 4
        mask = self.mask[turn:] + self.mask[:turn]
        mask = (mask * (len(data) // 4 + 1))[: len(data)]
        self.taken += len(data)
        number = int.from_bytes(data, "big") ^ int.from_bytes(mask, "big")
        return number.to_bytes(len(data), "big")


class Utf8Validator:
    """Looks at a text as it comes: whether it is good, and whether it ends with a character."""

    def __init__(self):
        self.reset()

    def reset(self):
        self.decoder = codecs.getincrementaldecoder("utf-8")()

    def validate(self, data):
        try:
            self.decoder.decode(data)
        except UnicodeDecodeError:
            return False, False, 0, 0
        return True, self.decoder.getstate()[0] == b"", 0, 0


# The library's look at one octet after the other.
protocol.create_xor_masker = lambda mask, length=None: Masker(mask)
protocol.Utf8Validator = Utf8Validator


# What a case waits for before it gives up is there at once, but on a machine that has much else to do.
PATIENCE = 5


def octets(payload):
    return payload.encode("latin-1") if isinstance(payload, str) else payload


class Client(WebSocketClientProtocol):
    """One connection, and what a case does on it and asks about it. The names are the suite's."""

    def __init__(self, case):
        super().__init__()
        self.connectionWasOpen = False
        self.createWirelog = True
        self.txFrameStats = {}
        self.started = time.monotonic()
        self.Case = case

    def connectionMade(self):
        self.runCase = self.Case(self)
        super().connectionMade()

    def connectionLost(self, reason):
        super().connectionLost(reason)
        self.runCase.onConnectionLost(self.failedByMe)
        self.factory.done(self)

    def onOpen(self):
        self.connectionWasOpen = True
        self.runCase.onOpen()

    def onMessage(self, payload, isBinary):
        self.runCase.onMessage(payload.decode("latin-1"), isBinary)

    def onPong(self, payload):
        self.runCase.onPong(payload.decode("latin-1"))

    def onClose(self, wasClean, code, reason):
        self.runCase.onClose(wasClean, code, reason)

    def sendFrame(self, opcode, payload=b"", **more):
        self.txFrameStats[opcode] = self.txFrameStats.get(opcode, 0) + 1
        super().sendFrame(opcode, octets(payload), **more)

    def sendMessage(self, payload, *args, **more):
        super().sendMessage(octets(payload), *args, **more)

    def sendMessageFrameData(self, payload, *args, **more):
        super().sendMessageFrameData(octets(payload), *args, **more)

    def sendCloseFrame(self, code=None, reasonUtf8=None, isReply=False):
        super().sendCloseFrame(code, octets(reasonUtf8), isReply)

    def enableWirelog(self, enable):
        self.createWirelog = enable

    def continueLater(self, delay, act, tag=None):
        reactor.callLater(delay, self.unless_closed, act)

    def killAfter(self, delay):
        reactor.callLater(delay * PATIENCE, self.unless_closed, self._fail_connection)

    def closeAfter(self, delay):
        reactor.callLater(delay, self.unless_closed, self.sendClose)

    def unless_closed(self, act):
        if self.state != self.STATE_CLOSED:
            act()


class Run(WebSocketClientFactory):
    """All cases against one server, one after the other."""

    def __init__(self, spec, server, cases, report):
        super().__init__(url=server["url"], protocols=server.get("protocols", []))
        self.setProtocolOptions(failByDrop=False, **spec.get("options", {}))
        self.agent = server["agent"]
        self.cases = iter(cases)
        self.report = report

    def next(self):
        self.case = next(self.cases, None)
        if self.case is None:
            self.report.finished(self)
        else:
            # The certificate is made for the test, and nobody's word for anything.
            connectWS(self, ssl.CertificateOptions())

    def buildProtocol(self, address):
        client = Client(self.case[1])
        client.factory = self
        return client

    def clientConnectionFailed(self, connector, reason):
        print(f"{self.agent}: no connection: {reason.getErrorMessage()}", file=sys.stderr)
        self.report.finished(self)

    def done(self, client):
        self.report.add(self.agent, self.case[0], client)
        # The case is still at its end of this connection.
        reactor.callLater(0, self.next)


class Report:
    """What has become of the cases."""

    def __init__(self, folder):
        self.folder = folder
        self.index = {}
        self.runs = set()

    def add(self, agent, case, client):
        run = client.runCase
        result = {
            "behavior": run.behavior,
            "behaviorClose": run.behaviorClose,
            "duration": round((time.monotonic() - client.started) * 1000),
            "remoteCloseCode": client.remoteCloseCode,
        }
        self.index.setdefault(agent, {})[case] = result
        more = {
            "description": run.DESCRIPTION,
            "expectation": run.EXPECTATION,
            "expected": {key: shown(events) for key, events in run.expected.items()},
            "received": shown(run.received),
            "result": run.result,
            "resultClose": run.resultClose,
            "remoteCloseReason": client.remoteCloseReason,
            "wasClean": client.wasClean,
            "wasNotCleanReason": client.wasNotCleanReason,
        }
        write(self.folder / f"{agent}_case_{case.replace('.', '_')}.json", result | more)

    def finished(self, run):
        self.runs.remove(run)
        if not self.runs:
            write(self.folder / "index.json", self.index)
            reactor.stop()


def shown(events):
    """Events, with the beginning of long payloads."""
    return [[part[:200] if isinstance(part, str) else part for part in event] for event in events]


def write(path, value):
    path.write_text(json.dumps(value, indent=1, default=repr) + "\n", encoding="utf-8")


def main():
    spec = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    classes = suite.load()
    cases = [(case, classes[case]) for case in suite.selected(classes, spec)]
    folder = Path(spec["outdir"])
    folder.mkdir(parents=True, exist_ok=True)
    report = Report(folder)
    for server in spec["servers"]:
        run = Run(spec, server, cases, report)
        report.runs.add(run)
        reactor.callWhenRunning(run.next)
    reactor.run()


main()
