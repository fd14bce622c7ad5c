"""Rows on their way in: read, validated, looked up in the checkpoint.

A source whose rows have keys is read on where an earlier run broke off: what it has settled is only told of,
what it has left open is read again by its keys, and the rest comes after the key that it had reached.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import closing
from functools import partial
from typing import Final, Protocol, cast

from anyio import to_thread

from bulk_invite.commit import Committer, InThread
from bulk_invite.engagements import Engagements
from bulk_invite.invitation import Invitation, Rejection, Row
from bulk_invite.journal import AlreadySettled, ToSend
from bulk_invite.outcome import State
from bulk_invite.report import Report
from bulk_invite.stop import StopSwitch

_BATCH_ROWS: Final = 200
"""Rows validated and looked up at a time: a few milliseconds of work between two looks at the network."""

_BATCH_BYTES: Final = 1 << 20


HandOver = Callable[[list[ToSend]], Awaitable[None]]
"""Takes rows that are to be sent; waits where there is no room for more."""


class Source(Protocol):
    """Where rows come from. Blocking; `stop` is asked while waiting for more."""

    name: str

    @property
    def has_keys(self) -> bool: ...

    def batches(
        self, max_rows: int, max_bytes: int, stop: Callable[[], bool]
    ) -> Generator[list[Row], None, None]: ...


class KeyedSource(Source, Protocol):
    """One whose rows have keys (`has_keys`): it can be read on after any of them."""

    def batches(
        self, max_rows: int, max_bytes: int, stop: Callable[[], bool], *, after: str | None = None
    ) -> Generator[list[Row], None, None]: ...

    def rows(self, keys: Sequence[str], stop: Callable[[], bool]) -> list[Row]: ...


class Validator(Protocol):
    def validate(self, row: Row) -> Invitation | Rejection: ...


class Intake:
    """Takes in all rows of the sources once. Every method raises BulkInviteError.

    limit: how many rows may be sent (None: all). in_thread: runs what blocks.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        validator: Validator,
        committer: Committer,
        engagements: Engagements,
        report: Report,
        stop: StopSwitch,
        *,
        limit: int | None = None,
        in_thread: InThread = to_thread.run_sync,
    ) -> None:
        self.all_read = False
        self._sources = sources
        self._validator = validator
        self._committer = committer
        self._engagements = engagements
        self._report = report
        self._stop = stop
        self._remaining = limit
        self._in_thread = in_thread

    @property
    def limit_reached(self) -> bool:
        """Whether reading stopped because as many rows were taken as the limit allows."""
        return self._remaining == 0

    async def run(self, hand_over: HandOver) -> None:
        """Read until the sources end, the limit is reached or the run drains."""
        for source in self._sources:
            await self._take_in(source, hand_over)
        self.all_read = self._report.tally.all_read = not self._stop.draining

    async def _take_in(self, source: Source, hand_over: HandOver) -> None:
        begin = source.batches
        if source.has_keys:
            keyed = cast("KeyedSource", source)
            begin = partial(keyed.batches, after=await self._taken_up(keyed, hand_over))
        with closing(begin(_BATCH_ROWS, _BATCH_BYTES, self._drains)) as batches:
            while self._remaining != 0 and (batch := await self._in_thread(next, batches, None)):
                await self._take_in_batch(batch, hand_over, marks=source.has_keys)
        if self._remaining is None and not self._stop.draining:
            await self._committer.end_source(source.name)

    async def _taken_up(self, source: KeyedSource, hand_over: HandOver) -> str | None:
        """The key after which a reading that was broken off goes on; before that, what it has left open."""
        after = await self._committer.watermark(source.name)
        if after is None:
            return None
        last = ""
        while arrived := await self._committer.arrived(source.name, last, _BATCH_ROWS):
            for row in arrived:
                self._report.arrived(row)
                self._engagements.has_invitations(row.engagement)
            last = arrived[-1].position.key
        last = ""
        while keys := await self._committer.open_keys(source.name, last, _BATCH_ROWS):
            if self._remaining == 0 or self._stop.draining:
                break
            rows = await self._in_thread(source.rows, keys, self._drains)
            await self._take_in_batch(rows, hand_over, marks=False)
            last = keys[-1]
        return after

    async def _take_in_batch(self, batch: Sequence[Row], hand_over: HandOver, *, marks: bool) -> None:
        """Validate and look up a batch; with a limit, never more rows at a time than may still be sent.

        marks: the source is read up to there, and a later run may go on from it.
        """
        # Reading cannot be cancelled: what it brings after a stop is not admitted any more.
        while batch and self._remaining != 0 and not self._stop.draining:
            portion, batch = batch[: self._remaining], batch[self._remaining or len(batch) :]
            reached = portion[-1].position if marks else None
            validated = [self._validator.validate(row) for row in portion]
            to_send = []
            for admission in await self._committer.admit(validated, reached):
                self._report.took_in(admission)
                match admission:
                    case ToSend():
                        to_send.append(admission)
                    case AlreadySettled(state=State.CREATED, invitation=invitation):
                        self._engagements.has_invitations(invitation.engagement)
                    case _:
                        pass
            if self._remaining is not None:
                self._remaining -= len(to_send)
            if to_send:
                await hand_over(to_send)

    def _drains(self) -> bool:
        return self._stop.draining
