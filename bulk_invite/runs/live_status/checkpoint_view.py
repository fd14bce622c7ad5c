"""What the checkpoint says of a run that goes on, read when somebody asks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Final

import anyio

from bulk_invite.domain.errors import CheckpointError
from bulk_invite.domain.records import Failure, Owner, Problem
from bulk_invite.domain.verdicts import State
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.wiring.checkpoint import open_reader
from bulk_invite.runs.wiring.daemon_threads import detached

_EVERY: Final = 2.0
"""Seconds between two looks, at least."""

_SHARE: Final = 20
"""Times as long as a look takes is the disk left to the run before the next one."""

_PATIENCE: Final = 1.0
"""Seconds that who asks waits for a look; after that what was seen before has to do."""

_FAILURES: Final = 20


@dataclass(frozen=True, slots=True)
class Seen:
    """States of all rows, why rows have no invitation, and the latest of those."""

    owner: Owner | None = None
    states: Mapping[State, int] = field(default_factory=dict)
    problems: Sequence[Problem] = ()
    failures: Sequence[Failure] = ()


class Look:
    """Keeps what was seen last. A checkpoint that cannot be read just now changes nothing."""

    def __init__(self, settings: Settings) -> None:
        self.seen = Seen()
        self._settings = settings
        self._looking: Future[None] | None = None
        self._next = 0.0

    async def refresh(self, *, within: float = _PATIENCE, now: bool = False) -> None:
        """Look once more, if the last look is old, and wait a while for it. now: in any case."""
        if self._looking is None or self._looking.done():
            if not (now or time.monotonic() >= self._next):
                return
            self._looking = detached(self._look)
        with anyio.move_on_after(within):
            await asyncio.wrap_future(self._looking)

    def _look(self) -> None:
        began = time.monotonic()
        try:
            with open_reader(self._settings) as reader:
                self.seen = Seen(
                    reader.owner, reader.states(), reader.problems(), reader.last_failures(_FAILURES)
                )
        except CheckpointError:
            pass  # there is none yet, or its database is away: the run itself tells that
        finally:
            took = time.monotonic() - began
            self._next = began + max(_EVERY, _SHARE * took)
