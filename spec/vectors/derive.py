#!/usr/bin/env python3
"""Derives every expected value of the vectors from the clauses of ../client.md and ../peering.md.

    python3 derive.py           rewrites `expect` in every file
    python3 derive.py --check   changes nothing; fails if a value, an id, a clause or the form of a file is not right

Written from the text alone, with nothing but the standard library: it shares no mistake with a server. The models
are in models/.
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

HERE = pathlib.Path(__file__).parent
FILES = dict(headers=expect_header, auth=expect_auth, announcements=expect_announcement, history=expect_history,
             frames=expect_frame, handshakes=expect_handshake, merging=expect_merging, paths=expect_paths)


def main():
    check = sys.argv[1:] == ["--check"]
    text = "".join((HERE.parent / name).read_text() for name in ("client.md", "peering.md"))
    clauses = set(re.findall(r"^\*\*([A-Z]\d+\.\d+)\*\*", text, re.M))
    wrong, seen = [], set()
    # The vector in SipHash's own paper: key 00..0f, message 00..0e.
    assert siphash24(bytes(range(15)), 0x0706050403020100, 0x0F0E0D0C0B0A0908) == 0xA129CA6149BE45E5
    for name, expect in FILES.items():
        path = HERE / f"{name}.json"
        cases = json.loads(path.read_text())
        for case in cases:
            derived = expect(case)
            if case.get("expect") != derived:
                wrong.append(f"{case['id']}: expect is {case.get('expect')}, derived {derived}")
            case["expect"] = derived
            if case["id"] in seen or not case["id"].startswith(name + "/"):
                wrong.append(f"{case['id']}: id repeated or not of this file")
            seen.add(case["id"])
            wrong += [f"{case['id']}: no clause {c}" for c in case["clause"].split() if c not in clauses]
        if not check:
            path.write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")
    print("\n".join(wrong + [f"{len(seen)} cases, {len(wrong)} " + ("wrong" if check else "changed or wrong")]))
    return 1 if check and wrong else 0


if __name__ == "__main__":
    sys.exit(main())
