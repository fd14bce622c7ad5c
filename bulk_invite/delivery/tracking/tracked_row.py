"""The durable steps of one row: nothing leaves without a committed intent, nothing is told uncommitted."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import anyio

from bulk_invite.delivery.tracking.committer import Committer
from bulk_invite.delivery.tracking.tally import Report
from bulk_invite.domain.admissions import ToSend
from bulk_invite.domain.classify import ID_OF_ANOTHER, NOES, is_unfamiliar
from bulk_invite.domain.events import NOT_SENT, Answered, Sent
from bulk_invite.domain.findings import MAY_BE_MISSING, DoubtfulRow, Finding, may_have_left_by
from bulk_invite.domain.transitions import Disposition, Next
from bulk_invite.domain.unfamiliar import Strange
from bulk_invite.domain.verdicts import State

_SET_BACK: Final = 1.0
"""Seconds by which clocks may disagree without anybody having set one."""


class Life:
    """A row on its way, as it was last committed. Every method raises CheckpointError when it cannot commit.

    doubt_since: epoch seconds of the earliest attempt of unknown fate, or None.
    doubtful, throttled, withheld: such endings in this run so far; probes: doubtful ones while the service
    was down. strange: the unfamiliar answer that it had last, if any.
    is_to_be_found: it is looked up before it is called again. is_denied: the denial it met is its own.
    ended: this run is done with it.
    """

    def __init__(
        self,
        to_send: ToSend,
        committer: Committer,
        report: Report,
        clock: Callable[[], float],
        elapsed: Callable[[], float],
        call_timeout: float,
    ) -> None:
        self.to_send = to_send
        self.doubt_since = to_send.doubt_since
        self.doubtful = 0
        self.probes = 0
        self.throttled = 0
        self.withheld = 0
        self.strange: Strange | None = None
        self.is_to_be_found = to_send.doubt_since is not None and _is_looked_up_first(to_send.code)
        self.is_denied = False
        self.ended = False
        self._state = State.PENDING if to_send.doubt_since is None else State.IN_DOUBT
        self._attempts = 0
        self._sent_at: float | None = None
        self._code, self._errors = to_send.code, to_send.errors
        self._last: Answered | None = None
        self._committer = committer
        self._report = report
        self._clock = clock
        self._elapsed = elapsed
        self._read_at, self._read_after = clock(), elapsed()
        sent = to_send.last_sent or to_send.doubt_since or self._read_at
        # Where nothing of a call is known, the last moment for one is.
        is_missing = to_send.code == MAY_BE_MISSING
        left = min(sent, self._read_at) if is_missing else may_have_left_by(sent, call_timeout, self._read_at)
        # From here on counted by what nobody can set.
        self._left_after = self._read_after - (self._read_at - left)
        self._called_after = self._decided_after = self._read_after

    @property
    def body(self) -> bytes:
        return self.to_send.invitation.body

    @property
    def engagement(self) -> str:
        return self.to_send.invitation.engagement

    @property
    def is_set_aside(self) -> bool:
        return self._state is State.DEFERRED

    def age(self) -> float:
        """Seconds for which it has been in doubt, at least as many as any clock says; 0 where it is not."""
        if self.doubt_since is None:
            return 0.0
        by_date = self._clock() - self.doubt_since
        by_count = self._elapsed() - self._read_after + self._read_at - self.doubt_since
        # Where the clock was set back since, nobody can say how old it is.
        return math.inf if min(by_date, by_count) < -_SET_BACK else max(by_date, by_count)

    def intent_age(self) -> float:
        """Seconds since the attempt that is about to leave was dated."""
        return self._elapsed() - self._decided_after

    def doubt(self) -> DoubtfulRow:
        """The row as it is looked up; only where it is in doubt."""
        assert self.doubt_since is not None  # noqa: S101 - the caller has seen to it
        invitation = self.to_send.invitation
        return DoubtfulRow(
            invitation.client_token,
            invitation.body_hash,
            invitation.engagement,
            invitation.payload_type,
            self.doubt_since,
            self._clock() - (self._elapsed() - self._left_after),
            self._code,
            self._errors,
            self.is_denied,
            invitation.body,
        )

    async def sent(self) -> float:
        """Commit that an attempt is about to leave; its time in epoch seconds."""
        at, self._decided_after = self._clock(), self._elapsed()
        self._sent_at = at
        # A bug elsewhere must not leave what is told behind what is written.
        with anyio.CancelScope(shield=True):
            await self._committer.commit(Sent(self.to_send.invitation.client_token, at))
        self._report.sent(self.to_send, self._state, at)
        self._called_after = self._elapsed()
        self._state = State.IN_DOUBT
        self._attempts += 1
        return at

    async def answered(self, disposition: Disposition, *, request_id: str = "") -> bool:
        """Commit what is known after an attempt, also when the run is being broken off.

        False: its Id is another row's, and what is committed is doubt.
        """
        seconds = self._elapsed() - self._called_after
        is_so = await self._commit(disposition, request_id=request_id, seconds=seconds)
        if disposition.outcome not in NOT_SENT:
            self._left_after = self._elapsed()  # the service may have carried it out at the very end
        self._attempts -= not disposition.counted
        self._report.came_back()
        return is_so

    async def settled(self, disposition: Disposition, finding: Finding | None = None) -> None:
        """Commit what no attempt, but perhaps a look-up, has brought about."""
        await self._commit(replace(disposition, counted=True), finding=finding)

    async def _commit(
        self,
        disposition: Disposition,
        *,
        request_id: str = "",
        finding: Finding | None = None,
        seconds: float | None = None,
    ) -> bool:
        """Whether it is so: False where an Id turned out to be another row's."""
        answered = disposition.answer(
            self.to_send.invitation.client_token,
            self._clock(),
            request_id=request_id,
            finding=finding,
            since=self._sent_at if self.doubt_since is None else self.doubt_since,
        )
        with anyio.CancelScope(shield=True):
            is_so = await self._committer.commit(answered)
        written = answered if is_so else answered.instead or answered
        self._report.answered(self.to_send, self._state, written, seconds)
        self._state = written.state
        self._code, self._errors = written.code, written.errors
        self.doubt_since = written.doubt_since
        self.is_to_be_found = disposition.next is Next.LOOK_UP
        self._last = written
        if disposition.is_end and (is_so or finding is not None):
            self.end()
        return is_so

    def end(self) -> None:
        """This run is done with the row, as it was last committed."""
        assert self._last is not None  # noqa: S101 - only a committed row comes to its end
        self.ended = True
        self._report.ended(self.to_send, self._last, attempts=self._attempts)


def _is_looked_up_first(code: str) -> bool:
    """Whether what an earlier run left in doubt with that code is not called again before a look.

    A no after doubt, into which there was no time to look; an answer that nobody could make anything of; a
    call that an older checkpoint may lack.
    """
    return code in NOES or code in {ID_OF_ANOTHER, MAY_BE_MISSING} or is_unfamiliar(code)
