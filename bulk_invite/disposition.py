"""What becomes of a row after an attempt: its new state, and what is done with it next. Pure.

Invariants: only an Id takes doubt away. A ConflictException or a full engagement leaves a row in doubt, for
it may be the very consequence of the attempt that is. Other refusals fail the row, because its earlier
attempt was the same request by the same sender; but the date of the doubt is kept, so that a row that is to
be sent again in spite of that is not sent past the life of its token.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, assert_never

from bulk_invite.errors import BulkInviteError, SenderError, UnknownAnswerError
from bulk_invite.invitation import RowError
from bulk_invite.outcome import (
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
)

TOO_OLD: Final = "TokenLifetimeOver"
"""Code of a row that stays in doubt because its token may be forgotten by now."""


class Next(Enum):
    """What is done with the row now."""

    DONE = "done"
    AGAIN = "again"
    AGAIN_WHEN_REACHABLE = "again_when_reachable"
    SET_ENGAGEMENT_ASIDE = "set_engagement_aside"
    HOLD = "hold"
    STOP_RUN = "stop_run"


@dataclass(frozen=True, slots=True)
class Disposition:
    """`outcome` is the word for the log; the rest as in `journal.Answered`."""

    state: State
    next: Next
    outcome: str
    code: str = ""
    doubt_since: float | None = None
    counted: bool = True
    invitation_id: str = ""
    arn: str = ""
    errors: tuple[RowError, ...] = ()

    @property
    def is_end(self) -> bool:
        """Whether this run is done with the row."""
        return self.next is Next.DONE

    @classmethod
    def set_aside(cls) -> Disposition:
        """For a row that is not sent because its engagement is full."""
        return cls(State.DEFERRED, Next.SET_ENGAGEMENT_ASIDE, "set_aside", "EngagementFull")

    def failed(self) -> Disposition:
        """The same, where a denial turns out to be the row's."""
        return replace(self, state=State.FAILED, next=Next.DONE)


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
        case Doubtful(code):
            step = Next.AGAIN if tries_left > 0 else Next.DONE
            since = sent_at if doubt_since is None else doubt_since
            return Disposition(State.IN_DOUBT, step, "doubtful", code, since)
        case EngagementFull(code):
            state = State.DEFERRED if doubt_since is None else State.IN_DOUBT
            step = Next.SET_ENGAGEMENT_ASIDE if doubt_since is None else Next.DONE
            return Disposition(state, step, "engagement_full", code, doubt_since)
        case Conflict(code):
            state = State.FAILED if doubt_since is None else State.IN_DOUBT
            return Disposition(state, Next.DONE, "conflict", code, doubt_since)
        case Refused(code, errors):
            return Disposition(State.FAILED, Next.DONE, "refused", code, doubt_since, errors=errors)
        case Denied(code):
            return Disposition(as_before, Next.HOLD, "denied", code, doubt_since)
        case SenderRefused(code):
            return Disposition(as_before, Next.STOP_RUN, "sender_refused", code, doubt_since, counted=False)
        case Unknown(code):
            since = sent_at if doubt_since is None else doubt_since
            return Disposition(State.IN_DOUBT, Next.STOP_RUN, "unknown", code, since)
        case _:  # pragma: no cover
            assert_never(verdict)


def reason_to_stop(disposition: Disposition) -> BulkInviteError:
    """Why a run ends over an answer, as a sentence for the operator."""
    code = disposition.code
    match disposition.outcome:
        case "sender_refused":
            return SenderError(
                f"The service does not accept the sender: {code}.",
                hint="Renew the credentials (or set the clock right) and run the same command again; "
                "no row was touched.",
            )
        case "denied":
            return SenderError(
                f"The service has denied every call so far: {code}.",
                hint="Either the account may not send at all (allow it "
                "partnercentral:CreateEngagementInvitation for this catalog), or it is no member of the "
                "engagements of these rows (put others first). Then run the same command again; the denied "
                "rows are still pending.",
            )
        case _:
            return UnknownAnswerError(
                f"The service answered with something this program does not know: {code}.",
                hint="Check the endpoint and any proxy before it; the row is in doubt and is sent again "
                "with the same token by the same command.",
            )


class PermissionGuard:
    """Tells a row that is not allowed from a sender that is not allowed.

    AccessDeniedException is said of both. While nothing was ever created and every answer so far was a
    denial, denied rows are held. When a few engagements were denied, or one of them many times, or when the
    run ends with a few rows held, the sender is to blame and no row is burnt.
    """

    FEW: Final = 5
    _MANY: Final = 20
    """More rows than one engagement takes: sources are often sorted by engagement."""

    def __init__(self, *, proven: bool) -> None:
        self._proven = proven
        self._denials = 0
        self._engagements: set[str] = set()

    @property
    def proven(self) -> bool:
        """Whether the sender is known to be allowed to send."""
        return self._proven

    def judge(self, verdict: Verdict, disposition: Disposition, engagement: str) -> Disposition:
        """Say whose denial it is; anything but a denial passes through, and may prove the sender."""
        if not isinstance(verdict, Denied):
            # Any judgement of the row itself shows that the sender got past the permission.
            self._proven = self._proven or isinstance(verdict, Created | Refused | Conflict | EngagementFull)
            return disposition
        if verdict.whole_account:
            return replace(disposition, next=Next.STOP_RUN, counted=False)
        if self._proven:
            return disposition.failed()
        self._denials += 1
        self._engagements.add(engagement)
        if len(self._engagements) >= self.FEW or self._denials >= self._MANY:
            return replace(disposition, next=Next.STOP_RUN, counted=False)
        return disposition
