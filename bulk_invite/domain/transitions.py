"""The state of a row after an attempt or a look-up, as it is committed. Pure.

`next_step` decides what happens next to the row.

Invariants: only an Id or a look-up ends doubt. A refusal leaves a row in doubt, since it concerns only its
own attempt: a conflict or a full engagement may result from an earlier attempt that arrived, and the cause of
any other refusal may have arisen in between. Such a row is looked up.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import assert_never

from bulk_invite.domain.classify import FULL, ID_OF_ANOTHER, NOES, REFUSALS, is_unfamiliar
from bulk_invite.domain.errors import BulkInviteError, PermissionDeniedError, SenderError
from bulk_invite.domain.events import Answered
from bulk_invite.domain.findings import MAY_BE_MISSING, Absent, DoubtfulRow, Finding, Found, TooEarly, Unclear
from bulk_invite.domain.outcomes import Outcome
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


@dataclass(frozen=True, slots=True)
class Transition:
    """The new state of a row.

    stops_run: the sender is refused, not the row. fault: why, if that was found before a byte left. Other
    fields as in `events.Answered`.
    """

    state: State
    outcome: Outcome
    code: str = ""
    doubt_since: float | None = None
    counted: bool = True
    invitation_id: str = ""
    arn: str = ""
    errors: tuple[RowError, ...] = ()
    stops_run: bool = False
    fault: Fault | None = None

    @classmethod
    def deferred(cls) -> Transition:
        """The transition of a row that is not sent because its engagement is full.

        It has the code of the rows whose calls have shown that: one cause has one code.
        """
        return cls(State.DEFERRED, Outcome.SET_ASIDE, FULL)

    def unless_in_doubt(self, since: float | None) -> Transition:
        """This refusal, if the row was not in doubt; otherwise the row stays in doubt and is looked up."""
        return self if since is None else replace(self, state=State.IN_DOUBT, doubt_since=since)

    def failed(self) -> Transition:
        """This denial, now known to concern the row: it fails."""
        return replace(self, state=State.FAILED)

    @classmethod
    def with_id_of_another(cls, since: float | None, *, looked_up: bool) -> Transition:
        """The transition of a row answered with the Id of another row, which proves nothing about this one.

        since: epoch seconds from which the row is then in doubt.
        """
        return cls(State.IN_DOUBT, Outcome.UNCLEAR if looked_up else Outcome.DOUBTFUL, ID_OF_ANOTHER, since)

    def event(
        self,
        client_token: str,
        at: float,
        *,
        since: float | None,
        request_id: str = "",
        finding: Finding | None = None,
    ) -> Answered:
        """The event to commit; `at` in epoch seconds. since: as in `with_id_of_another`."""
        instead = None
        if self.invitation_id:
            unclear = None if finding is None else Unclear(ID_OF_ANOTHER, (self.invitation_id,))
            of_another = self.with_id_of_another(since, looked_up=finding is not None)
            instead = _event(of_another, client_token, at, request_id, unclear)
        return _event(self, client_token, at, request_id, finding, instead)


def _event(
    so: Transition,
    client_token: str,
    at: float,
    request_id: str,
    finding: Finding | None,
    instead: Answered | None = None,
) -> Answered:
    return Answered(
        client_token,
        at=at,
        state=so.state,
        outcome=so.outcome,
        code=so.code,
        request_id=request_id,
        invitation_id=so.invitation_id,
        arn=so.arn,
        errors=so.errors,
        doubt_since=so.doubt_since,
        counted=so.counted,
        finding=finding,
        instead=instead,
    )


def after_answer(  # noqa: C901, PLR0911 - one arm per verdict, each without branches
    verdict: Verdict, *, doubt_since: float | None, sent_at: float
) -> Transition:
    """The row after an attempt that left at `sent_at`.

    doubt_since: epoch seconds of an earlier attempt of unknown outcome, or None.
    """
    # If this attempt changed nothing, the row keeps its state.
    as_before = State.PENDING if doubt_since is None else State.IN_DOUBT
    match verdict:
        case Created(invitation_id, arn):
            return Transition(State.CREATED, Outcome.CREATED, invitation_id=invitation_id, arn=arn)
        case Throttled(code):
            return Transition(as_before, Outcome.THROTTLED, code, doubt_since)
        case Unreachable(code):
            return Transition(as_before, Outcome.UNREACHABLE, code, doubt_since, counted=False)
        case Withheld(code):
            return Transition(as_before, Outcome.WITHHELD, code, doubt_since, counted=False)
        case Doubtful(code) | Unknown(code):
            since = sent_at if doubt_since is None else doubt_since
            return Transition(State.IN_DOUBT, verdict.outcome, code, since)
        case EngagementFull(code):
            return Transition(State.DEFERRED, Outcome.ENGAGEMENT_FULL, code).unless_in_doubt(doubt_since)
        case Conflict(code):
            return Transition(State.FAILED, Outcome.CONFLICT, code).unless_in_doubt(doubt_since)
        case Refused(code, errors):
            refused = Transition(State.FAILED, Outcome.REFUSED, code, errors=errors)
            return refused.unless_in_doubt(doubt_since)
        case Denied(code, whole_account):
            return Transition(
                as_before,
                Outcome.DENIED,
                code,
                doubt_since,
                counted=not whole_account,
                stops_run=whole_account,
            )
        case SenderRefused(code, fault):
            return Transition(
                as_before,
                Outcome.SENDER_REFUSED,
                code,
                doubt_since,
                counted=False,
                stops_run=True,
                fault=fault,
            )
        case _:  # pragma: no cover
            assert_never(verdict)


def after_look_up(finding: Finding, row: DoubtfulRow) -> Transition:
    """The row after a look-up.

    If the last attempt was refused, absence proves that no earlier attempt succeeded.
    """
    match finding:
        case Found(invitation):
            return Transition(
                State.CREATED, Outcome.FOUND, invitation_id=invitation.invitation_id, arn=invitation.arn
            )
        case Absent() if row.code in REFUSALS or row.is_denied:
            return Transition(State.FAILED, Outcome.ABSENT, row.code, errors=row.errors)
        case Absent() if row.code == FULL:
            return Transition(State.DEFERRED, Outcome.ABSENT, row.code)
        case Absent():
            return Transition(State.PENDING, Outcome.ABSENT)
        case TooEarly():
            return Transition(State.IN_DOUBT, Outcome.TOO_EARLY, row.code, row.doubt_since, errors=row.errors)
        case Unclear(why):
            # A later look-up depends on the answer; the evidence records `why`.
            is_kept = row.code in NOES | {MAY_BE_MISSING, ID_OF_ANOTHER} or is_unfamiliar(row.code)
            code = row.code if is_kept else why
            return Transition(State.IN_DOUBT, Outcome.UNCLEAR, code, row.doubt_since, errors=row.errors)
        case _:  # pragma: no cover
            assert_never(finding)


def reason_to_stop(transition: Transition) -> BulkInviteError:
    """The error that ends a run after this transition, with a hint for the operator."""
    if transition.fault is not None:
        return transition.fault.error()
    if transition.outcome == Outcome.DENIED:
        return PermissionDeniedError(
            f"The service keeps denying calls: {transition.code}.",
            hint="Either the account has no permission to send (grant it "
            "partnercentral:CreateEngagementInvitation for this catalog), or it is not a member of the "
            "engagements of these rows (put other rows first). Then run the same command again; the denied "
            "rows are still pending.",
        )
    return SenderError(
        f"The service rejects the sender: {transition.code}.",
        hint="Renew the credentials (or correct the clock) and run the same command again; "
        "no row was touched.",
    )
