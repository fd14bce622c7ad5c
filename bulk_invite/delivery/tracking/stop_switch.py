"""Stopping a run early: the first request drains it, the second aborts it.

Every wait in delivery runs inside one of two scopes. `until_drain` is for waits before anything is sent; the
first request cancels them. `until_abort` is for workers, whose calls only the second request cancels; it
leaves each row as last committed, since commits finish first.
"""

from __future__ import annotations

from types import TracebackType

from anyio import CancelScope

from bulk_invite.domain.errors import BulkInviteError


class StopSwitch:
    """Stops the run for a signal (no reason) or for an error that prevents further delivery."""

    def __init__(self) -> None:
        self.draining = False
        self.aborted = False
        self.reason: BulkInviteError | None = None
        # Dicts keep the order, so that a repeated simulation ends the same way.
        self._until_drain: dict[CancelScope, None] = {}
        self._until_abort: dict[CancelScope, None] = {}

    def drain(self, reason: BulkInviteError | None = None) -> None:
        """Start no new calls; finish and commit those in flight. The first reason is kept.

        An error after a signal also counts as a reason: a failed checkpoint write must be reported.
        """
        if self.reason is None:
            self.reason = reason
        self.draining = True
        for scope in tuple(self._until_drain):
            scope.cancel()

    def abort(self) -> None:
        """Cancel the calls in flight, too; their rows stay in doubt."""
        self.drain()
        self.aborted = True
        for scope in tuple(self._until_abort):
            scope.cancel()

    def until_drain(self) -> _Scope:
        return _Scope(self._until_drain, cancelled=self.draining)

    def until_abort(self) -> _Scope:
        return _Scope(self._until_abort, cancelled=self.aborted)


class _Scope:
    """A cancel scope, registered with the switch while it is entered.

    Entering and leaving one takes 4 us, so what needs no wait enters none.
    """

    __slots__ = ("_scope", "_scopes")

    def __init__(self, scopes: dict[CancelScope, None], *, cancelled: bool) -> None:
        self._scopes = scopes
        self._scope = CancelScope()
        if cancelled:
            self._scope.cancel()

    def __enter__(self) -> CancelScope:
        self._scopes[self._scope] = None
        return self._scope.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._scopes.pop(self._scope, None)
        return bool(self._scope.__exit__(kind, error, trace))
