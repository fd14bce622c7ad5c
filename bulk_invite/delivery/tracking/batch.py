"""A commit or a query of the checkpoint that several tasks wait for."""

from __future__ import annotations

import anyio

from bulk_invite.domain.errors import CheckpointError
from bulk_invite.domain.events import Event


class Batch:
    """Events that share a transaction; without events, a query whose answer several tasks share.

    substituted: tokens of rows whose `instead` was written.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.substituted: frozenset[str] = frozenset()
        self.is_wanted = False
        self._done = anyio.Event()
        self._failure: CheckpointError | None = None

    async def wait(self) -> frozenset[str]:
        """Wait until it is done; return `substituted`. Raises CheckpointError if it failed."""
        await self._done.wait()
        if self._failure is not None:
            raise self._failure
        return self.substituted

    def finish(self, failure: CheckpointError | None) -> None:
        self._failure = failure
        self._done.set()
