"""The surroundings of a simulated run: checkpoint, results and network under observation, and a slow disk.

All of them are the real thing with an onlooker in front; a dead process reaches none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar, TypeVarTuple

import anyio

from bulk_invite.checkpoint.read_prefixes import ReadPrefixes
from bulk_invite.checkpoint.writer import CheckpointWriter
from bulk_invite.domain.admissions import Admission, SkippedRow
from bulk_invite.domain.clearance import Clearance
from bulk_invite.domain.errors import CheckpointError
from bulk_invite.domain.events import Answered, Event, Sent
from bulk_invite.domain.findings import DoubtfulRow, SettledRow
from bulk_invite.domain.records import Change, PacingState, Prefix, Record, SourceCursor
from bulk_invite.domain.rows import Invitation, Position, Rejection, Row, RowError
from bulk_invite.domain.verdicts import Answer, State
from faults.line import Line
from faults.plans import Ending
from faults.virtual_service import VirtualService

_Written = TypeVar("_Written")
_Arguments = TypeVarTuple("_Arguments")


@dataclass(slots=True)
class Seen:
    """The durable state of each row, and the errors, over all runs of a simulation.

    open_intents: tokens whose last durable event says that a call is to leave, which has not left yet.
    """

    last: dict[str, Event] = field(default_factory=dict)
    open_intents: set[str] = field(default_factory=set)
    broken: list[str] = field(default_factory=list)
    runs: int = 0


class Process:
    """Alive until it dies; `passes` counts the points passed, for a death at a chosen one."""

    def __init__(self, number: int, ending: Ending, scope: anyio.CancelScope) -> None:
        self.number = number
        self.alive = True
        self._point, self._left = ending.point, ending.count
        self._scope = scope

    def passes(self, point: str) -> None:
        self._left -= point == self._point
        if point == self._point and self._left == 0:
            self.die()

    def die(self) -> None:
        self.alive = False
        self._scope.cancel()


class Journal:
    """The checkpoint of a process: what a dead one writes does not reach it."""

    def __init__(self, writer: CheckpointWriter, process: Process, seen: Seen) -> None:
        self._writer = writer
        self._process = process
        self._seen = seen

    def admit(
        self,
        batch: Sequence[Invitation | Rejection],
        *,
        campaign: str,
        retry_failed: bool,
        reached: Position | SourceCursor | Prefix | None = None,
        follows: bool = False,
    ) -> list[Admission]:
        self._check()
        return self._writer.admit(
            batch, campaign=campaign, retry_failed=retry_failed, reached=reached, follows=follows
        )

    def source_cursor(self, source: str, campaign: str) -> str | None:
        self._check()
        return self._writer.source_cursor(source, campaign)

    def changes(self, source: str, campaign: str, after: Change, limit: int) -> tuple[Change, list[Record]]:
        self._check()
        return self._writer.changes(source, campaign, after, limit)

    def watermark(self, source: str, campaign: str) -> str | None:
        self._check()
        return self._writer.watermark(source, campaign)

    def open_keys(
        self, source: str, campaign: str, after: str, limit: int, *, to_send: bool = False
    ) -> list[str]:
        self._check()
        return self._writer.open_keys(source, campaign, after, limit, to_send=to_send)

    def created_rows(self, source: str, campaign: str, after: str, limit: int) -> list[SkippedRow]:
        self._check()
        return self._writer.created_rows(source, campaign, after, limit)

    def count_created(self, source: str, campaign: str) -> int:
        self._check()
        return self._writer.count_created(source, campaign)

    @property
    def prefixes(self) -> ReadPrefixes:
        self._check()
        return self._writer.prefixes

    def end_source(self, source: str, campaign: str) -> None:
        self._check()
        self._writer.end_source(source, campaign)

    def save_pacing(self, memory: PacingState) -> None:
        self._check()
        self._writer.save_pacing(memory)

    def rows_of(self, engagements: Sequence[str]) -> tuple[list[DoubtfulRow], list[SettledRow]]:
        self._check()
        return self._writer.rows_of(engagements)

    def prove(self) -> None:
        self._check()
        self._writer.prove()

    def record(self, events: Sequence[Event]) -> frozenset[str]:
        self._process.passes("writing")
        self._check()
        of_others = self._writer.record(events)
        for event in events:
            self._seen.last[event.client_token] = event
            if isinstance(event, Sent):
                self._seen.open_intents.add(event.client_token)
            else:
                self._seen.open_intents.discard(event.client_token)
        self._process.passes("written")
        self._check()
        return of_others

    def _check(self) -> None:
        if not self._process.alive:
            raise CheckpointError("The process is dead.")


class Outlet:
    """Result rows, each checked against what is durable."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self._reported: set[str] = set()

    def created(
        self, position: Position, client_token: str, invitation_id: str, arn: str, label: str
    ) -> None:
        del position, arn, label
        last = self._seen.last[client_token]
        if not isinstance(last, Answered) or (last.state, last.invitation_id) != (
            State.CREATED,
            invitation_id,
        ):
            self._seen.broken.append(f"{client_token} was reported as created before that was durable")
        if client_token in self._reported:
            self._seen.broken.append(f"{client_token} was reported twice in one run")
        self._reported.add(client_token)

    def failed(self, row: Row, errors: tuple[RowError, ...], label: str) -> None: ...

    def rejected(self, row: Row, errors: tuple[RowError, ...], label: str) -> None: ...


class WitnessedLine(Line):
    """A connection that checks that every call has its own durable intent."""

    def __init__(
        self, service: VirtualService, process: Process, seen: Seen, tokens: dict[bytes, str]
    ) -> None:
        super().__init__(service, process)
        self._seen = seen
        self._tokens = tokens

    async def create(self, body: bytes, clearance: Clearance) -> Answer:
        token = self._tokens[body]
        if token not in self._seen.open_intents:
            self._seen.broken.append(f"{token} has left without a durable intent")
        self._seen.open_intents.discard(token)
        return await super().create(body, clearance)


class Lines:
    """A source that yields a fixed number of lines at a time."""

    name = "rows.ndjson"
    consumed = lines = 0
    answering = True
    size: int | None = None

    def __init__(self, lines: Sequence[bytes], batch: int) -> None:
        self._lines = lines
        self._batch = batch

    def batches(
        self, max_rows: int = 1, max_bytes: int = 1, stop: Callable[[], bool] = lambda: False
    ) -> Generator[list[Row], None, None]:
        del max_rows, max_bytes
        for start in range(0, len(self._lines), self._batch):
            if stop():
                return
            portion = self._lines[start : start + self._batch]
            yield [Row(Position(self.name, start + n), line) for n, line in enumerate(portion, 1)]


class Disk:
    """Runs what blocks at once, and takes its time before and after."""

    def __init__(self, seconds: float, chance: Random) -> None:
        self._seconds = seconds
        self._chance = chance

    async def __call__(
        self,
        call: Callable[[*_Arguments], _Written],
        /,
        *values: *_Arguments,
        limiter: anyio.CapacityLimiter | None = None,
    ) -> _Written:
        await anyio.lowlevel.checkpoint()
        async with limiter or anyio.CapacityLimiter(1):
            with anyio.CancelScope(shield=True):
                await anyio.sleep(self._seconds * self._chance.random())
                written = call(*values)
                await anyio.sleep(self._seconds * self._chance.random())
            return written
