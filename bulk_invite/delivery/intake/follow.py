"""Rows of a source that goes on: new ones as they come, and now and then those that were left open.

A round is a run like any other, but for its source: it is read on and on. It ends when rows were left open
that may be tried once more by now (their engagement was full, nobody knows whether they arrived); the next
one takes them up again. Only a new run tells a row that comes again from one that is there twice.
"""

from __future__ import annotations

from collections.abc import Callable, Generator

from anyio import CancelScope
from anyio.to_thread import run_sync

from bulk_invite.delivery.intake.admit_batch import BATCH_BYTES, BATCH_ROWS, Admitter, HandOver
from bulk_invite.delivery.intake.source import FollowedSource, KeyedSource
from bulk_invite.delivery.tracking.committer import Committer
from bulk_invite.delivery.tracking.stop_switch import StopSwitch
from bulk_invite.domain.records import SourceCursor
from bulk_invite.domain.rows import Row


class FollowingIntake:
    """One source in one round. Raises BulkInviteError.

    is_over: asked now and then whether the round is to end. quiet: called when the source has no rows for
    now. caught_up: all that was there when the round began has been read. ended: the source goes on no more.
    """

    def __init__(
        self,
        source: FollowedSource,
        admitter: Admitter,
        committer: Committer,
        stop: StopSwitch,
        is_over: Callable[[], bool],
        *,
        quiet: Callable[[], None] = lambda: None,
    ) -> None:
        self.all_read = self.ended = self.caught_up = False
        self._asked_to_end = False
        self._source = source
        self._admitter = admitter
        self._committer = committer
        self._stop = stop
        self._is_over = is_over
        self._quiet = quiet

    async def run(self, hand_over: HandOver) -> None:
        """Read until the round is over, the run drains or the source ends."""
        name, campaign = self._source.name, self._committer.campaign
        mark = await self._committer.ask(lambda journal: journal.source_cursor(name, campaign))
        if mark is not None and isinstance(self._source, KeyedSource):
            await self._resume(self._source, hand_over)
        batches = self._source.follow(BATCH_ROWS, BATCH_BYTES, self._ends, mark=mark)
        try:
            await self._take_in(batches, mark, hand_over)
        finally:
            with CancelScope(
                shield=True
            ):  # connections are closed there, and a thread may have to be waited for
                await run_sync(batches.close)
        self.all_read = not self._stop.draining

    async def _take_in(
        self, batches: Generator[tuple[list[Row], str | None]], mark: str | None, hand_over: HandOver
    ) -> None:
        while (found := await run_sync(next, batches, None)) is not None:
            rows, reached = found
            # Reading cannot be cancelled: what it brings after a stop is not admitted any more.
            if self._stop.draining:
                return
            if rows or reached != mark:
                new = None if reached is None else SourceCursor(self._source.name, reached)
                await self._admitter.admit(rows, hand_over, new, follows=True)
                mark = reached
            if not rows:
                self.caught_up = True
                self._quiet()
        self.ended = not self._asked_to_end

    async def _resume(self, source: KeyedSource, hand_over: HandOver) -> None:
        """What earlier runs have left open, by its keys."""
        last = ""
        while keys := await self._keys_to_send(last):
            if self._stop.draining:
                return
            rows = await run_sync(source.rows, keys, self._draining)
            if rows:
                await self._admitter.admit(rows, hand_over, follows=True)
            last = keys[-1]

    async def _keys_to_send(self, after: str) -> list[str]:
        name, campaign = self._source.name, self._committer.campaign
        return await self._committer.ask(
            lambda journal: journal.open_keys(name, campaign, after, BATCH_ROWS, to_send=True)
        )

    def _draining(self) -> bool:
        return self._stop.draining

    def _ends(self) -> bool:
        # Once told, a source comes to its end: another answer later on must not look as if it had by itself.
        self._asked_to_end = self._asked_to_end or self._stop.draining or self._is_over()
        return self._asked_to_end
