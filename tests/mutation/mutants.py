"""Bugs put in on purpose, one at a time, to find out whether the suite sees each of them, and by which test.

`python tests/mutation/mutants.py [NAME...] [--list] [--near] [--jobs N]`; the bugs stand in
`tests/mutation/bugs/*.toml`. Each one gets a copy of the project of its own, with one replacement made in
it, and pytest runs there: first over the files that are likely to see it, then, if they pass, over all of
them. A test that fails on a copy without a bug too catches nothing and is passed over. Exit code 1 when a
bug was seen by no test.

A test that hangs fails by the suite's own limit (120 s, when the slowest test takes a quarter of that);
"hangs" in the table says that a bug was caught by nothing better.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock

PROJECT = Path(__file__).resolve().parents[2]
BUGS = Path(__file__).resolve().parent / "bugs"

SURVIVED = "SURVIVED"

_NOT_COPIED = (".git", ".venv", ".hypothesis", "__pycache__", ".*_cache", "*.db*")
_ITSELF = "tests/mutation/test_mutants.py"
"""Looks for the old texts, which a copy with a bug does not have."""

_LONGEST = 2400.0
"""Seconds for all the tests on one copy: several times their usual duration."""

_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S.*?)(?: - .*)?$", re.MULTILINE)


class MutantError(Exception):
    """A bug cannot be put in, or what ran was not the copy with the bug in it."""


@dataclass(frozen=True)
class Mutant:
    """A bug. old: text that occurs in `file` exactly once. tests: files that are likely to see it."""

    name: str
    hurts: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def applied(self, text: str) -> str:
        """The text of its file with the bug in it."""
        if (found := text.count(self.old)) != 1:
            raise MutantError(f"{self.name}: its old text stands in {self.file} {found} times, not once")
        return text.replace(self.old, self.new)


@dataclass(frozen=True)
class Verdict:
    """seen_by: the first test that failed, or SURVIVED. hung: it failed by its time limit."""

    mutant: Mutant
    seen_by: str
    seconds: float
    hung: bool = False

    @property
    def survived(self) -> bool:
        return self.seen_by == SURVIVED


def load(folder: Path = BUGS) -> list[Mutant]:
    """All bugs, by the files that define them."""
    mutants = []
    for path in sorted(folder.glob("*.toml")):
        for name, entry in tomllib.loads(path.read_text()).items():
            tests = tuple(entry.pop("tests"))
            mutants.append(Mutant(name, tests=tests, **entry))
    return mutants


@dataclass
class Bench:
    """Tries bugs out. near: only the files that are likely to see a bug are asked."""

    near: bool = False
    project: Path = PROJECT
    _red_anyway: dict[str, bool] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def try_out(self, mutant: Mutant) -> Verdict:
        """Run the tests against a copy with the bug, until one fails that does not fail without it."""
        began = time.monotonic()
        rounds = [mutant.tests] if self.near else [mutant.tests, ("tests",)]
        passed_over: list[str] = []
        with copied(self.project) as copy:
            target = copy / mutant.file
            target.write_text(mutant.applied(target.read_text()))
            for tests in rounds:
                while (failure := _first_failure(copy, tests, passed_over)) is not None:
                    test, hung = failure
                    if not self._is_red_anyway(test):
                        return Verdict(mutant, test, time.monotonic() - began, hung)
                    passed_over.append(test)
        return Verdict(mutant, SURVIVED, time.monotonic() - began)

    def _is_red_anyway(self, test: str) -> bool:
        """Whether a test fails without any bug too."""
        with self._lock:
            if test not in self._red_anyway:
                with copied(self.project) as copy:
                    self._red_anyway[test] = _first_failure(copy, (test,), ()) is not None
            return self._red_anyway[test]


@contextmanager
def copied(project: Path) -> Iterator[Path]:
    """A copy of the project that goes away again."""
    with TemporaryDirectory(prefix="mutant-") as folder:
        copy = Path(folder).resolve() / "project"
        shutil.copytree(project, copy, ignore=shutil.ignore_patterns(*_NOT_COPIED))
        require_in_use(copy)
        yield copy


def environment(copy: Path) -> dict[str, str]:
    """Variables that make every Python started here, also the installed command, import the copy."""
    # PYTHONPATH goes before the path of the editable install, and subprocesses inherit it.
    return {**os.environ, "PYTHONPATH": str(copy)}


def require_in_use(copy: Path) -> None:
    """Raise MutantError where `bulk_invite` would be imported from elsewhere."""
    # -B: compiled files would later count for the file with the bug, if that has the same size and time.
    show = [sys.executable, "-B", "-c", "import bulk_invite; print(bulk_invite.__file__)"]
    # Not from within the copy: the current folder would come first on the path.
    ran = subprocess.run(
        show, cwd=copy.parent, env=environment(copy), capture_output=True, text=True, check=True
    )
    if Path(ran.stdout.strip()) != copy / "bulk_invite" / "__init__.py":
        raise MutantError(f"the package that is imported is {ran.stdout.strip()}, not the copy")


def _first_failure(copy: Path, tests: Sequence[str], passed_over: Sequence[str]) -> tuple[str, bool] | None:
    """The first test that fails on a copy, and whether it hung; None where all pass."""
    options = ["-x", "-q", "-n", "0", "-p", "no:cacheprovider", "--tb=line", f"--ignore={_ITSELF}"]
    options += ["--hypothesis-profile=any_example"]
    options += [f"--deselect={each}" for each in passed_over]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *tests],
        cwd=copy,
        env=environment(copy),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_LONGEST,
        check=False,
    )
    if ran.returncode == 0:
        return None
    failed = _FAILED.search(ran.stdout)
    if failed is None:
        raise MutantError(f"pytest ended with {ran.returncode} and no failed test:\n{ran.stdout[-2000:]}")
    return failed[1], "pytest-timeout" in ran.stdout


def chosen(mutants: Sequence[Mutant], names: Sequence[str]) -> list[Mutant]:
    """Those that are named, in that order; all of them where none is."""
    known = {each.name: each for each in mutants}
    if unknown := [name for name in names if name not in known]:
        raise MutantError(f"there is no bug {', '.join(unknown)}: see --list")
    return [known[name] for name in names] or list(mutants)


def report(verdict: Verdict) -> str:
    hangs = " (hangs)" if verdict.hung else ""
    return f"{verdict.mutant.name:<42} {verdict.seconds:6.1f} s  {verdict.seen_by}{hangs}"


def main(arguments: Sequence[str] | None = None, *, bugs: Path = BUGS) -> int:
    parser = argparse.ArgumentParser(description="Put bugs in, one at a time, and see which test fails.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="bugs to put in; default: all of them")
    parser.add_argument(
        "--list", action="store_true", help="only say which bugs there are, and why they hurt"
    )
    parser.add_argument("--near", action="store_true", help="ask only the test files named with a bug")
    parser.add_argument("--jobs", type=int, default=2, help="bugs at a time (default: 2)")
    given = parser.parse_args(arguments)
    try:
        mutants = chosen(load(bugs), given.names)
    except MutantError as error:
        parser.error(str(error))
    if given.list:
        for each in mutants:
            print(f"{each.name:<42} {each.hurts}")
        return 0
    bench = Bench(near=given.near)
    survivors = 0
    with ThreadPoolExecutor(given.jobs) as pool:
        for verdict in pool.map(bench.try_out, mutants):
            print(report(verdict), flush=True)
            survivors += verdict.survived
    print(f"{len(mutants)} bugs, {survivors} survived")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
