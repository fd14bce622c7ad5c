"""Saves the pacing in the checkpoint, periodically and at the end of a run: the next run starts from it."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import anyio
import structlog

from bulk_invite.checkpoint.writer import CheckpointWriter
from bulk_invite.delivery.tracking.committer import Committer
from bulk_invite.delivery.tracking.stop_switch import StopSwitch
from bulk_invite.domain.errors import CheckpointError
from bulk_invite.domain.records import PacingState
from bulk_invite.pacing.pacer import Pacer
from bulk_invite.runs.output.progress import Progress

_log = structlog.get_logger()

_EVERY: Final = 10.0
"""Seconds between two saves; a park is saved immediately."""


class PacingSaver:
    """Saves what the pacing has learned, from `begin` on: before, another sender may hold the checkpoint."""

    def __init__(
        self, pacer: Pacer, progress: Progress, committer: Committer, writer: CheckpointWriter
    ) -> None:
        self._pacer = pacer
        self._progress = progress
        self._committer = committer
        self._writer = writer
        self._begun = anyio.Event()

    def begin(self) -> None:
        self._begun.set()

    async def save(self) -> None:
        """Run until cancelled. Raises CheckpointError."""
        await self._begun.wait()
        last: PacingState | None = None
        while True:
            memory = self._now()
            moved = last is None or (memory.parked, memory.next_call) != (last.parked, last.next_call)
            if last is None or moved or abs(memory.at - last.at) >= _EVERY:
                await self._write(memory)
                last = memory
            await anyio.sleep(1.0)

    async def _write(self, memory: PacingState) -> None:
        await self._committer.ask(lambda journal: journal.save_pacing(memory))

    async def save_last(self, stop: StopSwitch) -> None:
        """Save once more, after the last write of the run.

        Raises CheckpointError, unless that would hide why the run ended.
        """
        if not self._begun.is_set() or self._committer.failed:
            return
        try:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self._writer.save_pacing, self._now())
        except CheckpointError as error:
            if stop.reason is None:
                raise
            _log.error("pacing.save_failed", reason=str(error))

    def _now(self) -> PacingState:
        return replace(self._pacer.memory(), left=self._progress.view(anyio.current_time()).left)
