"""The sender's wall clock set forward and back, between its runs and during them; the service's is right."""

from __future__ import annotations

import json
import random
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

from command import CREDENTIALS, Emulator, Running, emulator, fork_with, run, running, wait_until
from rows import make_rows, write_rows

from faults.audit import OPTIONS, Finding, each_of
from faults.tried import Tried

LIBRARY: Final = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))), None)
"""Debian's package `faketime`."""

_ROWS: Final = make_rows(12)
_OFFSETS: Final = ("+10h", "-10h", "+3d", "-3d", "+0", "+1y")
_LATENCY: Final = 0.1
_RETENTION: Final = 1.5
_LIFETIME: Final = ("--token-lifetime", "1s")
_SETTLING: Final = ("--settling-time", "1s")
_QUOTA: Final = 6


@dataclass(frozen=True)
class Clocks:
    """The offsets of one run after the other; all but the last are killed.

    forgets: the service has forgotten the tokens of the run before, and the sender was given their retention.
    """

    offsets: tuple[str, ...]
    forgets: bool = False


def campaign(times: int, folder: Path, seed: int) -> list[Tried]:
    """`times` walks of the clock of each kind; the first ones are the plain ones."""
    chance = random.Random(seed)
    plain = [("+0", "+10h"), ("+10h", "+0"), ("+10h", "+10h"), ("-10h", "+3d"), ("+3d", "-10h")]
    walks = [*plain, *(tuple(chance.choices(_OFFSETS, k=4)) for _ in range(times))][:times]
    remembered = [Clocks(walk) for walk in walks]
    forgotten = [Clocks(walk, forgets=True) for walk in walks]
    return [
        each_of("the clock set while it was killed", remembered, partial(judge_runs, folder=folder)),
        each_of("the same, and tokens forgotten", forgotten, partial(judge_runs, folder=folder)),
        each_of("the clock set during a run", walks, partial(judge_jumps, folder=folder)),
        each_of("the clock set while a day is used up", walks, partial(judge_day, folder=folder)),
    ]


def judge_runs(clocks: Clocks, *, folder: Path) -> Finding:
    """Runs with clocks of their own. Rows in doubt whose token may be forgotten have to be looked up."""
    finding, place = Finding(), _place(folder)
    retention = _RETENTION if clocks.forgets else 8 * 3600.0
    with emulator(latency=_LATENCY, token_retention=retention) as service:
        more = _LIFETIME if clocks.forgets else ()
        for offset in clocks.offsets[:-1]:
            goal = min(len(service.calls()) + 4, len(_ROWS) - 1)
            with running(*_command(service), *more, cwd=place, env=faked(offset)) as sender:
                wait_until(partial(_has_called, service, goal, sender))
                sender.signal(signal.SIGKILL)
            if clocks.forgets:
                time.sleep(_RETENTION + 0.1)
        ran = run(*_command(service), *more, cwd=place, env=faked(clocks.offsets[-1]))
        finding.allowed *= len(clocks.offsets) - 1
        finding.check_end(ran, _ROWS)
        finding.check_ledger(service, _ROWS)
    return finding


def judge_jumps(offsets: Sequence[str], *, folder: Path) -> Finding:
    """One run, during which the clock is set again and again."""
    finding, place = Finding(allowed=0), _place(folder)
    with emulator(latency=_LATENCY / 2) as service:
        _set_clock(place, "+0")
        env = faked(place / "clock")
        with running(*_command(service), "--rate", "15", cwd=place, env=env) as sender:
            for number, offset in enumerate(offsets, start=1):
                goal = number * len(_ROWS) // (len(offsets) + 1)
                wait_until(partial(_has_called, service, goal, sender))
                _set_clock(place, offset)
            finding.check_end(sender.ended(), _ROWS)
        finding.check_ledger(service, _ROWS)
    return finding


def judge_day(offsets: Sequence[str], *, folder: Path) -> Finding:
    """A day's calls are used up; a clock set back or less than a day forward gives no more of them.

    A clock that is set while a run is parked gives none, wherever it is set to.
    """
    finding, place = Finding(), _place(folder)
    ledger = place / "ledger.ndjson"
    with emulator(daily_quota=_QUOTA, ledger=ledger) as service:
        command = (*_command(service), "--daily-quota", str(_QUOTA))
        _set_clock(place, "+0")
        with running(*command, cwd=place, env=faked(place / "clock")) as sender:
            _wait_until_parked(sender)
            for offset in offsets:
                _set_clock(place, offset)
                time.sleep(0.3)
            sender.signal(signal.SIGKILL)
        within = [offset for offset in offsets if offset[0] == "-" or offset in {"+0", "+10h"}]
        for offset in within[:2]:
            with running(*command, cwd=place, env=faked(offset)) as sender:
                _wait_until_parked(sender)
                time.sleep(0.5)
                sender.signal(signal.SIGTERM)
                finding.check(sender.ended().code == 75, "a parked run did not end when it was stopped")
        calls = service.calls()
        finding.check(len(calls) == _QUOTA, f"{len(calls)} calls in a day of {_QUOTA}")
    with emulator(ledger=ledger) as service:
        ran = run(*_command(service), "--daily-quota", "none", cwd=place)
        finding.check_end(ran, _ROWS)
        finding.check_ledger(service, _ROWS)
    return finding


def _has_called(service: Emulator, times: int, sender: Running) -> bool:
    return len(service.calls()) >= times or sender.process.poll() is not None


def faked(offset: str | Path) -> dict[str, str]:
    """An environment in which the wall clock is off, by a text or by what a file says at the moment."""
    if LIBRARY is None:
        raise LookupError("needs libfaketime (Debian: faketime)")
    fake_time = {"FAKETIME_TIMESTAMP_FILE": str(offset)} if isinstance(offset, Path) else {"FAKETIME": offset}
    # It looks for those at every call; what follows is read as it is loaded.
    # Setting a clock leaves the monotonic one alone. Two names: they differ between versions.
    kept = {"DONT_FAKE_MONOTONIC": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_NO_CACHE": "1"}
    # A fix for a glibc of long ago, with which threads that wait for a time wait for none of it, and spin.
    kept["FAKETIME_FORCE_MONOTONIC_FIX"] = "0"
    kept["LD_PRELOAD"] = str(LIBRARY)
    fork_with(**kept)
    return {**CREDENTIALS, **kept, **fake_time}


def _set_clock(place: Path, offset: str) -> None:
    (place / "clock.new").write_text(offset)
    (place / "clock.new").replace(place / "clock")


def _wait_until_parked(sender: Running) -> None:
    assert sender.process.stderr is not None
    for line in sender.process.stderr:
        if json.loads(line)["event"] == "run.parked":
            return
    raise AssertionError("it ended in place of waiting")


def _place(folder: Path) -> Path:
    place = Path(mkdtemp(dir=folder))
    write_rows(place / "rows.ndjson", _ROWS)
    return place


def _command(service: Emulator) -> tuple[str, ...]:
    return ("send", "rows.ndjson", "--endpoint-url", service.url, *_SETTLING, *OPTIONS)
