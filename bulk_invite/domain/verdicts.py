"""Answers to attempts, their classification, and the states of rows."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import ClassVar, Final

from bulk_invite.domain.outcomes import Outcome
from bulk_invite.domain.rows import RowError
from bulk_invite.domain.sender_fault import Fault


class State(StrEnum):
    """State of a row. Only `REJECTED`, `DUPLICATE`, `CREATED` and `FAILED` are final."""

    REJECTED = "rejected"
    DUPLICATE = "duplicate"
    PENDING = "pending"
    DEFERRED = "deferred"
    IN_DOUBT = "in_doubt"
    CREATED = "created"
    FAILED = "failed"

    # That of Enum is written in Python, and every row counts its states a dozen times.
    __hash__ = str.__hash__


OPEN: Final = (State.DEFERRED, State.IN_DOUBT, State.PENDING)
"""States of rows that a run may still bring to an end."""

NEED_ATTENTION: Final = (State.FAILED, State.REJECTED)
"""States of rows that get no invitation unless the operator acts. words.js of the live page has the same."""


class Signal(Enum):
    """What one attempt tells the pacing. Only a throttle lowers the rate."""

    SUCCESS = "success"
    IGNORED = "ignored"
    THROTTLED = "throttled"


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An HTTP answer that was read completely.

    code: the service's error code; the status as text if the body named none; for a success "", or why its Id
    is invalid. content_type, length: from the headers of the body; "" and None if absent. retry_after:
    seconds, from `x-amz-retry-after`. errors: the ErrorList of a ValidationException; its messages may hold
    values of the row.
    """

    status: int
    code: str = ""
    invitation_id: str = ""
    arn: str = ""
    request_id: str = ""
    reason: str = ""
    retry_after: float | None = None
    errors: tuple[RowError, ...] = ()
    content_type: str = ""
    length: int | None = None


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """A call that ended without an answer. exceptions: their names, outermost first.

    started: bytes of it may have left; False is certain. fault: the sender's fault that kept it from leaving.
    """

    exceptions: tuple[str, ...]
    started: bool = True
    fault: Fault | None = None

    @property
    def code(self) -> str:
        return self.exceptions[-1]


Answer = HttpAnswer | NoAnswer


@dataclass(frozen=True, slots=True)
class Created:
    outcome: ClassVar = Outcome.CREATED

    invitation_id: str
    arn: str


@dataclass(frozen=True, slots=True)
class Throttled:
    """Not created; the account exceeds its rate. `retry_after`: seconds, if the service gave them."""

    outcome: ClassVar = Outcome.THROTTLED

    code: str
    retry_after: float | None


@dataclass(frozen=True, slots=True)
class EngagementFull:
    """Not created; a resource is full, nearly always the row's engagement."""

    outcome: ClassVar = Outcome.ENGAGEMENT_FULL

    code: str


@dataclass(frozen=True, slots=True)
class Doubtful:
    """It is unknown whether the invitation was created."""

    outcome: ClassVar = Outcome.DOUBTFUL

    code: str


@dataclass(frozen=True, slots=True)
class Unreachable:
    """Nothing was sent; the endpoint is down."""

    outcome: ClassVar = Outcome.UNREACHABLE

    code: str


@dataclass(frozen=True, slots=True)
class Withheld:
    """Nothing was sent; a condition of the call no longer held when its first byte was about to leave."""

    outcome: ClassVar = Outcome.WITHHELD

    code: str


@dataclass(frozen=True, slots=True)
class Conflict:
    """Not created by this attempt; an earlier attempt with the same token may have created it."""

    outcome: ClassVar = Outcome.CONFLICT

    code: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Not created; the service refused the content of the row."""

    outcome: ClassVar = Outcome.REFUSED

    code: str
    errors: tuple[RowError, ...] = ()


@dataclass(frozen=True, slots=True)
class Denied:
    """Not created; the sender may not do this here, or not anywhere (`whole_account`)."""

    outcome: ClassVar = Outcome.DENIED

    code: str
    whole_account: bool


@dataclass(frozen=True, slots=True)
class SenderRefused:
    """Not created; the sender's credentials, clock or settings (`fault`) are at fault, never the row."""

    outcome: ClassVar = Outcome.SENDER_REFUSED

    code: str
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """An unrecognized answer: it is unknown whether the invitation was created."""

    outcome: ClassVar = Outcome.UNKNOWN

    code: str


Verdict = (
    Created
    | Throttled
    | EngagementFull
    | Doubtful
    | Unreachable
    | Withheld
    | Conflict
    | Refused
    | Denied
    | SenderRefused
    | Unknown
)
