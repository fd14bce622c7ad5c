"""Starts the real program again and again, by fork: what a cold start costs is spent once.

A separate program with a single thread, forked from the fork server of the tests. Standard input brings
a line of JSON with the runs to start, and lines that signal them; standard output says when one was signalled
and how each ended. The runs of a line are let go at the same instant. Times are of the system's monotonic
clock. When standard input ends, so do they all.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any, Final

from bulk_invite import __main__ as command
from faults.points import watch

_SET_DEATH_SIGNAL: Final = 1
"""Of Linux's prctl: the signal to be sent to a run when the launcher is gone, however that came about."""


class _Lines:
    """Lines of standard input, read past Python's buffer so that `select` is accurate."""

    def __init__(self) -> None:
        self._data = b""

    def next(self) -> bytes | None:
        """The next line, waited for; None at the end."""
        while b"\n" not in self._data:
            if not (more := os.read(0, 65536)):
                return None
            self._data += more
        line, _, self._data = self._data.partition(b"\n")
        return line


def _report(**what: object) -> None:
    os.write(1, json.dumps(what).encode() + b"\n")


def _fork(run: dict[str, Any], gate: tuple[int, int]) -> int:
    """Start a run that waits at the gate; in the child this returns 0 as soon as the gate is open."""
    if pid := os.fork():
        return pid
    ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
    waits, opens = gate
    os.close(opens)
    os.read(waits, 1)  # no data comes: the read ends when the launcher lets go of the other end
    os.close(waits)
    os.chdir(run["cwd"])
    os.environ.clear()
    os.environ.update(run["env"])
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    for number, fd in enumerate(
        (os.open(run["stdin"], os.O_RDONLY), *(os.open(run[n], flags) for n in "oe"))
    ):
        os.dup2(fd, number)
        os.close(fd)
    sys.argv = ["bulk-invite", *run["argv"]]
    if run["point"]:
        _stand_at(run["point"], run["passing"], run["pause"], Path(run["mark"]))
    return 0


def _stand_at(point: str, passing: int, pause: float | None, mark: Path) -> None:
    """At the passing of a point, end at once; with a pause, leave a mark and wait, at every later one too."""
    passings = 0

    def passed(what: str) -> None:
        nonlocal passings
        passings += what == point
        if what != point or passings < passing:
            return
        if pause is None:
            os.kill(os.getpid(), signal.SIGKILL)
        mark.touch()
        time.sleep(pause or 0)

    watch(passed)


def _follow(pids: list[int], lines: _Lines) -> None:
    """Report how each run ends, and signal those that standard input names; all end with it."""
    running = {os.pidfd_open(pid): number for number, pid in enumerate(pids)}
    while running:
        ready, _, _ = select.select([0, *running], [], [])
        for fd in ready:
            if fd != 0:
                number = running.pop(fd)
                _, status, usage = os.wait4(pids[number], 0)
                os.close(fd)
                code = os.waitstatus_to_exitcode(status)
                _report(ended=number, code=code, at=time.monotonic(), cpu=usage.ru_utime + usage.ru_stime)
        if 0 in ready:
            line = lines.next()
            wanted = {"number": signal.SIGKILL} if line is None else json.loads(line)
            for number in tuple(running.values()):
                if wanted.get("run", number) == number:
                    os.kill(pids[number], wanted["number"])
                    if line is not None:
                        _report(signalled=number, at=time.monotonic())
            if line is None:
                for number in running.values():
                    os.waitpid(pids[number], 0)
                sys.exit(0)


def _serve() -> None:
    """Start what standard input asks for; returns in the children only, each of which is a run."""
    lines = _Lines()
    _report(ready=os.getpid())
    while (line := lines.next()) is not None:
        asked = json.loads(line)
        if isinstance(asked, dict):  # a signal for a run that has just ended
            continue
        pids = []
        gate = os.pipe()
        for run in asked:
            if not (pid := _fork(run, gate)):
                return
            pids.append(pid)
        os.close(gate[0])
        began = time.monotonic()
        os.close(gate[1])
        _report(began=began, pids=pids)
        _follow(pids, lines)
    sys.exit(0)


def main() -> None:
    _serve()
    command.main()
