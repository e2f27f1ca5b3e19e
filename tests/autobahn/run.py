#!/usr/bin/env python3
"""Has the Autobahn test suite judge the WebSocket layer of both servers, as echo servers.

Needs what is in requirements.txt beside it. README.md says what it does.
"""

import argparse
import contextlib
import fnmatch
import json
import os
import re
import selectors
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PACKAGES = {"mles": "runtime-smol", "mles-std": "runtime-std"}

# Seconds in which a server listens, and in which it ends.
START_MAX = 30
STOP_MAX = 10


class Failure(Exception):
    pass


def build(servers):
    """Builds the echo servers, apart from what is shipped, and gives the folder that they are in."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "echo"
    packages = [word for name in servers for word in ("--package", PACKAGES[name])]
    command = ["cargo", "build", "--locked", "--features", "echo", "--target-dir", target]
    subprocess.run([*command, *packages], cwd=ROOT, check=True)
    return target / "debug"


@contextlib.contextmanager
def server(program, folder):
    """Runs a server on a free port, which is given, with a certificate of its own. Its end is looked at as well."""
    home = folder / f"{program.name}-home"
    home.mkdir()
    variables = {name: value for name, value in os.environ.items() if not name.startswith("MLES_")}
    variables |= {"HOME": str(home), "XDG_DATA_HOME": str(home), "RUST_LOG": "info"}
    log = folder / f"{program.name}.log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [program, "--port", "0"], env=variables, stdout=subprocess.PIPE, stderr=stderr
        )
        try:
            yield port(process, program.name)
            if process.poll() is not None:
                raise Failure(f"{program.name} has ended during the test: {log.read_text()}")
            process.terminate()
            if process.wait(STOP_MAX) != 0 or "panicked" in log.read_text():
                raise Failure(f"{program.name} has not ended well: {log.read_text()}")
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            process.stdout.close()


def port(process, name):
    """The port that a server says it listens on."""
    said = b""
    end = time.monotonic() + START_MAX
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while selector.select(end - time.monotonic()):
            more = os.read(process.stdout.fileno(), 4096)
            said += more
            listens = re.search(rb"listens on https://\S+:(\d+)/ .*\n", said)
            if listens and b"ECHO SERVER" not in said:
                raise Failure(f"{name} is no echo server")
            if listens:
                return int(listens[1])
            if not more:
                break
    raise Failure(f"{name} does not listen: it has said {said!r}")


def judge(ports, arguments, folder):
    """Runs the suite, once for each server at the same time, and gives the results: for each server, of each case."""
    end = time.monotonic() + arguments.timeout
    report = arguments.report or folder / "report"
    runs = {}
    with contextlib.ExitStack() as stack:
        for name, port in ports.items():
            runs[name] = stack.enter_context(run(name, port, arguments, folder, report / name))
        for name, process in runs.items():
            try:
                process.wait(max(0, end - time.monotonic()))
            except subprocess.TimeoutExpired as error:
                raise Failure(f"the suite takes longer than {arguments.timeout} s for {name}") from error
    results = {}
    for name, process in runs.items():
        index = report / name / "index.json"
        if process.returncode != 0 or not index.exists():
            raise Failure(f"the suite has failed: {(folder / f'{name}.suite').read_text()}")
        found = json.loads(index.read_text()).get(name, {})
        results[name] = {case: outcome(result) for case, result in found.items()}
    numbers = {name: len(cases) for name, cases in results.items()}
    if not all(numbers.values()) or len(set(numbers.values())) > 1:
        raise Failure(f"cases are missing: {numbers}")
    return results


@contextlib.contextmanager
def run(name, port, arguments, folder, report):
    """The suite against one server, as a process."""
    spec = json.loads((HERE / "spec.json").read_text())
    spec["cases"] = arguments.cases or spec["cases"]
    spec["outdir"] = str(report)
    server = {"agent": name, "url": f"wss://localhost:{port}", "protocols": ["mles-websocket"]}
    spec["servers"] = [server]
    file = folder / f"{name}.json"
    file.write_text(json.dumps(spec))
    command = [sys.executable, HERE / "client.py", file]
    if arguments.wstest:
        command = [arguments.wstest, "--mode", "fuzzingclient", "--spec", file]
    with (folder / f"{name}.suite").open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def outcome(result):
    """A result in one word, or with what was wrong with the connection's end."""
    behavior, close = result["behavior"], result["behaviorClose"]
    return behavior if close in ("OK", behavior) else f"{behavior}, closed {close}"


def compare(results, exceptions):
    """What is not as it is expected, in lines."""
    lines = []
    needed = set()
    for name, cases in results.items():
        for case, found in cases.items():
            number, exception = exception_for(case, exceptions)
            allowed = {exception["result"]} if exception else {"OK"}
            if exception and found == exception["result"]:
                needed.add(number)
            if exception and exception.get("sometimes"):
                allowed.add("OK")
            if found not in allowed:
                expected = " or ".join(sorted(allowed))
                lines.append(f"{name}: case {case} is {found}, not {expected}")
    for number, exception in enumerate(exceptions):
        patterns = exception["cases"]
        some = next(iter(results.values()))
        if number not in needed and all(fnmatch.filter(some, pattern) for pattern in patterns):
            lines.append(f"the exception for {', '.join(patterns)} is not needed any more")
    return lines


def exception_for(case, exceptions):
    for number, exception in enumerate(exceptions):
        if any(fnmatch.fnmatchcase(case, pattern) for pattern in exception["cases"]):
            return number, exception
    return None, None


def summary(results):
    """For each family how many cases have which result, in lines."""
    lines = []
    for name, cases in results.items():
        families = {}
        for case, found in cases.items():
            counts = families.setdefault(int(case.split(".")[0]), {})
            counts[found] = counts.get(found, 0) + 1
        for family, counts in sorted(families.items()):
            shown = ", ".join(f"{count} {found}" for found, count in sorted(counts.items()))
            lines.append(f"{name}: {family}.*: {shown}")
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", metavar="PATTERN", help="only these, such as 6.* [default: all]")
    parser.add_argument("--server", nargs="+", choices=PACKAGES, default=list(PACKAGES), help="[default: both]")
    parser.add_argument("--report", type=Path, metavar="FOLDER", help="where what was seen is kept, case by case")
    parser.add_argument("--timeout", type=float, default=600, metavar="SECONDS", help="for all cases [default: 600]")
    parser.add_argument("--wstest", metavar="PROGRAM", help="the suite's own program, under Python 2")
    arguments = parser.parse_args()
    # What was started ends with this.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    arguments.report = arguments.report and arguments.report.resolve()
    exceptions = tomllib.loads((HERE / "expectations.toml").read_text())["exception"]
    programs = build(arguments.server)
    started = time.monotonic()
    try:
        with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as servers:
            folder = Path(folder)
            ports = {name: servers.enter_context(server(programs / name, folder)) for name in arguments.server}
            results = judge(ports, arguments, folder)
    except Failure as failure:
        sys.exit(f"error: {failure}")
    print("\n".join(summary(results)))
    print(f"{time.monotonic() - started:.0f} s")
    if lines := compare(results, exceptions):
        sys.exit("\n".join(lines))


if __name__ == "__main__":
    main()
