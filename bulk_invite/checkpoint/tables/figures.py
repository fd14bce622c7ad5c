"""The figures of the whole checkpoint, as `status` shows them. Each runs inside a transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Final

from bulk_invite.checkpoint.tables.query import Query
from bulk_invite.checkpoint.tables.values import SKIPPED, Generation
from bulk_invite.domain.durations import DAY, HOUR, MINUTE
from bulk_invite.domain.findings import LATE
from bulk_invite.domain.outcomes import NOT_COUNTED, WITHOUT_CALL, Outcome
from bulk_invite.domain.records import Overview, Owner, PacingState
from bulk_invite.domain.verdicts import State


def _list(outcomes: Iterable[Outcome]) -> str:
    return ", ".join(f"'{each}'" for each in sorted(outcomes))


_OUTCOME: Final = "coalesce(next_outcome, '')"

COUNTED: Final = f"""
SELECT CASE WHEN answered THEN next_at ELSE at END AS time, answered
FROM (
    SELECT event, at, next_at, {_OUTCOME} AS outcome,
        coalesce(next_event, '') = 'answered' AND {_OUTCOME} NOT IN ({_list(WITHOUT_CALL)}) AS answered
    FROM (
        SELECT event, at, lead(event) OVER following AS next_event, lead(at) OVER following AS next_at,
            lead(outcome) OVER following AS next_outcome
        FROM log WHERE at > :since
        WINDOW following AS (PARTITION BY client_token ORDER BY entry)
    ) AS entries
) AS calls
WHERE event = 'sent' AND outcome NOT IN ({_list(NOT_COUNTED)})
ORDER BY time
"""  # noqa: S608 - of constants
"""(time, whether it is the answer's time) of every call since `:since` that the service may count."""

_COUNT_OF_DAY: Final = f"SELECT count(*) FROM ({COUNTED}) AS counted WHERE time > :start"  # noqa: S608

_MISSING: Final = """
SELECT until, calls - found FROM gaps WHERE calls > found AND (until IS NULL OR until > :since) ORDER BY until
"""

_SHARES: Final = f"""
SELECT coalesce(sum(CASE WHEN event = 'sent' THEN 1 ELSE 0 END), 0),
    coalesce(sum(CASE WHEN outcome = '{Outcome.THROTTLED}' THEN 1 ELSE 0 END), 0)
FROM log WHERE at > :since
"""  # noqa: S608

_STATES: Final = """
SELECT state, count(*) FROM invitations GROUP BY state
UNION ALL SELECT state, count(*) FROM unsent_rows GROUP BY state
"""

_SAME_RECEIVER: Final = f"""
SELECT count(*) - count(DISTINCT ltrim(receiver, '{SKIPPED}')) FROM invitations WHERE receiver <> ''
"""  # noqa: S608

_RUNS: Final = "SELECT coalesce(sum(last_event - started), 0.0), max(last_event) FROM runs"
_ATTEMPTS: Final = "SELECT coalesce(sum(attempts), 0) FROM invitations"
_THROTTLED: Final = f"SELECT count(*) FROM log WHERE outcome = '{Outcome.THROTTLED}'"  # noqa: S608
_GENERATION: Final = "SELECT checkpoint, number, calls, at FROM generation"
_PACING_COLUMNS: Final = ", ".join(f'"{each.name}"' for each in fields(PacingState))
_PACING: Final = f"SELECT {_PACING_COLUMNS} FROM pacing"  # noqa: S608


def overview(query: Query, about: Mapping[str, str], now: float, *, active: bool | None) -> Overview:
    """The totals. about: its table. active: whether a sender holds the checkpoint; now: epoch seconds."""
    ((elapsed, last_event),) = query(_RUNS)
    sent_minute, throttled_minute = _shares(query, now - MINUTE)
    sent_hour, throttled_hour = _shares(query, now - HOUR)
    return Overview(
        owner=owner_of(about),
        catalog=about["catalog"],
        states=states(query),
        same_receiver=same_receiver(query),
        attempts=_number(query, _ATTEMPTS),
        throttled=_number(query, _THROTTLED),
        elapsed=elapsed,
        last_event=last_event,
        sent_last_minute=sent_minute,
        throttled_last_minute=throttled_minute,
        sent_last_hour=sent_hour,
        throttled_last_hour=throttled_hour,
        counted=_count_of_day(query, now),
        pacing=pacing(query),
        active=active,
    )


def owner_of(about: Mapping[str, str]) -> Owner | None:
    """The owner that a checkpoint is bound to, or None."""
    return Owner(about["account"], about["key_hash"]) if "key_hash" in about else None


def states(query: Query) -> dict[State, int]:
    """Count rows by state."""
    return {State(state): rows for state, rows in query(_STATES)}


def same_receiver(query: Query) -> int:
    """Count the rows after the first one of their receiver, sent or skipped."""
    return _number(query, _SAME_RECEIVER)


def missing(query: Query, since: float) -> Sequence[tuple[float | None, int]]:
    """Return (until, count) of the calls still missing in gaps that end after `since`."""
    return [(until, int(calls)) for until, calls in query(_MISSING, since=since)]


def pacing(query: Query) -> PacingState | None:
    """Load the pacing state that a run saved last, or None."""
    return next((PacingState(*row) for row in query(_PACING)), None)


def generation(query: Query) -> Generation:
    """Read the generation of a checkpoint. Raises ValueError if it is missing."""
    (row,) = query(_GENERATION)
    return Generation(*row)


def _count_of_day(query: Query, now: float) -> int:
    """Count the calls of the last day that the service may count."""
    lost = sum(calls for _, calls in missing(query, now - DAY))
    return _number(query, _COUNT_OF_DAY, since=now - DAY - LATE, start=now - DAY) + lost


def _shares(query: Query, since: float) -> tuple[int, int]:
    """Return the numbers of calls sent and of calls throttled."""
    ((sent, throttled),) = query(_SHARES, since=since)
    return sent, throttled


def _number(query: Query, statement: str, **values: object) -> int:
    ((number,),) = query(statement, **values)
    return int(number)
