"""What becomes of a row after an attempt or a look-up: its new state, and what is done with it next. Pure.

Invariants: only an Id or a look-up takes doubt away. A no leaves a row in doubt, for it speaks of its own
attempt only: a conflict or a full engagement may be the very consequence of an earlier one that arrived, and
what made any other no may have come up in between. Such a row is looked up.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import assert_never

from bulk_invite.domain.classify import FULL, ID_OF_ANOTHER, NOES, REFUSALS, is_unfamiliar
from bulk_invite.domain.errors import BulkInviteError, SenderError
from bulk_invite.domain.events import Answered
from bulk_invite.domain.findings import MAY_BE_MISSING, Absent, DoubtfulRow, Finding, Found, TooEarly, Unclear
from bulk_invite.domain.rows import RowError
from bulk_invite.domain.sender_fault import Fault
from bulk_invite.domain.verdicts import (
    Conflict,
    Created,
    Denied,
    Doubtful,
    EngagementFull,
    Refused,
    SenderRefused,
    State,
    Throttled,
    Unknown,
    Unreachable,
    Verdict,
    Withheld,
)


class Next(Enum):
    """What is done with the row now."""

    DONE = "done"
    AGAIN = "again"
    AGAIN_WHEN_REACHABLE = "again_when_reachable"
    SET_ENGAGEMENT_ASIDE = "set_engagement_aside"
    LOOK_UP = "look_up"
    LOOK_UP_LATER = "look_up_later"
    HOLD = "hold"
    STOP_RUN = "stop_run"


@dataclass(frozen=True, slots=True)
class Disposition:
    """`outcome` is the word for the log, `fault` why a run ends; the rest as in `journal.Answered`."""

    state: State
    next: Next
    outcome: str
    code: str = ""
    doubt_since: float | None = None
    counted: bool = True
    invitation_id: str = ""
    arn: str = ""
    errors: tuple[RowError, ...] = ()
    fault: Fault | None = None

    @property
    def is_end(self) -> bool:
        """Whether this run is done with the row."""
        return self.next is Next.DONE

    def answer(
        self,
        client_token: str,
        at: float,
        *,
        since: float | None,
        request_id: str = "",
        finding: Finding | None = None,
    ) -> Answered:
        """What the checkpoint is told of it; `at` in epoch seconds.

        since: from when on the row is in doubt if its Id turns out to be another row's.
        """
        answered = Answered(
            client_token,
            at=at,
            state=self.state,
            outcome=self.outcome,
            code=self.code,
            request_id=request_id,
            invitation_id=self.invitation_id,
            arn=self.arn,
            errors=self.errors,
            doubt_since=self.doubt_since,
            counted=self.counted,
            finding=finding,
        )
        return replace(answered, instead=_of_another(answered, since)) if self.invitation_id else answered

    @classmethod
    def set_aside(cls) -> Disposition:
        """For a row that is not sent because its engagement is full."""
        return cls(State.DEFERRED, Next.SET_ENGAGEMENT_ASIDE, "set_aside", "EngagementFull")

    def left(self) -> Disposition:
        """The same, where this run does no more about it."""
        return replace(self, next=Next.DONE)

    def unless_in_doubt(self, since: float | None) -> Disposition:
        """The same, where a no is all that is known; a row in doubt is looked up."""
        if since is None:
            return self
        return replace(self, state=State.IN_DOUBT, next=Next.LOOK_UP, doubt_since=since)

    def failed(self) -> Disposition:
        """The same, where a denial turns out to be the row's."""
        return replace(self, state=State.FAILED, next=Next.DONE)


def _of_another(answered: Answered, since: float | None) -> Answered:
    """What is so where the Id is another row's: it says nothing of this one."""
    finding = None if answered.finding is None else Unclear(ID_OF_ANOTHER, (answered.invitation_id,))
    return replace(
        answered,
        state=State.IN_DOUBT,
        outcome="doubtful" if finding is None else "unclear",
        code=ID_OF_ANOTHER,
        invitation_id="",
        arn="",
        doubt_since=since,
        finding=finding,
    )


