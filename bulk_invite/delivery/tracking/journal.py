"""What delivery needs of the checkpoint, and of the thread in which it is used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar, TypeVarTuple, Unpack

import anyio

from bulk_invite.domain.admissions import Admission, SkippedRow
from bulk_invite.domain.events import Event
from bulk_invite.domain.findings import DoubtfulRow, SettledRow
from bulk_invite.domain.records import (
    Change,
    KnownPrefix,
    PacingState,
    Prefix,
    PrefixRows,
    Record,
    SourceCursor,
)
from bulk_invite.domain.rows import Invitation, Position, Rejection

_Answer = TypeVar("_Answer")
_Arguments = TypeVarTuple("_Arguments")


class RunInThread(Protocol):
    """`anyio.to_thread.run_sync`, or its replacement under virtual time."""

    async def __call__(
        self,
        call: Callable[[Unpack[_Arguments]], _Answer],
        /,
        *values: *_Arguments,
        limiter: anyio.CapacityLimiter | None = None,
    ) -> _Answer: ...


class Prefixes(Protocol):
    """What earlier runs have read of files; see `checkpoint.read_prefixes`."""

    def known(self, source: str, campaign: str) -> KnownPrefix | None: ...

    def rows(self, source: str, campaign: str, *, failed_again: bool) -> PrefixRows | None: ...

    def recognize(self, source: str, campaign: str, *, failed_again: bool) -> None: ...

    def created_rows(self, source: str, after: str, limit: int) -> list[SkippedRow]: ...

    def finished(self, source: str, campaign: str) -> str | None: ...

    def recognize_finished(self, source: str, campaign: str, unchanged: int) -> bool: ...

    def finish(self, source: str, campaign: str, mark: str) -> None: ...


class Journal(Protocol):
    """The checkpoint, as delivery uses it; blocking."""

    def admit(
        self,
        batch: Sequence[Invitation | Rejection],
        *,
        campaign: str,
        retry_failed: bool,
        reached: Position | SourceCursor | Prefix | None = None,
        follows: bool = False,
    ) -> list[Admission]: ...

    def watermark(self, source: str, campaign: str) -> str | None: ...

    def source_cursor(self, source: str, campaign: str) -> str | None: ...

    def changes(
        self, source: str, campaign: str, after: Change, limit: int
    ) -> tuple[Change, list[Record]]: ...

    def open_keys(
        self, source: str, campaign: str, after: str, limit: int, *, to_send: bool = False
    ) -> list[str]: ...

    def created_rows(self, source: str, campaign: str, after: str, limit: int) -> list[SkippedRow]: ...

    def count_created(self, source: str, campaign: str) -> int: ...

    @property
    def prefixes(self) -> Prefixes: ...

    def record(self, events: Sequence[Event]) -> frozenset[str]: ...

    def end_source(self, source: str, campaign: str) -> None: ...

    def save_pacing(self, memory: PacingState) -> None: ...

    def rows_of(self, engagements: Sequence[str]) -> tuple[list[DoubtfulRow], list[SettledRow]]: ...

    def prove(self) -> None: ...
