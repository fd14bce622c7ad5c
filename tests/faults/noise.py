"""The checkpoint damaged between two runs: it is noticed and nothing is sent, or it was harmless."""

from __future__ import annotations

import random
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

from command import Emulator, emulator, run, running, wait_until
from rows import make_rows, write_rows

from faults.audit import CHECKPOINT, IN_FLIGHT, OPTIONS, Finding, Kept, each_of
from faults.tried import Tried

_ROWS: Final = make_rows(30)
_SENT_BEFORE: Final = 12
_PAGE: Final = 4096
Damage = Callable[[Path, random.Random], None]


@dataclass(frozen=True)
class Case:
    """One damage. killed: done to what a killed run left, with its log; else to what a stopped one left."""

    damage: Damage
    seed: int
    killed: bool

    def __str__(self) -> str:
        return f"seed {self.seed}, {'killed' if self.killed else 'stopped'}"


def campaign(times: int, folder: Path, seed: int) -> list[Tried]:
    """Every damage `times` times, half of them on what a killed run left."""
    before = {killed: _earlier_run(folder, killed=killed) for killed in (False, True)}
    tried = []
    for name, damage in DAMAGES.items():
        only_killed = "log" in name
        cases = [Case(damage, seed * 1000 + each, only_killed or each % 2 == 0) for each in range(times)]
        tried.append(each_of(name, cases, partial(judge, before=before, folder=folder)))
    return tried


def judge(case: Case, *, before: dict[bool, Path], folder: Path) -> Finding:
    """Damage a copy, run, and put the copy back where that was refused."""
    finding, place = Finding(), Path(mkdtemp(dir=folder))
    shutil.copytree(before[case.killed], place, dirs_exist_ok=True)
    case.damage(place, random.Random(case.seed))
    with emulator(ledger=place / "ledger.ndjson") as service:
        sent = len(service.calls())
        ran = run(*_command(service), cwd=place)
        # What the damage has taken away is asked for again, with the same tokens.
        finding.allowed = sent + IN_FLIGHT
        finding.check("Traceback" not in ran.stderr, f"a traceback: {ran.stderr[-300:]}")
        if ran.code == 4:
            finding.check_stop(ran)
            more = len(service.calls()) - sent
            finding.check(more == 0, f"{more} calls were made before the damage was noticed")
            finding.allowed = IN_FLIGHT
            _put_back(before[case.killed], place)
            ran = run(*_command(service), cwd=place)
        finding.check_end(ran, _ROWS)
        finding.check_ledger(service, _ROWS)
        made = {entry["client_token"]: entry["id"] for entry in service.invitations()}
        finding.check(Kept.of(place).ids == made, "the checkpoint ends with Ids that are not the ledger's")
    return finding


@contextmanager
def _changed(place: Path, suffix: str = "") -> Iterator[bytearray]:
    """The bytes of a file, to be changed in place; of the checkpoint if no file has the suffix."""
    path = place / f"{CHECKPOINT}{suffix}"
    data = bytearray(path.read_bytes())
    yield data
    path.write_bytes(data)


def _cut(place: Path, chance: random.Random, suffix: str = "") -> None:
    with _changed(place, suffix) as data:
        del data[chance.randrange(1, len(data)) :]


def _noise(place: Path, chance: random.Random, suffix: str = "") -> None:
    with _changed(place, suffix) as data:
        length = chance.choice((1, 16, 300, _PAGE))
        at = chance.randrange(max(1, len(data) - length))
        data[at : at + length] = chance.randbytes(length)


def _flip(place: Path, chance: random.Random, suffix: str = "") -> None:
    with _changed(place, suffix) as data:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _zero_page(place: Path, chance: random.Random) -> None:
    with _changed(place) as data:
        at = _PAGE * chance.randrange(len(data) // _PAGE)
        data[at : at + _PAGE] = bytes(_PAGE)


def _swap_pages(place: Path, chance: random.Random) -> None:
    with _changed(place) as data:
        one, two = (_PAGE * each for each in chance.sample(range(len(data) // _PAGE), 2))
        data[one : one + _PAGE], data[two : two + _PAGE] = data[two : two + _PAGE], data[one : one + _PAGE]


def _gone(place: Path, _: random.Random, *, suffix: str) -> None:
    (place / f"{CHECKPOINT}{suffix}").unlink(missing_ok=True)


def _older(place: Path, _: random.Random, *, suffix: str) -> None:
    shutil.copy(place / f"older{suffix}", place / f"{CHECKPOINT}{suffix}")


def _empty(place: Path, _: random.Random) -> None:
    for path in place.glob(f"{CHECKPOINT}*"):
        path.write_bytes(b"")


def _folder(place: Path, _: random.Random) -> None:
    (place / CHECKPOINT).unlink()
    (place / CHECKPOINT).mkdir()


def _lock_is_folder(place: Path, _: random.Random) -> None:
    (place / f"{CHECKPOINT}.lock").unlink(missing_ok=True)
    (place / f"{CHECKPOINT}.lock").mkdir()


DAMAGES: Final[dict[str, Damage]] = {
    "cut short": _cut,
    "the log cut short": partial(_cut, suffix="-wal"),
    "noise": _noise,
    "noise in the log": partial(_noise, suffix="-wal"),
    "noise in the log's index": partial(_noise, suffix="-shm"),
    "a flipped bit": _flip,
    "a flipped bit in the log": partial(_flip, suffix="-wal"),
    "a page of zeros": _zero_page,
    "two pages swapped": _swap_pages,
    "the log gone": partial(_gone, suffix="-wal"),
    "an older log": partial(_older, suffix="-wal"),
    "an older copy": partial(_older, suffix=""),
    "empty files": _empty,
    "a folder in its place": _folder,
    "the lock file gone": partial(_gone, suffix=".lock"),
    "a folder in place of the lock file": _lock_is_folder,
}


def _put_back(before: Path, place: Path) -> None:
    for path in place.glob(f"{CHECKPOINT}*"):
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink()
    for path in before.glob(f"{CHECKPOINT}*"):
        shutil.copy(path, place)


def _earlier_run(folder: Path, *, killed: bool) -> Path:
    """The files of a run that was ended midway; with a copy of its files from before it."""
    place = Path(mkdtemp(dir=folder))
    write_rows(place / "rows.ndjson", _ROWS)
    with emulator(ledger=place / "ledger.ndjson", latency=0.05) as service:
        few = run(*_command(service), "--limit", "4", cwd=place)
        assert few.code == 0, few.stderr
        shutil.copy(place / CHECKPOINT, place / "older")
        with running(*_command(service), "--rate", "40", cwd=place) as sender:
            wait_until(lambda: len(service.calls()) >= _SENT_BEFORE // 2)
            if killed:
                shutil.copy(place / f"{CHECKPOINT}-wal", place / "older-wal")
            wait_until(lambda: len(service.calls()) >= _SENT_BEFORE)
            sender.signal(signal.SIGKILL if killed else signal.SIGTERM)
            assert sender.ended().code == (-9 if killed else 75)
    return place


def _command(service: Emulator) -> tuple[str, ...]:
    return ("send", "rows.ndjson", "--endpoint-url", service.url, *OPTIONS)
