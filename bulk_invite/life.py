"""The durable steps of one row: nothing leaves without a committed intent, nothing is told uncommitted."""

from __future__ import annotations

from collections.abc import Callable

import anyio

from bulk_invite.commit import Committer
from bulk_invite.disposition import Disposition
from bulk_invite.journal import Answered, Sent, ToSend
from bulk_invite.outcome import State
from bulk_invite.report import Report


class Life:
    """A row on its way, as it was last committed. Every method raises CheckpointError when it cannot commit.

    doubt_since: epoch seconds of the earliest attempt of unknown fate, or None.
    doubtful, throttled: such endings in this run so far.
    ended: this run is done with it.
    """

    def __init__(
        self, to_send: ToSend, committer: Committer, report: Report, clock: Callable[[], float]
    ) -> None:
        self.to_send = to_send
        self.doubt_since = to_send.doubt_since
        self.doubtful = 0
        self.throttled = 0
        self.ended = False
        self._state = State.PENDING if to_send.doubt_since is None else State.IN_DOUBT
        self._attempts = 0
        self._last: Answered | None = None
        self._committer = committer
        self._report = report
        self._clock = clock

    @property
    def body(self) -> bytes:
        return self.to_send.invitation.body

    @property
    def engagement(self) -> str:
        return self.to_send.invitation.engagement

    @property
    def is_set_aside(self) -> bool:
        return self._state is State.DEFERRED

    async def sent(self) -> float:
        """Commit that an attempt is about to leave; its time in epoch seconds."""
        at = self._clock()
        await self._committer.commit(Sent(self.to_send.invitation.client_token, at))
        self._report.sent(self._state)
        self._state = State.IN_DOUBT
        self._attempts += 1
        return at

    async def answered(self, disposition: Disposition, *, request_id: str = "") -> None:
        """Commit what is known after an attempt, also when the run is being broken off."""
        await self._commit(disposition, request_id=request_id, counted=disposition.counted)
        self._report.came_back()

    async def settled(self, disposition: Disposition) -> None:
        """Commit an end that no attempt brought about."""
        await self._commit(disposition, request_id="", counted=True)

    async def _commit(self, disposition: Disposition, *, request_id: str, counted: bool) -> None:
        answered = Answered(
            self.to_send.invitation.client_token,
            at=self._clock(),
            state=disposition.state,
            outcome=disposition.outcome,
            code=disposition.code,
            request_id=request_id,
            invitation_id=disposition.invitation_id,
            arn=disposition.arn,
            errors=disposition.errors,
            doubt_since=disposition.doubt_since,
            counted=counted,
        )
        with anyio.CancelScope(shield=True):
            await self._committer.commit(answered)
        self._report.answered(self.to_send, self._state, answered)
        self._state = disposition.state
        self.doubt_since = disposition.doubt_since
        self._attempts -= 0 if counted else 1
        self._last = answered
        if disposition.is_end:
            self.end()

    def end(self) -> None:
        """This run is done with the row, as it was last committed."""
        assert self._last is not None  # noqa: S101 - only a committed row comes to its end
        self.ended = True
        self._report.ended(self.to_send, self._last, attempts=self._attempts)
