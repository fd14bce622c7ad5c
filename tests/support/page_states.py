"""What the live page has to say of a run, by the changes that make it so."""

from __future__ import annotations

from typing import Any, Final

from bulk_invite.monitoring.status import RunState

_NONE_OPEN: Final = {"rows": 50_000, "pending": 0, "in_flight": 0, "left_s": None}
ALL_GOOD: Final[dict[str, Any]] = {**_NONE_OPEN, "failed": 0, "rejected": 0, "deferred": 0, "in_doubt": 0}
_PARKED: Final = {
    "state": RunState.PARKED,
    "parked": "daily_quota",
    "day_remaining": 0,
    "sent_last_day": 100_000,
}

STATES: Final[list[tuple[dict[str, Any], str, str, str]]] = [
    ({"state": RunState.STARTING}, "Starting", "Nothing is sent yet.", "60% Starting"),
    (
        {"state": RunState.WAITING, "waiting_for": "the checkpoint is held by another sender"},
        "Waiting",
        "The checkpoint is held by another sender.",
        "60% Waiting",
    ),
    (
        {"state": RunState.SENDING, "in_flight": 1},
        "Sending",
        "9.5 rows a second come to their end; 1 call in flight.",
        "60% Sending",
    ),
    (
        {"state": RunState.IDLE, "command": "serve", "total": None},
        "Idle",
        "All rows that are there are dealt with. New ones are sent as they come.",
        "Idle",
    ),
    (
        {"state": RunState.PAUSED},
        "Paused by an operator: nothing is sent",
        "5 calls in flight still to be answered. Resume to go on.",
        "60% Paused by an operator",
    ),
    (
        {**_PARKED, "parked_until": "2030-01-02T03:04:05Z", "next_call": "2030-01-02T03:04:05Z"},
        "Parked until 2 Jan 2030, 04:04",
        r"because the day's 100,000 calls are used. It goes on by itself, in \d+ d \d+ h.",
        "60% Parked until 2 Jan 2030, 04:04",
    ),
    (
        {**_PARKED, "parked": "unknown_quota", "learned_quota": 9_800, "next_call": "2030-01-02T03:04:05Z"},
        "Parked",
        (
            "because the service refuses every call, as if a cap a day of about 9,800 calls were reached. "
            "A single call at 2 Jan 2030, 04:04 asks whether that is over."
        ),
        "60% Parked",
    ),
    (
        {**_PARKED, "parked": "account_full", "next_call": None},
        "Parked",
        (
            "because the account has all the invitations it may have. "
            "A single call now and then asks whether that is over."
        ),
        "60% Parked",
    ),
    (
        {"state": RunState.DRAINING},
        "Draining: no new calls",
        "5 calls in flight are finished, then the run ends. The same command goes on later.",
        "60% Draining",
    ),
]
"""Changes, headline, sentence (a pattern) and title."""

ENDS: Final[list[tuple[dict[str, Any], str, str]]] = [
    (
        {**ALL_GOOD, "created": 40_976, "exit_code": 0},
        "Finished: every row has its invitation",
        "40,976 invitations are made, in 1 h 00 min.",
    ),
    (
        {**ALL_GOOD, "command": "serve", "total": None, "created": 40_976, "exit_code": 0},
        "Ended: nothing is left open",
        "40,976 invitations are made.",
    ),
    (
        {**_NONE_OPEN, "created": 40_909, "exit_code": 1},
        "Finished with 67 rows to look at",
        "Exit code 1. What is wrong and what to do stands below.",
    ),
    (
        {**ALL_GOOD, "pending": 7, "exit_code": 75},
        "Stopped before the end",
        "Exit code 75. 7 rows are not sent yet: the same command goes on.",
    ),
    (
        {**ALL_GOOD, "failed": 1, "exit_code": 4},
        "Ended: it could not go on",
        "Exit code 4. 1 row needs a look. What is wrong and what to do stands below. Its log says why.",
    ),
]
"""Changes, headline and sentence."""
