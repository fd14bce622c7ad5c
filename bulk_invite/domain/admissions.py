"""How the checkpoint classifies a row of a source: to send, already settled, or seen before."""

from __future__ import annotations

from dataclasses import dataclass

from bulk_invite.domain.rows import Invitation, Position, Rejection, Row, RowError
from bulk_invite.domain.same_receiver import Twin
from bulk_invite.domain.verdicts import State


@dataclass(frozen=True, slots=True)
class ToSend:
    """A row that this run must send.

    doubt_since: epoch seconds of the earliest attempt whose outcome is unknown. last_sent: epoch seconds of
    the latest attempt. code, errors: the answer to that attempt. deferred: an earlier run found the row's
    engagement full. refused: the service refused it in an earlier run, and it is retried. twin: another row
    that invites the same account to the same engagement.
    """

    invitation: Invitation
    doubt_since: float | None = None
    last_sent: float | None = None
    code: str = ""
    errors: tuple[RowError, ...] = ()
    deferred: bool = False
    refused: bool = False
    twin: Twin | None = None


@dataclass(frozen=True, slots=True)
class AlreadySettled:
    """A row that an earlier run settled as `CREATED` or `FAILED`.

    twin: the row because of which a refused row is not sent again.
    """

    invitation: Invitation
    state: State
    invitation_id: str
    arn: str
    code: str
    errors: tuple[RowError, ...]
    twin: Twin | None = None


@dataclass(frozen=True, slots=True)
class SkippedRow:
    """A row that an earlier run read and created. It lies below the resume position, so this run skips it."""

    position: Position
    client_token: str
    invitation_id: str
    arn: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A second row in this run with the same token and the same body."""

    invitation: Invitation


@dataclass(frozen=True, slots=True)
class SameReceiver:
    """A row that is not sent because another row invites the same account to the same engagement."""

    invitation: Invitation
    twin: Twin


@dataclass(frozen=True, slots=True)
class SeenAgain:
    """A row that this run has already read from a followed source; it is in flight or settled."""

    row: Row


Admission = ToSend | AlreadySettled | Duplicate | SameReceiver | SeenAgain | Rejection
"""The checkpoint's classification of a validated row."""
