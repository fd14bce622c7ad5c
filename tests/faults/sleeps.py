"""Time that passes between a decision and its byte: the sender is stopped, or its commit waits for a lock.

Tokens are forgotten after a second or two, so that whatever leaves late invites twice.
"""

from __future__ import annotations

import random
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from checkpoints import Place
from command import Emulator, emulator, wait_until
from database import Database, database, server
from rows import make_rows, messages, write_rows

from bulk_invite.rehearsal.emulator.fault_options import FaultOptions
from faults.launched import Ended, Launcher, Program, Stand
from faults.tried import Tried

TAKEN_OVER, LOCKED, STOPPED = "taken over while it slept", "its commits wait", "stopped at random moments"

_REMEMBERED: Final = 1.5
"""Seconds for which the service remembers a token, as set for the sender."""

_SLEEP: Final = 2.5
_ROWS: Final = 24
_IN_FLIGHT: Final = 6
_GONE: Final = 4

_NO_ANSWERS: Final[dict[str, Any]] = {
    "faults": FaultOptions(error_500=0.3, reset_after=0.1, slow=0.1),
    "faults_committed": 0.8,
    "slow_for": 0.6,
    "token_retention": _REMEMBERED,
}
"""Half of the calls are repeated, though most have done their work; seldom so many in a row that all wait."""


@dataclass
class Night:
    """One sender, and its fault."""

    number: int
    folder: Path
    place: Place
    chance: random.Random
    sleeps: int = 0
    broken: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rows = make_rows(_ROWS, start=self.number * _ROWS)
        self._source = write_rows(self.folder / f"{self.number}.ndjson", self.rows)

    def program(self, url: str, stand: Stand | None = None) -> Program:
        names = ("--endpoint-url", url, *self.place.options, "--json")
        pace = ("--rate", "60", "--burst", "4", "--max-in-flight", str(_IN_FLIGHT), "--max-attempts", "999")
        times = ("--token-lifetime", f"{_REMEMBERED}s", "--settling-time", "300ms", "--call-timeout", "500ms")
        return Program(("send", self._source, *names, *pace, *times), self.folder, stand)

    def expect(self, ended: Ended, *codes: int) -> None:
        if ended.code not in codes:
            self.broken.append(
                f"sender {self.number}: exit {ended.code}: {ended.said or ended.stderr[-300:]}"
            )


def _take_over(night: Night, service: Emulator, launchers: Sequence[Launcher], db: Database) -> None:
    """It has committed intents and sleeps; its session is torn away, another sender comes to the end."""
    first, second = launchers
    passing = night.chance.randint(2, 5)
    batch = first.start(night.program(service.url, Stand("after_intent", passing, 0.3)))
    wait_until(lambda: batch.mark().exists(), within=20)
    batch.signal(signal.SIGSTOP)
    night.sleeps += 1
    db.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name LIKE 'bulk-invite checkpoint%'"
    )
    night.expect(second.run(night.program(service.url)), 0)
    time.sleep(_REMEMBERED)
    batch.signal(signal.SIGCONT)
    (ended,) = batch.ended()
    night.expect(ended, _GONE)


def _hold_lock(night: Night, service: Emulator, launchers: Sequence[Launcher], _: Database) -> None:
    """Another program writes to the file, for longer than the token retention."""
    batch = launchers[0].start(night.program(service.url))
    over = threading.Event()

    def lock() -> None:
        wait_until(lambda: len(service.calls()) >= night.chance.randint(4, _ROWS), within=20)
        with closing(sqlite3.connect(night.place.name, timeout=10, isolation_level=None)) as file:
            while not over.is_set():
                file.execute("BEGIN IMMEDIATE")
                night.sleeps += 1
                over.wait(_SLEEP)
                file.execute("ROLLBACK")
                over.wait(_SLEEP / 2)

    locking = threading.Thread(target=lock)
    locking.start()
    try:
        (ended,) = batch.ended()
    finally:
        over.set()
        locking.join()
    night.expect(ended, 0)


def _stop(night: Night, service: Emulator, launchers: Sequence[Launcher], _: Database) -> None:
    """Stopped and woken up again, two or three times."""
    batch = launchers[0].start(night.program(service.url))
    wait_until(service.calls, within=20)
    for _time in range(night.chance.randint(2, 3)):
        time.sleep(night.chance.uniform(0.05, 0.6))
        batch.signal(signal.SIGSTOP)
        night.sleeps += 1
        time.sleep(_SLEEP)
        batch.signal(signal.SIGCONT)
    (ended,) = batch.ended()
    night.expect(ended, 0)


_Inject = Callable[[Night, Emulator, Sequence[Launcher], Database], None]

KINDS: Final[dict[str, tuple[_Inject, dict[str, Any]]]] = {
    TAKEN_OVER: (_take_over, {"token_retention": _REMEMBERED, "latency": 0.02}),
    LOCKED: (_hold_lock, _NO_ANSWERS),
    STOPPED: (_stop, _NO_ANSWERS),
}


def campaign(times: int, folder: Path, seed: int, *, kinds: Sequence[str] = tuple(KINDS)) -> list[Tried]:
    """A number of senders of each kind, one after the other."""
    with ExitStack() as stack:
        launchers = [stack.enter_context(Launcher(folder / f"launcher-{n}")) for n in range(2)]
        db = stack.enter_context(database(stack.enter_context(server()).url))
        return [_tried(kind, times, folder / str(n), seed, launchers, db) for n, kind in enumerate(kinds)]


def _tried(
    kind: str, times: int, folder: Path, seed: int, launchers: Sequence[Launcher], db: Database
) -> Tried:
    began, (befall, weather) = time.monotonic(), KINDS[kind]
    folder.mkdir(parents=True)
    chance = random.Random(f"{seed} {kind}")
    lost = twice = 0
    nights = []
    for number in range(times):
        name = f"night_{number}"
        place = Place(db.url, name) if kind == TAKEN_OVER else Place(str(folder / f"{name}.db"))
        night = Night(number, folder, place, random.Random(chance.getrandbits(64)))
        nights.append(night)
        with emulator(seed=chance.getrandbits(30), **weather) as service:
            try:
                befall(night, service, launchers, db)
            except AssertionError as error:  # it hung, and was killed
                night.broken.append(str(error)[-500:])
            invited = service.messages()
        lost += len(set(messages(night.rows)) - set(invited))
        twice += sum(count - 1 for count in invited.values())
    return Tried(
        kind,
        sum(night.sleeps for night in nights),
        lost,
        twice,
        0,
        0,
        time.monotonic() - began,
        tuple(sentence for night in nights for sentence in night.broken),
    )
