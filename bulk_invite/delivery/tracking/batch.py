"""What several wait for that is done at once by another one: a commit, or a question."""

from __future__ import annotations

import anyio

from bulk_invite.domain.errors import CheckpointError
from bulk_invite.domain.events import Event


class Batch:
    """Events that share a transaction; without any, a question that one answer serves.

    substituted: tokens of rows for which their `instead` was written.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.substituted: frozenset[str] = frozenset()
        self.is_wanted = False
        self._done = anyio.Event()
        self._failure: CheckpointError | None = None

    async def wait(self) -> frozenset[str]:
        """Wait until it is done; says `substituted`. Raises CheckpointError where it failed."""
        await self._done.wait()
        if self._failure is not None:
            raise self._failure
        return self.substituted

    def finish(self, failure: CheckpointError | None) -> None:
        self._failure = failure
        self._done.set()
