"""The tests' side of the launcher: runs of `send` that cost a fraction of a cold start."""

from __future__ import annotations

import json
import os
import select
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Self

from command import CREDENTIALS, PATIENCE, environment, forked


@dataclass(frozen=True)
class Stand:
    """Where a run ends itself by SIGKILL; with a pause (seconds) it waits there, at later passings too."""

    point: str
    passing: int = 1
    pause: float | None = None


@dataclass(frozen=True)
class Program:
    """A command to run; `stdin` is a path."""

    arguments: tuple[str | Path, ...]
    cwd: Path
    stand: Stand | None = None
    stdin: str | Path = os.devnull
    env: Mapping[str, str] = field(default_factory=lambda: CREDENTIALS)


@dataclass(frozen=True)
class Ended:
    """How a run ended. seconds: since it was let go; after: since it was last signalled, if it was."""

    code: int
    stdout: str
    stderr: str
    seconds: float
    cpu: float
    after: float | None

    @property
    def json(self) -> dict[str, Any]:
        result: dict[str, Any] = json.loads(self.stdout)
        return result

    @property
    def said(self) -> str:
        """The sentence of the error that ended it, or ""."""
        return "".join(line for line in self.stderr.splitlines() if line.startswith("bulk-invite: "))


class Launcher:
    """One fork server; it runs one batch of programs at a time, and is used by one thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = count()

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._server = forked("faults.launcher", cwd=self._folder)
        self._received = b""
        try:
            assert self._hear()["ready"] == self._server.pid
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.close()  # it ends its children, and itself
        try:
            self._server.wait(PATIENCE)
        finally:
            self._server.kill()
            self._server.wait()
            self._server.stdout.close()

    def start(self, *programs: Program) -> Batch:
        """Let all of them go at the same instant."""
        files = [self._folder / str(next(self._numbers)) for _ in programs]
        self.say([_request(program, file) for program, file in zip(programs, files, strict=True)])
        return Batch(self, files, self._hear()["began"])

    def run(self, program: Program, *, within: float = PATIENCE) -> Ended:
        return self.start(program).ended(within=within)[0]

    def say(self, what: object) -> None:
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps(what).encode() + b"\n")
        self._server.stdin.flush()

    def hear(self, within: float) -> dict[str, Any] | None:
        """The next message of the server, or None after a silence of that length."""
        assert self._server.stdout is not None
        fd, deadline = self._server.stdout.fileno(), time.monotonic() + within
        while b"\n" not in self._received:
            if not select.select([fd], [], [], max(0.0, deadline - time.monotonic()))[0]:
                return None
            more = os.read(fd, 65536)
            assert more, "the launcher has ended"
            self._received += more
        line, _, self._received = self._received.partition(b"\n")
        said: dict[str, Any] = json.loads(line)
        return said

    def _hear(self) -> dict[str, Any]:
        said = self.hear(PATIENCE)
        assert said is not None, "the launcher says nothing"
        return said


class Batch:
    """Programs that were let go together."""

    def __init__(self, launcher: Launcher, files: list[Path], began: float) -> None:
        self._launcher = launcher
        self._files = files
        self._began = began
        self._signalled: dict[int, float] = {}
        self._ended: dict[int, Ended] = {}

    def signal(self, number: int, *, run: int = 0) -> None:
        """Signal a program, unless it has ended."""
        self._launcher.say({"run": run, "number": number})

    def mark(self, run: int = 0) -> Path:
        """The file that appears as soon as the program waits at its set point."""
        return self._files[run].with_suffix(".mark")

    def log(self, run: int = 0) -> str:
        """The standard error of the program so far."""
        return _text(self._files[run].with_suffix(".err"))

    def kill_after(self, seconds: float, *, run: int = 0) -> None:
        """Kill a program at that age, unless it ends before."""
        while (left := self._began + seconds - time.monotonic()) > 0 and run not in self._ended:
            self._note(self._launcher.hear(left))
        if run not in self._ended:
            self.signal(signal.SIGKILL, run=run)

    def ended(self, *, within: float = PATIENCE) -> list[Ended]:
        """Wait for all of them."""
        deadline = time.monotonic() + within
        while len(self._ended) < len(self._files):
            said = self._launcher.hear(deadline - time.monotonic())
            if said is None:
                logs = [self.log(run) for run in range(len(self._files))]
                self._kill_the_rest()
                raise AssertionError(f"not over within {within:.0f} s: {logs}")
            self._note(said)
        return [self._ended[run] for run in range(len(self._files))]

    def _kill_the_rest(self) -> None:
        for run in set(range(len(self._files))) - set(self._ended):
            self.signal(signal.SIGKILL, run=run)
        while len(self._ended) < len(self._files):
            self._note(self._launcher.hear(PATIENCE))

    def _note(self, said: dict[str, Any] | None) -> None:
        if said is None:
            return
        if "signalled" in said:
            self._signalled[said["signalled"]] = said["at"]
            return
        run: int = said["ended"]
        file, signalled = self._files[run], self._signalled.get(run)
        self._ended[run] = Ended(
            said["code"],
            _text(file.with_suffix(".out")),
            _text(file.with_suffix(".err")),
            said["at"] - self._began,
            said["cpu"],
            None if signalled is None else said["at"] - signalled,
        )
        for suffix in (".out", ".err", ".mark"):
            file.with_suffix(suffix).unlink(missing_ok=True)


def _text(path: Path) -> str:
    with suppress(FileNotFoundError):  # a run makes its files as it starts, and may be killed before
        return path.read_text()
    return ""


def _request(program: Program, file: Path) -> dict[str, object]:
    stand = program.stand or Stand("")
    return {
        "argv": list(map(str, program.arguments)),
        "cwd": str(program.cwd),
        "env": environment(**program.env),
        "stdin": str(program.stdin),
        "o": str(file.with_suffix(".out")),
        "e": str(file.with_suffix(".err")),
        "mark": str(file.with_suffix(".mark")),
        "point": stand.point,
        "passing": stand.passing,
        "pause": stand.pause,
    }
