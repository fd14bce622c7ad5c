"""What outlives a run: the pacing, written down while it goes on and at its end."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import anyio

from bulk_invite.checkpoint.writer import CheckpointWriter
from bulk_invite.commit import Committer
from bulk_invite.journal import PacingMemory
from bulk_invite.pacing.pacer import Pacer
from bulk_invite.progress import Progress

_EVERY: Final = 10.0
"""Seconds between two notes of the pacing in the checkpoint; a park is noted at once."""


class Memory:
    """Writes down what the pacing knows, once the checkpoint is ours."""

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

    async def keep(self) -> None:
        """Go on until cancelled. Raises CheckpointError."""
        await self._begun.wait()
        last: PacingMemory | None = None
        while True:
            memory = self._now()
            moved = last is None or (memory.parked, memory.next_call) != (last.parked, last.next_call)
            if last is None or moved or memory.at >= last.at + _EVERY:
                await self._committer.remember(memory)
                last = memory
            await anyio.sleep(1.0)

    def keep_last(self) -> None:
        """Write once more, when nobody else writes any more."""
        if self._begun.is_set():
            self._writer.remember(self._now())

    def _now(self) -> PacingMemory:
        return replace(self._pacer.memory(), left=self._progress.view(anyio.current_time()).left)
