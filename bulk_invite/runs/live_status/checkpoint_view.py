"""Figures of a running run that only its checkpoint has, read on request."""

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
from bulk_invite.runs.wiring.daemon_threads import in_daemon_thread

_EVERY: Final = 2.0
"""Minimum seconds between two reads."""

_SHARE: Final = 20
"""The pause after a read is this many times its duration, to leave the disk to the run."""

_PATIENCE: Final = 1.0
"""Seconds that a request waits for a read; after that, it gets the previous figures."""

_FAILURES: Final = 20


@dataclass(frozen=True, slots=True)
class Seen:
    """Rows by state, the reasons for missing invitations, and the latest rows without one."""

    owner: Owner | None = None
    states: Mapping[State, int] = field(default_factory=dict)
    problems: Sequence[Problem] = ()
    failures: Sequence[Failure] = ()


class Look:
    """Keeps the latest figures; a failed read changes nothing."""

    def __init__(self, settings: Settings) -> None:
        self.seen = Seen()
        self._settings = settings
        self._looking: Future[None] | None = None
        self._next = 0.0

    async def refresh(self, *, within: float = _PATIENCE, now: bool = False) -> None:
        """Read the figures again if they are old. within: seconds to wait. now: read them in any case."""
        if self._looking is None or self._looking.done():
            if not (now or time.monotonic() >= self._next):
                return
            self._looking = in_daemon_thread(self._look)
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
            pass  # none yet, or its database is down: the run itself reports that
        finally:
            took = time.monotonic() - began
            self._next = began + max(_EVERY, _SHARE * took)
