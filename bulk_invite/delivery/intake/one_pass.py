"""Rows of sources that end, read once.

A source whose rows have keys is read on where an earlier run broke off: what it has settled is only told of,
what it has left open is read again by its keys, and the rest comes after the key that it had reached.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from functools import partial

from anyio import to_thread

from bulk_invite.delivery.intake.admit_batch import BATCH_BYTES, BATCH_ROWS, Admitter, HandOver
from bulk_invite.delivery.intake.source import KeyedSource, Source
from bulk_invite.delivery.tracking.committer import Committer, RunInThread
from bulk_invite.delivery.tracking.stop_switch import StopSwitch
from bulk_invite.domain.admissions import SkippedRow
from bulk_invite.domain.rows import Row


class OnePassIntake:
    """Takes in all rows of the sources once. Every method raises BulkInviteError.

    limit: how many rows may be sent (None: all). in_thread: runs what blocks.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        admitter: Admitter,
        committer: Committer,
        stop: StopSwitch,
        *,
        limit: int | None = None,
        in_thread: RunInThread = to_thread.run_sync,
    ) -> None:
        self.all_read = False
        self._sources = sources
        self._admitter = admitter
        self._committer = committer
        self._ask = committer.ask
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
        self.all_read = not self._stop.draining

    async def _take_in(self, source: Source, hand_over: HandOver) -> None:
        begin, has_keys = source.batches, isinstance(source, KeyedSource)
        if isinstance(source, KeyedSource):
            begin = partial(source.batches, after=await self._resume(source, hand_over))
        with closing(begin(BATCH_ROWS, BATCH_BYTES, self._drains)) as batches:
            while self._remaining != 0 and (batch := await self._in_thread(next, batches, None)):
                await self._take_in_batch(batch, hand_over, marks=has_keys)
        if self._remaining is None and not self._stop.draining:
            await self._ask(lambda journal: journal.end_source(source.name, self._committer.campaign))

    async def _resume(self, source: KeyedSource, hand_over: HandOver) -> str | None:
        """The key after which a reading that was broken off goes on; before that, what it has left open."""
        after = await self._ask(lambda journal: journal.watermark(source.name, self._committer.campaign))
        if after is None:
            return None
        last = ""
        while created := await self._created_rows(source.name, last):
            self._admitter.skip(created)
            last = created[-1].position.key
        last = ""
        while keys := await self._open_keys(source.name, last):
            if self._remaining == 0 or self._stop.draining:
                break
            rows = await self._in_thread(source.rows, keys, self._drains)
            await self._take_in_batch(rows, hand_over, marks=False)
            last = keys[-1]
        return after

    async def _created_rows(self, source: str, after: str) -> list[SkippedRow]:
        campaign = self._committer.campaign
        return await self._ask(lambda journal: journal.created_rows(source, campaign, after, BATCH_ROWS))

    async def _open_keys(self, source: str, after: str) -> list[str]:
        campaign = self._committer.campaign
        return await self._ask(lambda journal: journal.open_keys(source, campaign, after, BATCH_ROWS))

    async def _take_in_batch(self, batch: Sequence[Row], hand_over: HandOver, *, marks: bool) -> None:
        """Validate and look up a batch; with a limit, never more rows at a time than may still be sent.

        marks: the source is read up to there, and a later run may go on from it.
        """
        # Reading cannot be cancelled: what it brings after a stop is not admitted any more.
        while batch and self._remaining != 0 and not self._stop.draining:
            portion, batch = batch[: self._remaining], batch[self._remaining or len(batch) :]
            reached = portion[-1].position if marks else None
            to_send = await self._admitter.admit(portion, hand_over, reached)
            if self._remaining is not None:
                self._remaining -= to_send

    def _drains(self) -> bool:
        return self._stop.draining
