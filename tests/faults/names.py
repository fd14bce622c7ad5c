"""A checkpoint by another name than the one it was last used by, and one whose files change under a run.

Each run is judged by the ledger: a refused run made no call, and by the way that the refusal names
every row arrives once, with no more calls repeated than were in flight.
"""

from __future__ import annotations

import random
import re
import shutil
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

from command import FAST, Emulator, Ran, Running, emulator, run, running, wait_until
from rows import make_rows, write_rows

from faults.audit import IN_FLIGHT, Finding, each_of
from faults.tried import Tried

_ROWS: Final = 60
_CALLS: Final = (10, 40)
"""The number of calls before the fault."""

_OPTIONS: Final = (*FAST, "--rate", "100", "--max-in-flight", str(IN_FLIGHT))
_NAME: Final = "c.db"
_WHOLE: Final = ("", "-wal", ".last")
"""The files of a checkpoint that no program has open."""

_FILES: Final = ("", "-wal", "-shm", ".lock")


@dataclass(frozen=True)
class Alias:
    """Another name. make: gives it to what a killed sender left. code: of a run by it."""

    name: str
    make: Callable[[Path, Path, ExitStack], None]
    code: int = 4


@dataclass(frozen=True)
class Change:
    """A fault of one file of a checkpoint, chosen by the end of its name, during a run."""

    name: str
    make: Callable[[Path], None]
    end: str = ""


def _hard_link(old: Path, new: Path, _undo: ExitStack) -> None:
    new.hardlink_to(old)


def _moved(old: Path, new: Path, _undo: ExitStack) -> None:
    old.rename(new)


def _moved_whole(old: Path, new: Path, _undo: ExitStack) -> None:
    for end in _WHOLE:
        Path(f"{old}{end}").rename(f"{new}{end}")


def _copied(old: Path, new: Path, _undo: ExitStack) -> None:
    shutil.copy(old, new)


def _copied_whole(old: Path, new: Path, _undo: ExitStack) -> None:
    for end in _WHOLE:
        shutil.copy(f"{old}{end}", f"{new}{end}")


def _link_to_nothing(old: Path, new: Path, undo: ExitStack) -> None:
    new.symlink_to(old)
    old.rename(old.with_name("aside"))
    undo.callback(old.with_name("aside").rename, old)


def _mount(old: Path, new: Path, undo: ExitStack) -> None:
    new.touch()
    subprocess.run(["mount", "--bind", old, new], check=True)
    undo.callback(_unmount, new)


def _unmount(path: Path) -> None:
    subprocess.run(["umount", path], check=True)


ALIASES: Final = (
    Alias("hard link", _hard_link),
    Alias("mount of the file", _mount),
    Alias("moved without its log", _moved),
    Alias("moved with its log", _moved_whole, 0),
    Alias("copied without its log", _copied),
    Alias("copied with its log", _copied_whole, 0),
    Alias("link to a file that is gone", _link_to_nothing),
)


def _move(file: Path) -> None:
    file.rename(f"{file}.x")


def _replace(file: Path) -> None:
    copy = file.with_name("copy")
    shutil.copy(file, copy)
    copy.replace(file)


def _move_folder(file: Path) -> None:
    file.parent.rename(file.parent.with_name("elsewhere"))


_HOW: Final = (("removed", Path.unlink), ("moved", _move), ("replaced", _replace))

CHANGES: Final = (
    *(Change(f"{how} {_NAME}{end}", make, end) for how, make in _HOW for end in _FILES),
    Change("moved folder", _move_folder),
)


def can_mount(folder: Path) -> bool:
    (folder / "from").touch()
    (folder / "to").touch()
    if subprocess.run(
        ["mount", "--bind", folder / "from", folder / "to"], capture_output=True, check=False
    ).returncode:
        return False
    _unmount(folder / "to")
    return True


class _Case:
    def __init__(self, name: str, folder: Path, seed: int) -> None:
        self.name = name
        self._home = folder
        self.folder = folder / "at"
        self.path = self.folder / _NAME
        self._chance = random.Random(f"{seed} {folder.name}")
        self.rows = make_rows(_ROWS)
        self.folder.mkdir(parents=True)
        self._source = write_rows(folder / "rows.ndjson", self.rows)

    def __str__(self) -> str:
        return self.name

    def _arguments(self, service: Emulator, path: Path) -> tuple[str | Path, ...]:
        return ("send", self._source, "--endpoint-url", service.url, "--checkpoint", path, *_OPTIONS)

    def send(self, service: Emulator, path: Path) -> Ran:
        return run(*self._arguments(service, path), cwd=self._home)

    def _until_some_calls(self, service: Emulator) -> None:
        wanted = self._chance.randint(*_CALLS)
        wait_until(lambda: len(service.calls()) >= wanted, step=0.005)


