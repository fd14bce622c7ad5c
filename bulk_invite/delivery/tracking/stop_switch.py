"""How a run ends early: first it drains, then, if asked again, it breaks off.

Every wait of the flow stands inside one of two scopes. `until_drain` is for waits that nothing has been sent
for: they end at the first request. `until_abort` is for calls: they end only at the second.
"""

from __future__ import annotations

from types import TracebackType

from anyio import CancelScope

from bulk_invite.domain.errors import BulkInviteError


class StopSwitch:
    """Asked to stop by a signal (no reason) or by an error that makes going on pointless."""

    def __init__(self) -> None:
        self.draining = False
        self.aborted = False
        self.reason: BulkInviteError | None = None
        # Dicts for their order: a run that is repeated is to end as it did.
        self._until_drain: dict[CancelScope, None] = {}
        self._until_abort: dict[CancelScope, None] = {}

    def drain(self, reason: BulkInviteError | None = None) -> None:
        """No new calls; calls in flight are finished and committed. The first reason stands.

        An error after a signal is a reason too: a checkpoint that cannot be written must not go untold.
        """
        if self.reason is None:
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

    def until_drain(self) -> _Scope:
        return _Scope(self._until_drain, cancelled=self.draining)

    def until_abort(self) -> _Scope:
        return _Scope(self._until_abort, cancelled=self.aborted)


class _Scope:
    """A cancel scope that is known as long as it is entered; two of them for every call."""

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
