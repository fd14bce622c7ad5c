"""What the checkpoint says of a row that a source has: to be sent, settled, or here before."""

from __future__ import annotations

from dataclasses import dataclass

from bulk_invite.domain.rows import Invitation, Position, Rejection, Row, RowError
from bulk_invite.domain.verdicts import State


@dataclass(frozen=True, slots=True)
class ToSend:
    """A row that this run has to send.

    doubt_since: epoch seconds of an earlier attempt of unknown fate; last_sent: of the latest attempt of all.
    code, errors: what that was answered with.
    deferred: an earlier run found its engagement full.
    """

    invitation: Invitation
    doubt_since: float | None = None
    last_sent: float | None = None
    code: str = ""
    errors: tuple[RowError, ...] = ()
    deferred: bool = False


@dataclass(frozen=True, slots=True)
class AlreadySettled:
    """A row that an earlier run brought to its end: `CREATED` or `FAILED`."""

    invitation: Invitation
    state: State
    invitation_id: str
    arn: str
    code: str
    errors: tuple[RowError, ...]


@dataclass(frozen=True, slots=True)
class Arrived:
    """A row with an invitation that an earlier run has read, and this one does not read again."""

    position: Position
    client_token: str
    engagement: str
    invitation_id: str
    arn: str


@dataclass(frozen=True, slots=True)
class Duplicate:
    """The same token with the same body once more in this run."""

    invitation: Invitation


@dataclass(frozen=True, slots=True)
class SeenAgain:
    """A row that this run has read before, where a source is followed: it is on its way, or settled."""

    row: Row


Admission = ToSend | AlreadySettled | Duplicate | SeenAgain | Rejection
"""What the checkpoint says of a validated row."""
