"""Intake from a followed source: new rows as they arrive, and rows that earlier rounds left open.

A round is a run whose source does not end. It ends when rows it left open are due for a retry (their
engagement was full, or they are in doubt); the next round resumes them. Only a new run can tell a row that
was read again from a duplicate.
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
    """The intake of one source in one round. Raises BulkInviteError.

    is_over: polled; returns True when the round must end. quiet: called when the source has no rows at the
    moment. caught_up: every row that existed when the round began has been read. ended: the source itself
    has ended.
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

    @property
    def is_resumed(self) -> bool:
        return not self.ended

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
            with CancelScope(shield=True):  # this closes connections and may wait for a thread
                await run_sync(batches.close)
        self.all_read = not self._stop.draining

    async def _take_in(
        self, batches: Generator[tuple[list[Row], str | None]], mark: str | None, hand_over: HandOver
    ) -> None:
        while (found := await run_sync(next, batches, None)) is not None:
            rows, reached = found
            # Reading cannot be cancelled; rows that arrive after a stop are not admitted.
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
        """Read and admit, by key, the rows that earlier runs left open."""
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
        # Sticky: a source that was asked to end must not seem to have ended by itself.
        self._asked_to_end = self._asked_to_end or self._stop.draining or self._is_over()
        return self._asked_to_end
