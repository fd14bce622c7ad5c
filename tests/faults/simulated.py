"""Whole campaigns in virtual time: the real parts, crash after crash, everything drawn from one seed.

The same seed gives the same log. `python tests/support/simulate.py SEED` runs one and shows it.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import anyio
import structlog
from virtual_time import VirtualTimeLoop

from faults.judged import Judgement, Records, judge, read_records
from faults.onlookers import Seen
from faults.plans import Ending, Plan, draw
from faults.process import Run, validated
from faults.tried import Tried
from faults.virtual_service import EPOCH, VirtualService

_SHM: Final = Path("/dev/shm")
_CALM: Final = Ending("", "", 0, 0.0, 120.0)
_MOST_RUNS: Final = 20


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one seed. ends: how each run ended. made: calls by their fault, "none" without one.

    allowed: the calls in flight, for every run that was killed or cut off. log: all events, calls and entries
    of the checkpoint, with their virtual times.
    """

    seed: int
    judgement: Judgement
    ends: tuple[str, ...]
    made: Counter[str]
    calls: int
    allowed: int
    log: tuple[str, ...]

    @property
    def problems(self) -> list[str]:
        found = [*self.judgement.lost, *self.judgement.twice, *self.judgement.broken]
        if self.judgement.repeated > self.allowed:
            found.append(f"{self.judgement.repeated} calls were repeated, {self.allowed} may be")
        return found

    @property
    def digest(self) -> str:
        return sha256("\n".join(self.log).encode()).hexdigest()


@dataclass(slots=True)
class _World:
    plan: Plan
    folder: Path
    service: VirtualService
    seen: Seen = field(default_factory=Seen)
    log: list[str] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)
    violent: int = 0
    run: Run | None = None

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.db"

    async def live(self) -> None:
        """Start the command again and again, as an operator does, until it finishes in calm weather."""
        asyncio.get_running_loop().set_exception_handler(self._note_error)
        tokens = {row.body: row.client_token for row in validated(self.plan.lines)}
        endings = [*self.plan.endings, _CALM]
        for number in range(_MOST_RUNS):
            ending = endings[number] if number < len(endings) else _CALM
            self.service.calm = number >= len(endings)
            self.run = Run(self.plan, number, ending, self.service, self.seen, tokens)
            self._note("starts", str(ending))
            end = await self.run.go(self.checkpoint)
            self._ended(ending, end)
            if self.service.calm and end == "finished":
                break
            await anyio.sleep(ending.downtime)
        else:
            self.seen.broken.append(f"no run has finished: {self.ends[-1]}")
        await anyio.sleep(120.0)  # calls still in flight arrive

    def _ended(self, ending: Ending, end: str) -> None:
        assert self.run is not None
        self._note("ended", end)
        self.ends.append(end)
        self.violent += end == "killed" or ending.how == "cut_off"
        if self.run.most_at_once > self.plan.in_flight:
            self.seen.broken.append(f"{self.run.most_at_once} calls in flight")

    def _note_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        del loop
        self.seen.broken.append(f"the loop says: {context.get('exception') or context['message']!r}")

    def _note(self, word: str, text: str) -> None:
        number = 0 if self.run is None else self.run.number
        self.log.append(f"{anyio.current_time():14.6f} run {number} {word} {text}")

    def note_event(self, logger: object, method: str, event: structlog.typing.EventDict) -> str:
        """A processor of structlog: what a living process says goes to the log."""
        del logger
        if self.run is not None and self.run.process.alive:
            said = " ".join(f"{name}={value}" for name, value in event.items() if name != "event")
            self._note(method, f"{event['event']} {said}")
        raise structlog.DropEvent


def run_seed(seed: int) -> Outcome:
    plan = draw(seed)
    with TemporaryDirectory(prefix="simulated-", dir=_SHM if _SHM.is_dir() else None) as name:
        folder = Path(name)
        service = VirtualService(folder, plan.options, plan.roads, plan.manners)
        world = _World(plan, folder, service)
        try:
            try:
                with _events_to(world):
                    anyio.run(world.live, backend_options={"loop_factory": VirtualTimeLoop})
            except Exception as error:  # noqa: BLE001 - a bug in the program is a finding like any other
                world.seen.broken.append(f"a run broke down: {_innermost(error)!r}")
            daily = service.state.report()["max_granted_per_day"]
        finally:
            service.close()
        records = read_records(folder / "ledger.ndjson", world.checkpoint)
    broken = [*service.broken, *world.seen.broken, *_quota_broken(plan, service, daily)]
    return Outcome(
        seed,
        judge(plan, records, service.attempts, broken),
        tuple(world.ends),
        service.made,
        len(service.attempts),
        plan.in_flight * world.violent,
        tuple(_history(world, records)),
    )


def _innermost(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _quota_broken(plan: Plan, service: VirtualService, daily: int) -> Iterator[str]:
    late = sum(attempt.fault.startswith("late") for attempt in service.attempts)
    if plan.quota is not None and daily > plan.quota + late:
        yield f"{daily} calls in a day, {plan.quota} may be"


@contextmanager
def _events_to(world: _World) -> Iterator[None]:
    before = structlog.get_config()
    structlog.configure(processors=[world.note_event], cache_logger_on_first_use=False)
    try:
        yield
    finally:
        structlog.configure(**before)


def _history(world: _World, records: Records) -> Iterator[str]:
    """Everything in order of its kind."""
    yield from world.log
    for attempt in world.service.attempts:
        yield str(attempt)
    for call in records.calls:
        yield f"{call.time - EPOCH:14.6f} ledger {call.operation} {call.client_token} {call.outcome}"
    for invitation in records.invitations:
        yield f"{invitation.time - EPOCH:14.6f} ledger {invitation.id} {invitation.client_token}"
    yield from map(str, records.log)
    yield from map(str, records.findings)
    # The hash of a receiver has a random key.
    yield from (str({**row, "receiver": ""}) for row in records.rows.values())


def campaign(times: int, folder: Path, seed: int) -> list[Tried]:
    """A range of seeds from `seed` on; the log of each that fails is kept in `folder`."""
    began = time.perf_counter()
    outcomes = []
    for each in range(seed, seed + times):
        outcome = run_seed(each)
        if outcome.problems:
            (folder / f"simulated-{each}.log").write_text("\n".join(outcome.log))
        outcomes.append(_Line.of(outcome))
    return [_summed(outcomes, time.perf_counter() - began)]


@dataclass(frozen=True, slots=True)
class _Line:
    """The record of a seed in a long campaign."""

    deaths: int
    lost: int
    twice: int
    repeated: int
    allowed: int
    broken: tuple[str, ...]

    @classmethod
    def of(cls, outcome: Outcome) -> _Line:
        found = outcome.judgement
        again = f"python tests/support/simulate.py {outcome.seed}"
        problems = tuple(f"seed {outcome.seed}: {each} ({again})" for each in outcome.problems)
        deaths = sum(end != "finished" for end in outcome.ends)
        return cls(deaths, len(found.lost), len(found.twice), found.repeated, outcome.allowed, problems)


def _summed(lines: list[_Line], seconds: float) -> Tried:
    return Tried(
        fault=f"simulated: {len(lines)} seeds",
        times=sum(line.deaths for line in lines),
        lost=sum(line.lost for line in lines),
        twice=sum(line.twice for line in lines),
        repeated=sum(line.repeated for line in lines),
        allowed=sum(line.allowed for line in lines),
        seconds=seconds,
        broken=tuple(each for line in lines for each in line.broken),
    )