class Renamed(_Case):
    """Killed under one name, and continued under another."""

    def __init__(self, alias: Alias, folder: Path, seed: int) -> None:
        super().__init__(alias.name, folder, seed)
        self._alias = alias

    def judge(self) -> Finding:
        finding = Finding()
        other = self.folder / "d.db"
        with emulator(latency=0.01) as service:
            with running(*self._arguments(service, self.path), cwd=self._home) as sender:
                self._until_some_calls(service)
                sender.process.kill()
            before = len(service.calls())
            with ExitStack() as undo:
                self._alias.make(self.path, other, undo)
                ran = self.send(service, other)
                finding.check(ran.code == self._alias.code, f"exit code {ran.code}: {ran.stderr[-300:]}")
                finding.check(ran.code == 0 or len(service.calls()) == before, "calls by the other name")
            if ran.code:
                ran = self._repaired(service, other, ran)
            finding.check_ledger(service, self.rows)
            finding.check_end(ran, self.rows)
        return finding

    def _repaired(self, service: Emulator, other: Path, ran: Ran) -> Ran:
        if mends := re.findall(r"mv (\S+) (\S+)", ran.said):
            for old, new in mends:
                Path(old).rename(new)
            return self.send(service, other)
        other.unlink()
        return self.send(service, self.path)


class Changed(_Case):
    """A run, and one of its files; then the same command, or the one in the error, continues."""

    def __init__(self, change: Change, folder: Path, seed: int) -> None:
        super().__init__(change.name, folder, seed)
        self._change = change

    def judge(self) -> Finding:
        finding = Finding()
        with emulator(latency=0.01) as service:
            with running(*self._arguments(service, self.path), cwd=self._home) as sender:
                self._until_some_calls(service)
                self._change.make(self.path.with_name(f"{_NAME}{self._change.end}"))
                before = len(service.calls())
                ran = sender.ended()
            finding.check(ran.code == 4, f"exit code {ran.code}: {ran.stderr[-300:]}")
            finding.check("Traceback" not in ran.stderr, ran.stderr[-300:])
            # What was in flight, and one commit's worth: a hundredth of a second at a hundred calls a second.
            more = len(service.calls()) - before
            finding.check(more <= 2 * IN_FLIGHT, f"{more} calls after it")
            said = re.search(r"--checkpoint (\S+)\. ", ran.said)
            ran = self.send(service, Path(said[1]) if said else self.path)
            finding.check_ledger(service, self.rows)
            finding.check_end(ran, self.rows)
        return finding


class Unlocked(_Case):
    """The lock file is removed during a run, and a second sender is started."""

    def __init__(self, folder: Path, seed: int) -> None:
        super().__init__("lock file removed, second sender", folder, seed)

    def judge(self) -> Finding:
        finding = Finding()
        with emulator(latency=0.01) as service:
            with running(*self._arguments(service, self.path), cwd=self._home) as sender:
                self._until_some_calls(service)
                self.path.with_name(f"{_NAME}.lock").unlink()
                second = self.send(service, self.path)
                first: Ran = Running(sender.process).ended()
            finding.check(first.code == 4, f"exit code {first.code} of the first: {first.stderr[-300:]}")
            finding.check(second.code in {0, 4}, f"exit code {second.code} of the second")
            ran = self.send(service, self.path)
            finding.check_ledger(service, self.rows)
            finding.check_end(ran, self.rows)
        return finding


def campaign(times: int, folder: Path, seed: int, only: frozenset[str] | None = None) -> list[Tried]:
    """Every case a number of times, or only the named ones."""
    aliases = [each for each in ALIASES if only is None or each.name in only]
    changes = [each for each in CHANGES if only is None or each.name in only]
    if not can_mount(folder):
        aliases = [each for each in aliases if each.make is not _mount]
    places = (folder / f"case-{number}" for number in count())
    renamed = [Renamed(each, next(places), seed) for each in aliases for _ in range(times)]
    changed = [Changed(each, next(places), seed) for each in changes for _ in range(times)]
    unlocked = [Unlocked(next(places), seed) for _ in range(times)]
    return [
        each_of("another name", renamed, Renamed.judge),
        each_of("files that change", changed, Changed.judge),
        each_of("no lock file", unlocked, Unlocked.judge),
    ]
