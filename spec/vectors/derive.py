#!/usr/bin/env python3
"""Derives every expected value of the vectors from the clauses of ../client.md and ../peering.md.

    python3 derive.py           rewrites what is expected in every file
    python3 derive.py --check   changes nothing; fails if a value, an id, a clause or the form of a file is not right

Written from the text alone, with nothing but the standard library: it shares no mistake with a server. What the
clauses say is in models/; here is what reads, checks and writes the files.
"""
import json
import pathlib
import re
import sys

sys.dont_write_bytecode = True

from models.cases import expect_handshake, expect_merging, expect_paths  # noqa: E402
from models.frames import expect_frame  # noqa: E402
from models.headers import expect_announcement, expect_auth, expect_header, siphash24  # noqa: E402
from models.history import expect_history  # noqa: E402
from models.schema import faults  # noqa: E402
from models.traces import expect_trace  # noqa: E402

HERE = pathlib.Path(__file__).parent
FILES = dict(headers=expect_header, auth=expect_auth, announcements=expect_announcement, history=expect_history,
             frames=expect_frame, handshakes=expect_handshake, merging=expect_merging, paths=expect_paths)


def lines(values):
    return "[\n" + ",\n".join(map(json.dumps, values)) + "\n]"


def written(trace):
    """A trace as text: a step of it a line."""
    members = [f"{json.dumps(k)}: {lines(v) if k in ('story', 'steps') else json.dumps(v)}" for k, v in trace.items()]
    return "{\n" + ",\n".join(members) + "\n}\n"


class Check:
    def __init__(self):
        text = "".join((HERE.parent / name).read_text() for name in ("client.md", "peering.md"))
        self.clauses = set(re.findall(r"^\*\*([A-Z]\d+\.\d+)\*\*", text, re.M))
        self.schema = json.loads((HERE / "schema.json").read_text())
        self.wrong, self.seen = [], set()

    def form(self, path, value, name):
        if not path.read_bytes().isascii():
            self.wrong.append(f"{path.name}: not ASCII")
        found = faults(value, self.schema["$defs"][name], self.schema)
        self.wrong += [f"{path.name}: {fault}" for fault in found[:5]]

    def case(self, case, prefix, clauses):
        if case["id"] in self.seen or not case["id"].startswith(prefix):
            self.wrong.append(f"{case['id']}: id repeated or not of this file")
        self.seen.add(case["id"])
        self.wrong += [f"{case['id']}: no clause {c}" for c in clauses if c not in self.clauses]

    def same(self, what, given, derived):
        if given != derived:
            self.wrong.append(f"{what}: expected is {json.dumps(given)}, derived {json.dumps(derived)}")


def main():
    only_check = sys.argv[1:] == ["--check"]
    check = Check()
    # The vector in SipHash's own paper: key 00..0f, message 00..0e.
    assert siphash24(bytes(range(15)), 0x0706050403020100, 0x0F0E0D0C0B0A0908) == 0xA129CA6149BE45E5
    for name, expect in FILES.items():
        path = HERE / f"{name}.json"
        cases = json.loads(path.read_text())
        for case in cases:
            derived = expect(case)
            check.same(case["id"], case.get("expect"), derived)
            check.case(case, name + "/", case["clause"].split())
            case["expect"] = derived
        if not only_check:
            path.write_text(lines(cases) + "\n")
        check.form(path, cases, name)
    for path in sorted((HERE / "traces").iterdir()):
        trace = json.loads(path.read_text())
        derived = expect_trace(trace)
        for at, step in enumerate(derived):
            given = trace["steps"][at] if at < len(trace.get("steps", [])) else None
            check.same(f"{trace['id']}, step {at}", given, step)
        check.same(f"{trace['id']}: number of steps", len(trace.get("steps", [])), len(derived))
        cited = [action["clause"] for step in derived for action in step["expect"]]
        check.case(trace, f"traces/{path.stem}", trace["clause"].split() + cited)
        trace["steps"] = derived
        if not only_check:
            path.write_text(written(trace))
        check.form(path, trace, "trace")
    wrong = check.wrong
    print("\n".join(wrong + [f"{len(check.seen)} cases, {len(wrong)} {'wrong' if only_check else 'changed or wrong'}"]))
    return 1 if only_check and wrong else 0


if __name__ == "__main__":
    sys.exit(main())
