#!/usr/bin/env python3
"""Writes what was found of implementations into spec/implementations.md.

    tests/conformance/implementations.py NAME=REPORT.json[,REPORT.json…] …

Each implementation has the reports of one or more runs, made by `mles-conformance --json`: without a key and with one, or
the same again, to see what happens always and what only sometimes. What one run could not say is taken from another that
could. The text above the marker stays as it is.
"""
import json
import sys
from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "spec" / "implementations.md"
MARKER = "<!-- What follows is written by tests/conformance/implementations.py. -->\n"
ORDER = ["skip", "pass", "inconclusive", "sometimes", "fail"]
SIGN = {"pass": "✓", "fail": "✗", "sometimes": "≈", "inconclusive": "?", "skip": "–", None: ""}
WORD = {"pass": "pass", "fail": "fail", "sometimes": "fail sometimes", "inconclusive": "inconclusive", "skip": "not tried"}


def merged(paths):
    """The cases of several runs: each with what it came to in those in which it was tried."""
    tries, clauses = {}, {}
    for path in paths:
        report = json.loads(Path(path).read_text())
        for clause in report["clauses"]:
            clauses.setdefault(clause["clause"], clause)
            for case in clause["cases"]:
                tries.setdefault(case["case"], []).append(case)
    cases = {}
    for name, of_it in tries.items():
        said = [case for case in of_it if case["status"] in ("pass", "fail")]
        case = max(said or of_it, key=lambda case: ORDER.index(case["status"]))
        if case["status"] == "fail" and any(other["status"] == "pass" for other in said):
            case["status"] = "sometimes"
        cases[name] = case
    return cases, clauses


def rank(clause, order):
    return order.index(clause) if clause in order else len(order)


def main():
    given = [argument.split("=", 1) for argument in sys.argv[1:]]
    if not given or any(len(pair) != 2 for pair in given):
        sys.exit(__doc__)
    found, clauses, order = {}, {}, []
    for name, paths in given:
        cases, of_run = merged(paths.split(","))
        found[name] = cases
        for clause in of_run.values():
            clauses.setdefault(clause["clause"], clause)
    text = "".join((DOCUMENT.parent / name).read_text() for name in ("client.md", "peering.md"))
    for line in text.splitlines():
        if line.startswith("**") and line[2:].split("**")[0] in clauses:
            order.append(line[2:].split("**")[0])

    out = [MARKER, "\n## In numbers\n\n| | " + " | ".join(found) + " |\n", "|---" * (len(found) + 1) + "|\n"]
    for level in ("MUST", "SHOULD", "MAY"):
        row = []
        for cases in found.values():
            of_level = [c["status"] for n, c in cases.items() if clauses[n.split("/")[0]]["level"] == level]
            parts = [f"{of_level.count(s)} {w}" for s, w in WORD.items() if of_level.count(s)]
            row.append(", ".join(parts))
        if any(row):
            out.append(f"| {level} | " + " | ".join(row) + " |\n")

    out.append("\n## Clause by clause\n\n✓ kept, ✗ not kept, ≈ not always kept, ? it can't be said, – not tried. The worst case of a clause counts.\n\n")
    out.append("| clause | | " + " | ".join(found) + " |\n" + "|---" * (len(found) + 2) + "|\n")
    for id in order:
        row = []
        for cases in found.values():
            statuses = [c["status"] for n, c in cases.items() if n.split("/")[0] == id]
            row.append(SIGN[max(statuses, key=ORDER.index) if statuses else None])
        out.append(f"| {id} | {clauses[id]['level']} | " + " | ".join(row) + " |\n")

    for name, cases in found.items():
        failed = sorted((n for n, c in cases.items() if c["status"] in ("fail", "sometimes")),
                        key=lambda n: (rank(n.split("/")[0], order), n))
        if not failed:
            continue
        out.append(f"\n## {name}: what is otherwise\n\n| case | expected | came |\n|---|---|---|\n")
        for n in failed:
            case = cases[n]
            cell = lambda s: s.replace("|", "\\|").replace("\n", " ")[:300]
            came = case["came"] + (" (not always)" if case["status"] == "sometimes" else "")
            out.append(f"| {n}: {cell(case['title'])} | {cell(case['expected'])} | {cell(came)} |\n")
        out.append(f"\nEach is repeated by `{next(iter(cases.values()))['again'].rsplit(' --only', 1)[0]} --only CASE`.\n")

    above = DOCUMENT.read_text().split(MARKER)[0] if DOCUMENT.exists() else "# Implementations\n\n"
    DOCUMENT.write_text(above + "".join(out))


main()