def dispose(  # noqa: C901, PLR0911 - one arm for each verdict, none with a branch of its own
    verdict: Verdict, *, doubt_since: float | None, sent_at: float, tries_left: int
) -> Disposition:
    """Decide on a row whose attempt left at `sent_at`.

    doubt_since: epoch seconds of an earlier attempt of unknown fate, or None.
    tries_left: how many more doubtful endings this run puts up with for the row.
    """
    # Where this attempt changed nothing, the row is as it was before it.
    as_before = State.PENDING if doubt_since is None else State.IN_DOUBT
    match verdict:
        case Created(invitation_id, arn):
            return Disposition(State.CREATED, Next.DONE, "created", invitation_id=invitation_id, arn=arn)
        case Throttled(code):
            return Disposition(as_before, Next.AGAIN, "throttled", code, doubt_since)
        case Unreachable(code):
            return Disposition(
                as_before, Next.AGAIN_WHEN_REACHABLE, "unreachable", code, doubt_since, counted=False
            )
        case Withheld(code):
            return Disposition(as_before, Next.AGAIN, "withheld", code, doubt_since, counted=False)
        case Doubtful(code) | Unknown(code):
            outcome = "unknown" if isinstance(verdict, Unknown) else "doubtful"
            step = Next.AGAIN if tries_left > 0 else Next.LOOK_UP
            since = sent_at if doubt_since is None else doubt_since
            return Disposition(State.IN_DOUBT, step, outcome, code, since)
        case EngagementFull(code):
            full = Disposition(State.DEFERRED, Next.SET_ENGAGEMENT_ASIDE, "engagement_full", code)
            return full.unless_in_doubt(doubt_since)
        case Conflict(code):
            return Disposition(State.FAILED, Next.DONE, "conflict", code).unless_in_doubt(doubt_since)
        case Refused(code, errors):
            refused = Disposition(State.FAILED, Next.DONE, "refused", code, errors=errors)
            return refused.unless_in_doubt(doubt_since)
        case Denied(code):
            return Disposition(as_before, Next.HOLD, "denied", code, doubt_since)
        case SenderRefused(code, fault):
            return Disposition(
                as_before, Next.STOP_RUN, "sender_refused", code, doubt_since, counted=False, fault=fault
            )
        case _:  # pragma: no cover
            assert_never(verdict)


def resolve(finding: Finding, row: DoubtfulRow) -> Disposition:
    """Decide on a row that was looked up.

    Where its last attempt was answered with a no, absence says that no attempt before was a yes.
    """
    match finding:
        case Found(invitation):
            return Disposition(
                State.CREATED,
                Next.DONE,
                "found",
                invitation_id=invitation.invitation_id,
                arn=invitation.arn,
            )
        case Absent() if row.code in REFUSALS or row.is_denied:
            return Disposition(State.FAILED, Next.DONE, "absent", row.code, errors=row.errors)
        case Absent() if row.code == FULL:
            return Disposition(State.DEFERRED, Next.SET_ENGAGEMENT_ASIDE, "absent", row.code)
        case Absent():
            return Disposition(State.PENDING, Next.AGAIN, "absent")
        case TooEarly():
            return Disposition(
                State.IN_DOUBT, Next.LOOK_UP_LATER, "too_early", row.code, row.doubt_since, errors=row.errors
            )
        case Unclear(why):
            # What it was answered with decides when it can be told; the evidence has the other.
            is_kept = row.code in NOES | {MAY_BE_MISSING, ID_OF_ANOTHER} or is_unfamiliar(row.code)
            code = row.code if is_kept else why
            return Disposition(State.IN_DOUBT, Next.DONE, "unclear", code, row.doubt_since, errors=row.errors)
        case _:  # pragma: no cover
            assert_never(finding)


def reason_to_stop(disposition: Disposition) -> BulkInviteError:
    """Why a run ends over an answer, as a sentence for the operator."""
    if disposition.fault is not None:
        return disposition.fault.error()
    if disposition.outcome == "denied":
        return SenderError(
            f"The service denies one call after the other: {disposition.code}.",
            hint="Either the account may not send at all, or not any more (allow it "
            "partnercentral:CreateEngagementInvitation for this catalog), or it is no member of the "
            "engagements of these rows (put others first). Then run the same command again; the denied "
            "rows are still pending.",
        )
    return SenderError(
        f"The service does not accept the sender: {disposition.code}.",
        hint="Renew the credentials (or set the clock right) and run the same command again; "
        "no row was touched.",
    )
