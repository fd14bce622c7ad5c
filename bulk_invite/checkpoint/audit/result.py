"""What a report says of a checkpoint. Times in epoch seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bulk_invite.checkpoint.audit.invariants import Figures, Line, lines
from bulk_invite.domain.records import Failure, Owner, PacingMemory, Problem
from bulk_invite.domain.verdicts import OPEN, State

UNANSWERED: Final = "unanswered"
"""Why a call was repeated of which no answer is in the log: the sender was killed, or broken off."""


@dataclass(frozen=True, slots=True)
class Repeats:
    """Calls of rows that had been called before, each with the same token.

    why: by what the log has of the row right before: an outcome, or `UNANSWERED`.
    """

    rows: int
    calls: int
    why: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class LookUps:
    """Look-ups with the same finding. why: of one that is unclear, else "".

    findings: all of them; became: rows of which it is the latest, by the state that they are in now.
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
    """Rows that have no invitation yet and may get one; code: of the last answer, "" where there is none."""

    state: State
    code: str
    rows: int


@dataclass(frozen=True, slots=True)
class Bucket:
    """What the log has of a stretch of time that begins at `at`. created: rows whose Id came then."""

    at: float
    calls: int
    throttled: int
    created: int


@dataclass(frozen=True, slots=True)
class OverTime:
    """Buckets in order, without those of which the log has nothing; width: seconds of each."""

    width: float
    buckets: tuple[Bucket, ...] = ()


@dataclass(frozen=True, slots=True)
class Run:
    """One start of the sender. last_event: the last thing that it wrote down of a row."""

    number: int
    started: float
    last_event: float
    calls: int


@dataclass(frozen=True, slots=True)
class Silence:
    """No call left for a long time, between the beginning and the last event of a run."""

    run: int
    since: float
    until: float


@dataclass(frozen=True, slots=True)
class Course:
    """How it went over time. elapsed: seconds of all runs.

    The lists are bounded: `days` and `runs` are the latest, `silences` the longest.
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
class Proof:
    """All that a checkpoint says at a moment (`at`), of one transaction.

    sources, campaigns: the largest ones. open: by reason, most rows first. notes: what is not known, and why.
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
    throttled: int
    repeats: Repeats
    look_ups: tuple[LookUps, ...]
    open: tuple[Open, ...]
    problems: tuple[Problem, ...]
    failures: tuple[Failure, ...]
    course: Course
    pacing: PacingMemory | None
    notes: tuple[str, ...]

    @property
    def lines(self) -> tuple[Line, ...]:
        return lines(self.figures)

    @property
    def adds_up(self) -> bool:
        return all(line.ok for line in self.lines)

    @property
    def rows_open(self) -> int:
        """Rows that are not proven to be anything yet."""
        return sum(self.states.get(state, 0) for state in OPEN)
