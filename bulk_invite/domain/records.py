"""Values read from a checkpoint: its owner, rows, problems and totals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bulk_invite.domain.rows import Position, RowError
from bulk_invite.domain.verdicts import State


@dataclass(frozen=True, slots=True)
class Owner:
    """The owner of a checkpoint. `account` is "" if STS did not answer; then the key's hash applies.

    key_hash: hex SHA-256 of the access key id; "" for a temporary key, whose id soon changes.
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
class PacingState:
    """The pacing state that a run saved last. Times are epoch seconds, rates are calls per second.

    rate: the sending rate. estimate: the measured quota, None if no throttle has revealed it. daily_quota: as
    set by the operator, None for no limit. learned_quota: calls in 24 hours after which the account was
    refused more, None if it never was. counted: calls in the last 24 hours, including those in flight.
    parked: why the run was parked, or "". next_call: when it would call again, even if only to probe.
    parked_until: when it would resume by itself, None if unknown. left: estimated seconds until the run is
    complete, None if unknown.
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
    """A row as stored in the checkpoint. Times are epoch seconds.

    evidence: a lookup's result, as JSON. label: the user's name for the row, or "". duplicate_of: for a
    duplicate, the row that has its token; None if that is not known.
    """

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
    campaign: str = ""
    label: str = ""
    duplicate_of: Position | None = None


@dataclass(frozen=True, slots=True)
class SourceCursor:
    """Position in a followed source, in the source's own notation (`text`)."""

    source: str
    text: str


@dataclass(frozen=True, slots=True)
class Prefix:
    """The beginning of a file, up to the end of a line. digest: hex SHA-256 of its bytes, decompressed."""

    source: str
    size: int
    lines: int
    digest: str


@dataclass(frozen=True, slots=True)
class KnownPrefix:
    """What earlier runs have read of a file. is_current: its lines would become the same rows today."""

    prefix: Prefix
    is_current: bool


@dataclass(frozen=True, slots=True)
class PrefixRows:
    """The rows of a prefix that a file still has.

    created, failed: the number of those that are settled. again: the first and the last line of each range of
    lines to read again, in ascending order.
    """

    prefix: Prefix
    created: int
    failed: int
    again: Sequence[tuple[int, int]]


Change = tuple[int, str, str]
"""Position in the list of changed rows: a transaction, and the key and token of its last row read."""

BEFORE_ALL_CHANGES: Final[Change] = (-1, "", "")
"""The position before the first change."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A group of rows in `state` with the same error: its code and path, "$" for the row itself.

    code: "" if the answer to a call is unknown; "other" for all rows outside the groups, without a path.
    """

    state: State
    code: str
    path: str
    rows: int


@dataclass(frozen=True, slots=True)
class Failure:
    """A row without an invitation, and its first error.

    at: epoch seconds of its last call, or None if it was not sent. label: the user's name for the row, or "".
    """

    position: Position
    state: State
    code: str
    path: str
    at: float | None
    label: str = ""


Reason = tuple[State, str, str]
"""State of rows, with the code and the path of an error; without a path, the code is of the last answer."""


@dataclass(frozen=True, slots=True)
class NamedRow:
    """Where a row is, and the user's name for it, or ""."""

    position: Position
    label: str = ""


@dataclass(frozen=True, slots=True)
class Overview:
    """Totals of a whole checkpoint. Times are epoch seconds.

    same_receiver: rows after the first one of their engagement and account; refused ones do not count.
    counted: calls of the last 24 hours that the service may count against the daily quota. pacing: the state
    that a run saved last. active: whether a sender holds the checkpoint (None: unknown).
    """

    owner: Owner | None
    catalog: str
    states: dict[State, int]
    same_receiver: int
    attempts: int
    throttled: int
    elapsed: float
    last_event: float | None
    sent_last_minute: int
    throttled_last_minute: int
    sent_last_hour: int
    throttled_last_hour: int
    counted: int
    pacing: PacingState | None
    active: bool | None
