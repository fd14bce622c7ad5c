"""What the flow tells the checkpoint and hears from it: the vocabulary of the resumable log.

Order of durable steps in a row's life, each committed before the next begins:
admitted (`pending`) -> `Sent` (in doubt from here on) -> the call -> `Answered` (what is known now).
A crash between any two of them leaves a state from which the same row goes on with the same token, or is
looked up where the token may be forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bulk_invite.domain.findings import Finding
from bulk_invite.domain.rows import Invitation, Position, Rejection, Row, RowError
from bulk_invite.domain.verdicts import State


@dataclass(frozen=True, slots=True)
class Owner:
    """Whom a checkpoint belongs to. `account` is "" where STS did not answer; then the key's hash speaks.

    key_hash: hex SHA-256 of the access key id; "" for a temporary key, whose id says nothing for long.
    """

    account: str
    key_hash: str

    @property
    def is_known(self) -> bool:
        return bool(self.account or self.key_hash)

    def is_same_as(self, other: Owner) -> bool:
        if self.account and other.account:
            return self.account == other.account
        return bool(self.key_hash) and self.key_hash == other.key_hash

    def __str__(self) -> str:
        if self.account:
            return f"account {self.account}"
        return f"an access key with hash {self.key_hash[:12]}" if self.key_hash else "an unknown account"


@dataclass(frozen=True, slots=True)
class Sent:
    """An attempt is about to leave. `at` is epoch seconds."""

    client_token: str
    at: float


@dataclass(frozen=True, slots=True)
class Answered:
    """What is known of a row after an attempt, or after it was looked up or set aside without one.

    outcome: one word for the log (`created`, `throttled`, `reset` ...), code: the service's or exception's.
    doubt_since: epoch seconds of the earliest attempt whose fate is still unknown; None when there is none.
    counted: whether the attempt counts on the row (False: nothing was sent).
    finding: what the row was found to be, where it was looked up.
    instead: what is written in its place where another row has its Id already.
    """

    client_token: str
    at: float
    state: State
    outcome: str
    code: str = ""
    request_id: str = ""
    invitation_id: str = ""
    arn: str = ""
    errors: tuple[RowError, ...] = ()
    doubt_since: float | None = None
    counted: bool = True
    finding: Finding | None = None
    instead: Answered | None = None


Event = Sent | Answered

NOT_SENT: Final = ("unreachable", "withheld")
"""Outcomes of intents that no byte has left for."""

WITHOUT_CALL: Final = frozenset({"set_aside", "found", "absent", "too_early", "unclear", "token_too_old"})
"""Outcomes that no call has brought about; the last one is of older programs."""


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


@dataclass(frozen=True, slots=True)
class PacingMemory:
    """What the pacing knew when a run last wrote it down. Times in epoch seconds, rates in calls per second.

    rate: at which calls left; estimate: the quota as measured, None where no throttle has shown it.
    daily_quota: as the operator set it, None for no limit; learned_quota: calls in 24 hours after which the
    account was refused more, None where it was not; counted: calls in the last 24 hours, those under way too.
    parked: why the run waited, "" if it did not; next_call: when it would call again, be it to ask;
    parked_until: when it would go on by itself, None where nobody knew.
    left: seconds until the run was expected to be through, None where nobody knew.
    """

    at: float
    rate: float
    estimate: float | None = None
    learned_quota: int | None = None
    daily_quota: int | None = None
    counted: int = 0
    parked: str = ""
    next_call: float | None = None
    parked_until: float | None = None
    left: float | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """A row as the checkpoint knows it; times are epoch seconds. evidence: what a look-up found, as JSON."""

    client_token: str
    state: State
    position: Position
    engagement: str
    payload_type: str
    invitation_id: str
    arn: str
    code: str
    errors: tuple[RowError, ...]
    attempts: int
    first_sent: float | None
    last_sent: float | None
    evidence: str


@dataclass(frozen=True, slots=True)
class Mark:
    """How far the following of a source has come, in its own words (`text`)."""

    source: str
    text: str


Change = tuple[int, str, str]
"""How far a look at what has changed has come: a transaction, and the last row of it by key and token."""

NO_CHANGE: Final[Change] = (-1, "", "")
"""Before all of them."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Rows in `state` of which the same is said: the code of an error and its path, "$" for the row itself.

    code: "" where the answer of a call is not known; "other" for all that stands in no group, without a path.
    """

    state: State
    code: str
    path: str
    rows: int


@dataclass(frozen=True, slots=True)
class Failure:
    """A row that has no invitation, and the first thing that is said of it.

    at: epoch seconds of its last call; None where it was not sent.
    """

    position: Position
    state: State
    code: str
    path: str
    at: float | None


@dataclass(frozen=True, slots=True)
class Overview:
    """A whole checkpoint in figures. Times are epoch seconds.

    counted: calls of the last 24 hours that the service may count by the day.
    pacing: what a run wrote down of it last. active: a sender holds the checkpoint (None: unknown).
    """

    owner: Owner | None
    catalog: str
    states: dict[State, int]
    attempts: int
    throttled: int
    elapsed: float
    last_event: float | None
    sent_last_minute: int
    throttled_last_minute: int
    sent_last_hour: int
    throttled_last_hour: int
    counted: int
    pacing: PacingMemory | None
    active: bool | None
