"""What an answer teaches the run, and what it makes of its row."""

from __future__ import annotations

import structlog

from bulk_invite.delivery.sending.circuit_breaker import Outage
from bulk_invite.delivery.sending.full_engagements import Engagements
from bulk_invite.delivery.sending.permits import Patience
from bulk_invite.delivery.tracking.tracked_row import Life
from bulk_invite.domain.classify import ID_OF_ANOTHER
from bulk_invite.domain.denials import PermissionGuard
from bulk_invite.domain.transitions import Disposition, dispose
from bulk_invite.domain.unfamiliar import UnfamiliarGuard
from bulk_invite.domain.verdicts import (
    Answer,
    Created,
    Doubtful,
    EngagementFull,
    HttpAnswer,
    Unknown,
    Unreachable,
    Verdict,
)
from bulk_invite.pacing.pacer import Pacer
from bulk_invite.pacing.parking import Why

_log = structlog.get_logger()


class Hearing:
    """Hears every answer once it is classified.

    is_last_round: rows that were set aside are tried once more.
    """

    def __init__(
        self,
        pacer: Pacer,
        outage: Outage,
        engagements: Engagements,
        guard: PermissionGuard,
        patience: Patience,
    ) -> None:
        self.is_last_round = False
        self._pacer = pacer
        self._outage = outage
        self._engagements = engagements
        self._guard = guard
        self._patience = patience
        self._unfamiliar = UnfamiliarGuard()

    async def take_down(
        self, life: Life, answer: Answer, verdict: Verdict, sent_at: float
    ) -> tuple[Verdict, Disposition]:
        """Commit what the row is by its answer, and return what that is. Raises CheckpointError."""
        disposition = self.judge(life, verdict, sent_at)
        request_id = answer.request_id if isinstance(answer, HttpAnswer) else ""
        is_so = await life.answered(disposition, request_id=request_id)
        if isinstance(verdict, Created):
            verdict = verdict if is_so else Doubtful(ID_OF_ANOTHER)
            disposition = self._heeded(life, verdict, self._disposed(life, verdict, sent_at))
            self.note(life, answer, verdict)
        return verdict, disposition

    def judge(self, life: Life, verdict: Verdict, sent_at: float) -> Disposition:
        """What to make of a row; a Created proves nothing yet, for its Id may be another row's."""
        disposition = self._disposed(life, verdict, sent_at)
        return disposition if isinstance(verdict, Created) else self._heeded(life, verdict, disposition)

    def _disposed(self, life: Life, verdict: Verdict, sent_at: float) -> Disposition:
        # Before everybody waited the row may have tried in vain for long: that is not held against it.
        tried = life.probes if self._outage.is_on else life.doubtful
        tries_left = self._patience.tries - tried - 1
        return dispose(verdict, doubt_since=life.doubt_since, sent_at=sent_at, tries_left=tries_left)

    def _heeded(self, life: Life, verdict: Verdict, disposition: Disposition) -> Disposition:
        disposition, life.strange = self._unfamiliar.judge(verdict, disposition, life.strange)
        return self._guard.judge(verdict, disposition, life.engagement)

    def note(self, life: Life, answer: Answer, verdict: Verdict) -> None:
        """Learn whether the service is there and which engagements are full; park where it is the account.

        A Created is noted only when its Id is known to be the row's.
        """
        match verdict:
            case Unreachable():
                return
            case Doubtful():
                self._outage.doubtful(life)
                return
            case Unknown():
                self._tell(life, answer, verdict)
                self._outage.doubtful(life)
                return
            case Created():
                self._engagements.invited(life.engagement)
            case EngagementFull():
                self._note_full(life)
            case _:
                pass
        self._outage.answered()

    def _tell(self, life: Life, answer: Answer, verdict: Unknown) -> None:
        """What came, never its text."""
        came = (
            {"length": answer.length, "request_id": answer.request_id}
            if isinstance(answer, HttpAnswer)
            else {}
        )
        _log.warning(
            "response.unrecognized",
            position=str(life.to_send.invitation.position),
            code=verdict.code,
            **{name: value for name, value in came.items() if value not in {None, ""}},
        )

    def _note_full(self, life: Life) -> None:
        self._engagements.refused(life.engagement, expected=life.to_send.deferred)
        if not self._engagements.is_account_full:
            return
        if self.is_last_round:
            self._engagements.give_up()
        else:
            self._pacer.close(Why.ACCOUNT_FULL)
