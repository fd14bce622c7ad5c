"""The content of a report. Times are epoch seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bulk_invite.checkpoint.audit.invariants import Figures, Line, lines
from bulk_invite.domain.records import Failure, NamedRow, Owner, PacingState, Problem, Reason
from bulk_invite.domain.verdicts import NEED_ATTENTION, OPEN, State

UNANSWERED: Final = "unanswered"
"""Reason of a repeated call whose predecessor has no answer in the log: the sender was killed or aborted."""

MOST_LISTED: Final = 50
"""Rows that are listed one by one for each reason."""


@dataclass(frozen=True, slots=True)
class Repeats:
    """Calls of rows that had been called before, each with the same token.

    why: count by the previous entry of the row: an outcome, or `UNANSWERED`.
    """

    rows: int
    calls: int
    why: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class LookUps:
    """Lookups with the same finding. why: the code of an unclear one, else "".

    findings: all of them. became: rows whose latest finding it is, by their current state.
    """

    finding: str
    why: str
    findings: int
    became: Mapping[State, int]


@dataclass(frozen=True, slots=True)
class Group:
    """Rows of a source or a campaign, by state."""

    name: str
    states: Mapping[State, int]

    @property
    def rows(self) -> int:
        return sum(self.states.values())


@dataclass(frozen=True, slots=True)
class Open:
    """Rows that have no invitation yet but may get one. code: of the last answer, or ""."""

    state: State
    code: str
    rows: int


@dataclass(frozen=True, slots=True)
class Bucket:
    """Log totals of a period that begins at `at`. created: rows whose Id arrived in it."""

    at: float
    calls: int
    throttled: int
    created: int


@dataclass(frozen=True, slots=True)
class OverTime:
    """Buckets in order, without empty ones. width: seconds of each."""

    width: float
    buckets: tuple[Bucket, ...] = ()


@dataclass(frozen=True, slots=True)
class Run:
    """One start of the sender. last_event: time of the last event it recorded."""

    number: int
    started: float
    last_event: float
    calls: int


@dataclass(frozen=True, slots=True)
class Silence:
    """A long time without a call between the beginning and the last event of a run."""

    run: int
    since: float
    until: float


@dataclass(frozen=True, slots=True)
class Course:
    """The campaign over time. elapsed: seconds of all runs.

    The lists are bounded: `days` and `runs` hold the latest, `silences` the longest.
    """

    first_started: float | None
    last_event: float | None
    elapsed: float
    over_time: OverTime
    days: tuple[Bucket, ...]
    days_in_all: int
    runs: tuple[Run, ...]
    runs_in_all: int
    silences: tuple[Silence, ...]


@dataclass(frozen=True, slots=True)
class TwinRow:
    """A row with the engagement and account of another one."""

    row: NamedRow
    state: State


@dataclass(frozen=True, slots=True)
class SharedReceiver:
    """An account that several rows invite to the same engagement.

    first: its first rows, by their first call. invited: how many of its rows are created.
    """

    first: tuple[TwinRow, ...]
    rows: int
    invited: int


@dataclass(frozen=True, slots=True)
class Proof:
    """Everything that a checkpoint says at one moment (`at`), from one transaction.

    sources, campaigns: the largest ones. open: by reason, most rows first. first_rows: at most `MOST_LISTED`
    of each problem and of each reason of `open`, by position. shared: receivers of several
    rows that are or may be sent, the first of `shared_in_all`; invited_again: those with several invitations.
    notes: what is unknown, and why.
    """

    at: float
    checkpoint: str
    catalog: str
    version: int
    owner: Owner | None
    active: bool | None
    states: Mapping[State, int]
    sources: tuple[Group, ...]
    sources_in_all: int
    campaigns: tuple[Group, ...]
    campaigns_in_all: int
    figures: Figures
    same_receiver: int
    shared: tuple[SharedReceiver, ...]
    shared_in_all: int
    invited_again: int
    throttled: int
    repeats: Repeats
    look_ups: tuple[LookUps, ...]
    open: tuple[Open, ...]
    problems: tuple[Problem, ...]
    first_rows: Mapping[Reason, tuple[NamedRow, ...]]
    failures: tuple[Failure, ...]
    course: Course
    pacing: PacingState | None
    notes: tuple[str, ...]

    @property
    def lines(self) -> tuple[Line, ...]:
        return lines(self.figures)

    @property
    def adds_up(self) -> bool:
        return all(line.ok for line in self.lines)

    @property
    def asked(self) -> int:
        """Rows that are to have an invitation of their own: all but duplicates."""
        return self.figures.rows - self.states.get(State.DUPLICATE, 0)

    @property
    def needing_attention(self) -> int:
        """Rows that get no invitation unless the operator acts."""
        return sum(self.states.get(state, 0) for state in NEED_ATTENTION)

    @property
    def rows_open(self) -> int:
        """Rows without a proven outcome."""
        return sum(self.states.get(state, 0) for state in OPEN)
