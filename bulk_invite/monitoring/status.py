"""The status of a run, for the live page, metrics and notifications."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

Rate = float | Literal["auto"]
"""The value of `--rate`: a fixed rate in calls per second, or `auto`."""


class RunState(StrEnum):
    """What a run is doing."""

    STARTING = "starting"
    WAITING = "waiting"
    SENDING = "sending"
    IDLE = "idle"
    PAUSED = "paused"
    PARKED = "parked"
    DRAINING = "draining"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class ProblemStatus:
    """Rows in one state with the same error code and path, and the remedy."""

    state: str
    code: str
    path: str
    rows: int
    mend: str


@dataclass(frozen=True, slots=True)
class FailureStatus:
    """One row without an invitation. position: `source` and `line` or `key`; at: UTC."""

    position: Mapping[str, object]
    state: str
    code: str
    path: str
    at: str | None


@dataclass(frozen=True, slots=True)
class StandbyStatus:
    """The sender for whose end a standby waits. since: UTC, None where unknown."""

    sender: str
    since: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStatus:
    """The JSON of `/api/status` has these keys.

    Times as `2026-11-25T14:05:00Z`, `*_s` in seconds, rates in calls (speed: rows) per second, shares from 0
    to 1; None where unknown. waiting_for: why the run is starting or waiting. reasons: why a part does not
    respond, by part. total: rows of the sources; percent: those that have ended, rounded down. speed: recent
    completion of rows. rate: currently allowed by the pacing. in_doubt: without calls in flight. source_lag:
    seconds since a followed source was last read to its end. problems, failures: of the whole checkpoint.
    controllable: whether there is a control token.
    """

    at: str
    version: str
    command: str
    started: str
    elapsed_s: float
    catalog: str
    campaign: str
    endpoint: str
    checkpoint: str
    sources: Sequence[str]
    host: str = ""
    state: RunState = RunState.STARTING
    waiting_for: str | None = None
    standby: StandbyStatus | None = None
    ready: bool = False
    reasons: Mapping[str, str] = field(default_factory=dict)
    account: str | None = None
    rows: int = 0
    total: int | None = None
    total_is_estimate: bool = False
    percent: float | None = None
    created: int = 0
    already_created: int = 0
    failed: int = 0
    rejected: int = 0
    duplicate: int = 0
    in_doubt: int = 0
    deferred: int = 0
    pending: int = 0
    attempts: int | None = 0
    throttled: int | None = 0
    in_flight: int | None = 0
    speed: float | None = 0.0
    rate: float | None = 0.0
    rate_setting: Rate = "auto"
    max_rate: float | None = 0.0
    max_in_flight: int = 0
    estimated_quota: float | None = None
    throttled_share_minute: float | None = None
    throttled_share_hour: float | None = None
    daily_quota: int | None = None
    learned_quota: int | None = None
    sent_last_day: int | None = 0
    day_remaining: int | None = None
    parked: str | None = None
    parked_until: str | None = None
    next_call: str | None = None
    left_s: float | None = None
    source_lag: Mapping[str, float] = field(default_factory=dict)
    problems: Sequence[ProblemStatus] = ()
    failures: Sequence[FailureStatus] = ()
    controllable: bool = False
    exit_code: int | None = None


@dataclass(frozen=True, slots=True)
class Point:
    """One step of the history. Rates in calls per second; calls, throttled: as measured. at: UTC."""

    at: str
    rate: float
    estimated_quota: float | None
    calls: float
    throttled: float


@dataclass(frozen=True, slots=True)
class Past:
    """The JSON of `/api/history`. step_s: seconds covered by each point."""

    step_s: float
    points: Sequence[Point]
