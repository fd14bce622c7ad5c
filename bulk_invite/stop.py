"""How a run ends early: first it drains, then, if asked again, it breaks off.

Every wait of the flow stands inside one of two scopes. `until_drain` is for waits that nothing has been sent
for: they end at the first request. `until_abort` is for calls: they end only at the second.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from anyio import CancelScope

from bulk_invite.errors import BulkInviteError


class StopSwitch:
    """Asked to stop by a signal (no reason) or by an error that makes going on pointless."""

    def __init__(self) -> None:
        self.draining = False
        self.aborted = False
        self.reason: BulkInviteError | None = None
        self._until_drain: set[CancelScope] = set()
        self._until_abort: set[CancelScope] = set()

    def drain(self, reason: BulkInviteError | None = None) -> None:
        """No new calls; calls in flight are finished and committed. The first reason stands."""
        if self.reason is None and not self.draining:
            self.reason = reason
        self.draining = True
        for scope in tuple(self._until_drain):
            scope.cancel()

    def abort(self) -> None:
        """Break off the calls in flight too; their rows stay in doubt."""
        self.drain()
        self.aborted = True
        for scope in tuple(self._until_abort):
            scope.cancel()

    @contextmanager
    def until_drain(self) -> Iterator[CancelScope]:
        with self._held(self._until_drain, cancelled=self.draining) as scope:
            yield scope

    @contextmanager
    def until_abort(self) -> Iterator[CancelScope]:
        with self._held(self._until_abort, cancelled=self.aborted) as scope:
            yield scope

    @contextmanager
    def _held(self, scopes: set[CancelScope], *, cancelled: bool) -> Iterator[CancelScope]:
        with CancelScope() as scope:
            scopes.add(scope)
            if cancelled:
                scope.cancel()
            try:
                yield scope
            finally:
                scopes.discard(scope)
