"""A row of unknown fate, what the service shows of invitations, and what was found out by comparing them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from bulk_invite.domain.rows import RowError


@dataclass(frozen=True, slots=True)
class DoubtfulRow:
    """A row in doubt, as far as it is known. Times in epoch seconds.

    doubt_since: the earliest attempt of unknown fate; last_sent: when the latest one of all may have left.
    code: what the last attempt was answered with, "" where there was no answer; errors: as the service named
    them. is_denied: that was a denial, and turned out to be the row's.
    body: the request that was sent (canonical JSON); None where the row's source is not at hand.
    """

    client_token: str
    body_hash: str
    engagement: str
    payload_type: str
    doubt_since: float
    last_sent: float
    code: str = ""
    errors: tuple[RowError, ...] = ()
    is_denied: bool = False
    body: bytes | None = field(default=None, repr=False)


MAY_BE_MISSING: Final = "OlderCheckpoint"
"""Code of a row that may have been called by what the checkpoint lacks: nothing of a call is known."""

LATE: Final = 60.0
"""Seconds by which a call may leave after its intent was dated: the disk was slow. Later it does not."""


def may_have_left_by(last_sent: float, call_timeout: float, gone: float) -> float:
    """The latest moment at which the last attempt of a program that is gone may have left its machine.

    last_sent: when that attempt's intent was dated; gone: when nothing of the program was left. All times in
    epoch seconds, the time-out of a call in seconds.
    """
    return min(last_sent + LATE + call_timeout, gone)


@dataclass(frozen=True, slots=True)
class SettledRow:
    """A row whose invitation is known."""

    client_token: str
    invitation_id: str


@dataclass(frozen=True, slots=True)
class Listed:
    """An invitation as ListEngagementInvitations shows it; a member that it did not show is "" or None.

    engagement: its id, never its Arn. receiver: the account, sensitive. invited_at: epoch seconds.
    """

    invitation_id: str
    arn: str
    engagement: str
    payload_type: str
    receiver: str = field(repr=False)
    invited_at: float | None


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a list; `next_token` "" on the last one. date: the service's clock, None where not told."""

    invitations: tuple[Listed, ...]
    next_token: str
    date: float | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """All that lists show of some engagements. date: as that of a page."""

    invitations: tuple[Listed, ...]
    date: float | None = None


@dataclass(frozen=True, slots=True)
class Content:
    """What GetEngagementInvitation shows of what was asked for, in the request's words: sensitive."""

    message: str = field(repr=False)
    receiver: Mapping[str, Any] = field(repr=False)
    payload: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Found:
    """The row has arrived: exactly one invitation is it. listed: how many its engagement has in all."""

    invitation: Listed
    listed: int


@dataclass(frozen=True, slots=True)
class Absent:
    """The row has not arrived, and would be listed by now. seconds: how long after its last attempt."""

    listed: int
    seconds: float


@dataclass(frozen=True, slots=True)
class TooEarly:
    """The row is not listed, but may be yet. seconds: until that would say something."""

    listed: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Unclear:
    """Nothing that would not be a guess.

    code: why. invitations: Ids of those that may be it; rows: tokens of others that they may belong to.
    """

    code: str
    invitations: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()


Finding = Found | Absent | TooEarly | Unclear
"""What looking a row up came to."""
