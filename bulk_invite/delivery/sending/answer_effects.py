"""Effects of an answer on the run: pacing, circuit breaker, full engagements, and who is to blame."""

from __future__ import annotations

import structlog

from bulk_invite.delivery.sending.circuit_breaker import CircuitBreaker
from bulk_invite.delivery.tracking.tracked_row import TrackedRow
from bulk_invite.domain.classify import signal
from bulk_invite.domain.denials import PermissionGuard
from bulk_invite.domain.full_engagements import FullEngagements
from bulk_invite.domain.outcomes import NOT_COUNTED
from bulk_invite.domain.rows import row_fields
from bulk_invite.domain.unfamiliar import UnfamiliarGuard
from bulk_invite.domain.verdicts import (
    Answer,
    Created,
    Doubtful,
    EngagementFull,
    HttpAnswer,
    Throttled,
    Unknown,
    Unreachable,
    Verdict,
)
from bulk_invite.pacing.pacer import Pacer
from bulk_invite.pacing.parking import Permit, Why

_log = structlog.get_logger()


class AnswerEffects:
    """Applies answers to the run."""

    def __init__(
        self, pacer: Pacer, breaker: CircuitBreaker, engagements: FullEngagements, guard: PermissionGuard
    ) -> None:
        self._pacer = pacer
        self._breaker = breaker
        self._engagements = engagements
        self._guard = guard
        self._unfamiliar = UnfamiliarGuard()

    def pace(self, permit: Permit, verdict: Verdict, began: float) -> None:
        """Report a call to the pacing. began: by the clock of the pacer."""
        self._pacer.observe(
            permit,
            signal(verdict),
            sent_at=began,
            counted=verdict.outcome not in NOT_COUNTED,
            retry_after=verdict.retry_after if isinstance(verdict, Throttled) else None,
        )

    def learn(self, row: TrackedRow, answer: Answer, verdict: Verdict) -> Verdict:
        """Apply an answer; return its verdict, which tells denials of the row from denials of the sender.

        Pass a Created only once its Id is known to belong to the row.
        """
        match verdict:
            case Unreachable():
                pass
            case Doubtful():
                self._breaker.doubtful(row)
            case Unknown():
                self._warn(row, answer, verdict)
                self._breaker.doubtful(row)
            case _:
                self._note_room(row, verdict)
                self._breaker.answered()
        row.unfamiliar = self._unfamiliar.judge(verdict, row.unfamiliar)
        return self._guard.judge(verdict, row.engagement, row.decided_at)

    def _warn(self, row: TrackedRow, answer: Answer, verdict: Unknown) -> None:
        """Log the code and length of an unrecognized answer, never its text."""
        came = (
            {"length": answer.length, "request_id": answer.request_id}
            if isinstance(answer, HttpAnswer)
            else {}
        )
        _log.warning(
            "response.unrecognized",
            **row_fields(row.to_send.invitation.position, row.to_send.invitation.label),
            code=verdict.code,
            **{name: value for name, value in came.items() if value not in {None, ""}},
        )

    def _note_room(self, row: TrackedRow, verdict: Verdict) -> None:
        if isinstance(verdict, Created):
            self._engagements.note_created(row.engagement)
            # The call may have left before the park, so that it is no probe.
            self._pacer.reopen(Why.ACCOUNT_FULL)
        elif isinstance(verdict, EngagementFull):
            self._engagements.note_full(row.engagement)
