"""The cases of the Autobahn test suite, which are written for Python 2, under Python 3.

A payload is a `str` of octets in them: it stays one, with a character for each octet (Latin-1).
"""

import fnmatch
import importlib.abc
import importlib.util
import re
import sys
import types
from pathlib import Path

PACKAGE = "autobahntestsuite"

# What differs between the two languages, as far as the cases have it.
TRANSLATION = [
    (r"^( *)print\b.*$", r"\1pass"),
    # Of classes that derived from nothing.
    (r"\(object, Case, \)", "(Case, )"),
    (r"binascii\.b2a_hex\(", "ascii("),
    (r"\bxrange\(", "range("),
    (r"len\(self\.payload\) / ", "len(self.payload) // "),
    (r"v\.validate\(vss\[:i\]\)", "v.validate(vss[:i].encode('latin-1'))"),
    # It is in no list, and needs an interface of its time.
    (r"^from case9_9_1 import \*$", ""),
    # Names of the library that have changed since.
    (r"\b(accept|request)NoContextTakeover\b", r"\1_no_context_takeover"),
    (r"\b(accept|request)MaxWindowBits\b", r"\1_max_window_bits"),
]


class Loader(importlib.abc.Loader):
    """Compiles a file of cases, translated."""

    def __init__(self, path):
        self.path = path

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        source = self.path.read_text(encoding="latin-1")
        for pattern, replacement in TRANSLATION:
            source = re.sub(pattern, replacement, source, flags=re.MULTILINE)
        exec(compile(source, str(self.path), "exec", dont_inherit=True), module.__dict__)


class Finder(importlib.abc.MetaPathFinder):
    """Finds the files of cases, which import each other as if they were in the path."""

    def __init__(self, folder):
        self.folder = folder

    def find_spec(self, name, path, target=None):
        file = self.folder / f"{name}.py"
        if path is None and re.match(r"case\d*(_\w+)?$", name) and file.exists():
            return importlib.util.spec_from_loader(name, Loader(file))
        return None


def load():
    """The classes of all cases by their ids, such as 1.1.1."""
    package = importlib.util.find_spec(PACKAGE)
    if package is None:
        sys.exit(f"there is no {PACKAGE}: pip install -r tests/autobahn/requirements.txt")
    home = Path(package.origin).parent
    # Newer versions of setuptools do not have it.
    resources = types.ModuleType("pkg_resources")
    resources.resource_filename = lambda _package, name: str(home / name)
    sys.modules["pkg_resources"] = resources
    sys.meta_path.insert(0, Finder(home / "case"))
    spec = importlib.util.spec_from_loader("cases", Loader(home / "case" / "__init__.py"))
    cases = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(cases)
    prefix = len(cases.CaseBasename)
    return {case.__name__[prefix:].replace("_", "."): case for case in cases.Cases}


def selected(ids, spec):
    """Those of these ids that the spec has, in order."""

    def any_of(patterns, case):
        return any(fnmatch.fnmatchcase(case, pattern) for pattern in patterns)

    chosen = [
        case
        for case in ids
        if any_of(spec["cases"], case) and not any_of(spec.get("exclude-cases", []), case)
    ]
    return sorted(chosen, key=lambda case: [int(part) for part in case.split(".")])
