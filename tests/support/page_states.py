"""The texts of the live page for every status."""

from __future__ import annotations

from typing import Any, Final

from bulk_invite.monitoring.status import RunState, StandbyStatus

_NONE_OPEN: Final = {"rows": 50_000, "pending": 0, "in_flight": 0, "left_s": None}
ALL_GOOD: Final[dict[str, Any]] = {**_NONE_OPEN, "failed": 0, "rejected": 0, "deferred": 0, "in_doubt": 0}
_PARKED: Final = {
    "state": RunState.PARKED,
    "parked": "daily_quota",
    "day_remaining": 0,
    "sent_last_day": 100_000,
}

_FIGURES: Final = (
    "total",
    "attempts",
    "throttled",
    "in_flight",
    "speed",
    "rate",
    "max_rate",
    "estimated_quota",
    "throttled_share_minute",
    "throttled_share_hour",
    "daily_quota",
    "sent_last_day",
    "day_remaining",
    "left_s",
)
STANDBY: Final[dict[str, Any]] = {
    **dict.fromkeys(_FIGURES),
    "state": RunState.WAITING,
    "waiting_for": "checkpoint: standing by for another sender",
    "standby": StandbyStatus("another sender", None),
    "already_created": 0,
    "ready": False,
    "reasons": {"checkpoint": "standing by for another sender"},
}

STATES: Final[list[tuple[dict[str, Any], str, str, str]]] = [
    ({"state": RunState.STARTING}, "Starting", "Nothing has been sent yet.", "60% Starting"),
    (
        {"state": RunState.WAITING, "waiting_for": "the checkpoint is held by another sender"},
        "Waiting",
        "The checkpoint is held by another sender.",
        "60% Waiting",
    ),
    (
        {**STANDBY, "standby": StandbyStatus("process 4711 of crm-1", "2025-01-02T03:04:05Z")},
        "Standing by",
        (
            "Process 4711 of crm-1 has held the lock since 2 Jan 2025, 04:04:05. "
            "This run takes over when that one ends."
        ),
        "Standing by",
    ),
    (
        {"state": RunState.SENDING, "in_flight": 1},
        "Sending",
        "Completing 9.5 rows per second; 1 call in flight.",
        "60% Sending",
    ),
    (
        {"state": RunState.IDLE, "command": "serve", "total": None, "deferred": 0},
        "Idle",
        "All rows are done. New rows are sent as they arrive.",
        "Idle",
    ),
    (
        {"state": RunState.IDLE, "command": "serve", "total": None},
        "Idle",
        "15 rows wait for room in full engagements. New rows are sent as they arrive.",
        "Idle",
    ),
    (
        {"state": RunState.PAUSED},
        "Paused by an operator: no new calls",
        "Waiting for 5 calls in flight. Resume to continue.",
        "60% Paused by an operator",
    ),
    (
        {**_PARKED, "parked_until": "2030-01-02T03:04:05Z", "next_call": "2030-01-02T03:04:05Z"},
        "Parked until 2 Jan 2030, 04:04",
        r"The daily quota of 100,000 calls is used up. Sending resumes automatically, in \d+ d \d+ h.",
        "60% Parked until 2 Jan 2030, 04:04",
    ),
    (
        {**_PARKED, "parked": "unknown_quota", "learned_quota": 9_800, "next_call": "2030-01-02T03:04:05Z"},
        "Parked",
        (
            "The service throttles every call, as if a daily quota of about 9,800 calls were used up. "
            "The next probe call is at 2 Jan 2030, 04:04."
        ),
        "60% Parked",
    ),
    (
        {**_PARKED, "parked": "account_full", "next_call": None},
        "Parked",
        ("The account has reached its limit of invitations. A probe call is made from time to time."),
        "60% Parked",
    ),
    (
        {"state": RunState.DRAINING},
        "Draining: no new calls",
        "Finishing 5 calls in flight, then the run stops. Run the same command to continue.",
        "60% Draining",
    ),
]
"""Changes, headline, sentence (a pattern) and title."""

ENDS: Final[list[tuple[dict[str, Any], str, str]]] = [
    (
        {**ALL_GOOD, "created": 40_976, "exit_code": 0},
        "Finished: every row has its invitation",
        "40,976 invitations created, in 1 h 00 min.",
    ),
    (
        {**ALL_GOOD, "command": "serve", "total": None, "created": 40_976, "exit_code": 0},
        "Stopped: no row is open",
        "40,976 invitations created.",
    ),
    (
        {**_NONE_OPEN, "created": 40_909, "exit_code": 1},
        "Finished; 49 rows need attention",
        (
            "Exit code 1. 18 rows are still open: run the same command to continue. "
            "Reasons and remedies are listed below."
        ),
    ),
    (
        {**ALL_GOOD, "pending": 7, "exit_code": 75},
        "Stopped before all rows were sent",
        "Exit code 75. 7 rows are still open: run the same command to continue.",
    ),
    (
        {**ALL_GOOD, "deferred": 2, "in_doubt": 1, "exit_code": 1},
        "Finished; 3 rows are still open",
        "Exit code 1. Run the same command to continue. Reasons and remedies are listed below.",
    ),
    (
        {**ALL_GOOD, "failed": 1, "exit_code": 4},
        "Stopped by an error",
        (
            "Exit code 4. 1 row needs attention. Reasons and remedies are listed below. "
            "See the log for the cause."
        ),
    ),
]
"""Changes, headline and sentence."""
