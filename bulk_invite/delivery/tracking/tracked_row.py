"""The durable steps of one row: commit the intent before the call, and every change before reporting it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from bulk_invite.delivery.tracking.committer import Committer
from bulk_invite.delivery.tracking.tally import Tally
from bulk_invite.domain.admissions import ToSend
from bulk_invite.domain.events import Answered, Sent
from bulk_invite.domain.findings import MAY_BE_MISSING, DoubtfulRow, Finding, may_have_left_by
from bulk_invite.domain.matching import engagement_id
from bulk_invite.domain.outcomes import NOT_SENT, Outcome
from bulk_invite.domain.transitions import Transition
from bulk_invite.domain.unfamiliar import UnfamiliarAnswer
from bulk_invite.domain.verdicts import State

_CLOCK_TOLERANCE: Final = 1.0
"""Seconds by which two clocks may differ even if neither was set."""


class TrackedRow:
    """A row in delivery, as last committed. Every method that commits raises CheckpointError if it cannot.

    doubt_since: epoch seconds of the earliest attempt whose outcome is unknown, or None.
    doubtful, throttled, withheld: number of attempts in this run that ended so. probes: doubtful attempts
    while the service was down. unfamiliar: the last unfamiliar answer, if any.
    decided_at: time of the decision on the last attempt, in seconds of a clock that cannot be set.
    state: as last committed. engagement: the id of its engagement, even if the row has the Arn.
    """

    __slots__ = (
        "_attempts",
        "_called_after",
        "_clock",
        "_committer",
        "_elapsed",
        "_event",
        "_last",
        "_left_after",
        "_read_after",
        "_read_at",
        "_sent_at",
        "_tally",
        "decided_at",
        "doubt_since",
        "doubtful",
        "engagement",
        "probes",
        "state",
        "throttled",
        "to_send",
        "unfamiliar",
        "withheld",
    )

    def __init__(
        self,
        to_send: ToSend,
        committer: Committer,
        tally: Tally,
        clock: Callable[[], float],
        elapsed: Callable[[], float],
        call_timeout: float,
    ) -> None:
        self.to_send = to_send
        self.engagement = engagement_id(to_send.invitation.engagement)
        self.doubt_since = to_send.doubt_since
        self.doubtful = 0
        self.probes = 0
        self.throttled = 0
        self.withheld = 0
        self.unfamiliar: UnfamiliarAnswer | None = None
        self.state = State.PENDING if to_send.doubt_since is None else State.IN_DOUBT
        self._attempts = 0
        self._sent_at: float | None = None
        self._last: Transition | None = None
        self._event: Answered | None = None
        self._committer = committer
        self._tally = tally
        self._clock = clock
        self._elapsed = elapsed
        self._read_at, self._read_after = clock(), elapsed()
        sent = to_send.last_sent or to_send.doubt_since or self._read_at
        # If the call itself is missing, `sent` is the latest moment at which it may have left.
        is_missing = to_send.code == MAY_BE_MISSING
        left = min(sent, self._read_at) if is_missing else may_have_left_by(sent, call_timeout, self._read_at)
        # From here on, a clock that cannot be set counts the time.
        self._left_after = self._read_after - (self._read_at - left)
        self._called_after = self.decided_at = self._read_after

    @property
    def body(self) -> bytes:
        return self.to_send.invitation.body

    @property
    def is_from_earlier_run(self) -> bool:
        """Whether this run has committed nothing about it yet."""
        return self._last is None

    @property
    def denial(self) -> Transition | None:
        """The last transition of this run, if it was a denial."""
        return self._last if self._last is not None and self._last.outcome is Outcome.DENIED else None

    def count_doubt(self, *, is_down: bool) -> None:
        """Count an attempt that ended in doubt; while the service is down, as a probe, not as a try."""
        if is_down:
            self.probes += 1
        else:
            self.doubtful += 1

    def age(self) -> float:
        """Seconds in doubt, by the clock that shows more: 0 if not in doubt, infinite if it was set back."""
        if self.doubt_since is None:
            return 0.0
        by_date = self._clock() - self.doubt_since
        by_count = self._elapsed() - self._read_after + self._read_at - self.doubt_since
        # If the clock has been set back, the age is unknown.
        return math.inf if min(by_date, by_count) < -_CLOCK_TOLERANCE else max(by_date, by_count)

    def intent_age(self) -> float:
        """Seconds since the timestamp of the committed intent."""
        return self._elapsed() - self.decided_at

    def doubt(self) -> DoubtfulRow:
        """The row as a look-up needs it; only for a row in doubt."""
        assert self.doubt_since is not None  # noqa: S101 - callers look up only rows in doubt
        invitation, last = self.to_send.invitation, self._last or self.to_send
        return DoubtfulRow(
            invitation.client_token,
            invitation.body_hash,
            invitation.engagement,
            invitation.payload_type,
            self.doubt_since,
            self._clock() - (self._elapsed() - self._left_after),
            last.code,
            last.errors,
            self.denial is not None,
            invitation.body,
        )

    async def commit_intent(self) -> float:
        """Commit that an attempt is about to leave; return its time in epoch seconds."""
        at, self.decided_at = self._clock(), self._elapsed()
        self._sent_at = at
        await self._committer.commit(Sent(self.to_send.invitation.client_token, at))
        self._tally.sent(self.to_send, self.state, at)
        self._called_after = self._elapsed()
        self.state = State.IN_DOUBT
        self._attempts += 1
        return at

    async def commit_answer(self, transition: Transition, *, request_id: str = "") -> Transition:
        """Commit the state after an attempt, even during an abort; return the transition that was committed.

        If another row already has the Id, that is a transition to doubt.
        """
        seconds = self._elapsed() - self._called_after
        so = await self._commit(transition, request_id=request_id, seconds=seconds)
        if transition.outcome not in NOT_SENT:
            self._left_after = self._elapsed()  # the service may have processed the call at the last moment
        self._attempts -= not transition.counted
        self._tally.came_back()
        return so

    async def settle(self, transition: Transition, finding: Finding | None = None) -> Transition:
        """Commit a change without an attempt, such as after a look-up; return the transition committed."""
        return await self._commit(replace(transition, counted=True), finding=finding)

    async def _commit(
        self,
        transition: Transition,
        *,
        request_id: str = "",
        finding: Finding | None = None,
        seconds: float | None = None,
    ) -> Transition:
        since = self._sent_at if self.doubt_since is None else self.doubt_since
        event = transition.event(
            self.to_send.invitation.client_token,
            self._clock(),
            request_id=request_id,
            finding=finding,
            since=since,
        )
        is_so = await self._committer.commit(event)
        if not is_so:
            transition = transition.with_id_of_another(since, looked_up=finding is not None)
        written = event if is_so else event.instead or event
        self._tally.answered(self.to_send, self.state, written, seconds)
        self.state = written.state
        self.doubt_since = written.doubt_since
        self._last, self._event = transition, written
        return transition

    def end(self) -> None:
        """Report the row, as last committed, as finished in this run."""
        assert self._event is not None  # noqa: S101 - only a committed row can end
        self._tally.ended(self.to_send, self._event, attempts=self._attempts)
