"""What is read from a checkpoint: its owner, its rows, its problems, and the whole in figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bulk_invite.domain.rows import Position, RowError
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
