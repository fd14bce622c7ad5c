"""Rows in doubt, invitations as the service shows them, and the results of comparing the two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from bulk_invite.domain.rows import RowError


@dataclass(frozen=True, slots=True)
class DoubtfulRow:
    """What is known of a row in doubt. Times are epoch seconds.

    doubt_since: the earliest attempt whose outcome is unknown. last_sent: when the latest attempt of all may
    have left. code: the answer to the last attempt, "" if there was none; errors: as the service named them.
    is_denied: that answer was a denial of this row, not of the sender. body: the request as sent (canonical
    JSON), or None if the row's source is unavailable.
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
"""Code of a row that may have been sent by a call missing from the checkpoint."""

LATE: Final = 60.0
"""Seconds after the intent's timestamp within which a call may still leave, to allow for a slow disk."""


def may_have_left_by(last_sent: float, call_timeout: float, gone: float) -> float:
    """Return the latest moment at which the last attempt of a terminated program may have left its machine.

    last_sent: timestamp of that attempt's intent. gone: when the program was known to have terminated. All
    times are epoch seconds; the call timeout is in seconds.
    """
    return min(last_sent + LATE + call_timeout, gone)


@dataclass(frozen=True, slots=True)
class SettledRow:
    """A row whose invitation is known."""

    client_token: str
    invitation_id: str


@dataclass(frozen=True, slots=True)
class Listed:
    """An invitation as ListEngagementInvitations shows it; a missing member is "" or None.

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
    """A page of a list; `next_token` is "" on the last one. date: the service's clock, or None."""

    invitations: tuple[Listed, ...]
    next_token: str
    date: float | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """Everything that the lists show for some engagements. date: as in `Page`."""

    invitations: tuple[Listed, ...]
    date: float | None = None


@dataclass(frozen=True, slots=True)
class Content:
    """The request as GetEngagementInvitation shows it: sensitive."""

    message: str = field(repr=False)
    receiver: Mapping[str, Any] = field(repr=False)
    payload: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Found:
    """Exactly one invitation matches the row. listed: number of invitations of its engagement."""

    invitation: Listed
    listed: int


@dataclass(frozen=True, slots=True)
class Absent:
    """The row was not created: it would be listed by now. seconds: time since its last attempt."""

    listed: int
    seconds: float


@dataclass(frozen=True, slots=True)
class TooEarly:
    """The row is not listed yet. seconds: time until its absence proves something."""

    listed: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Unclear:
    """The evidence does not allow a conclusion.

    code: why. invitations: Ids that may match the row. rows: tokens of other rows that they may match.
    """

    code: str
    invitations: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()


Finding = Found | Absent | TooEarly | Unclear
"""The result of looking up a row."""
