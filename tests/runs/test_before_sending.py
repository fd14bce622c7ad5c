"""What a terminal is shown before real invitations are sent, as sentences."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from bulk_invite.domain.durations import DAY, HOUR
from bulk_invite.domain.rows import Position
from bulk_invite.domain.verdicts import State
from bulk_invite.pacing.forecast import Forecast
from bulk_invite.runs.output.confirmation import Place, Rows, before_sending, before_unknown

_PLACE = Place("111122223333", "rows.ndjson", "Partner Central", "live.db", "spring")
_FROM = "from account 111122223333"
_WHERE = "Sources: rows.ndjson; catalog AWS at Partner Central; checkpoint live.db; campaign spring."
_CET = timezone(timedelta(hours=1), "CET")
_NOW = datetime(2026, 11, 30, 12, 0, tzinfo=_CET)
_SOON = "The last call starts within a minute, if the service allows it."


_NAMELESS = "an account that could not be named"
_OTHERS = "1 duplicate, 2 with the same engagement and account as another row, 1 failed in an earlier run"


def _forecast(calls: int, seconds: float = 3.0, *, quota: int | None = None, counted: int = 0) -> Forecast:
    return Forecast(calls, 15.0, quota, seconds, counted)


def _more(calls: str) -> str:
    return f"If the sources have more rows to send by then, the run stops at {calls}."


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (
            Rows(_forecast(1), engagements=1, states={State.PENDING: 1}),
            [f"About to send 1 real invitation in 1 engagement {_FROM}.", _WHERE, _SOON, _more("1")],
        ),
        (
            Rows(
                _forecast(1300, 1234.0, quota=10_000, counted=120),
                engagements=40,
                refused=1,
                deferred=2,
                states={State.PENDING: 1299, State.IN_DOUBT: 1, State.REJECTED: 2, State.DUPLICATE: 3},
                earlier=1000,
                same_receiver=1,
                twins=[Position("may.ndjson", 3)],
                warned=5,
            ),
            [
                f"About to send 1,300 real invitations in 40 engagements {_FROM}.",
                _WHERE,
                "1 of them failed in an earlier run (--retry-failed).",
                "2 of them are deferred: their engagements were full.",
                "1 of them is in doubt and is looked up first.",
                (
                    "1 of them has the same engagement and account as another row and is sent as well "
                    "(may.ndjson:3; --dry-run -v names all)."
                ),
                "5 of them have warnings (--dry-run names them).",
                "Not sent: 1,000 already invited, 2 rejected, 3 duplicates.",
                "That is 13.0% of the 10,000 calls of a day; 120 were used in the last 24 hours.",
                "The last call starts at 11:20 UTC (12:20 CET) at the earliest.",
                _more("1,300"),
            ],
        ),
        (
            Rows(
                _forecast(2, 12 * HOUR, quota=10_000, counted=1),
                engagements=2,
                refused=2,
                deferred=1,
                states={State.IN_DOUBT: 2, State.DUPLICATE: 3, State.FAILED: 1},
                same_receiver=9,
                twins=[Position("may.ndjson", 3), Position("may.ndjson", 7)],
                skipped=2,
                warned=1,
                at_limit=True,
            ),
            [
                f"About to send 2 real invitations in 2 engagements {_FROM}.",
                _WHERE,
                "2 of them failed in an earlier run (--retry-failed).",
                "1 of them is deferred: its engagement was full.",
                "2 of them are in doubt and are looked up first.",
                (
                    "9 of them have the same engagement and account as another row and are sent as well "
                    "(may.ndjson:3, :7 and 7 more; --dry-run -v names all)."
                ),
                "1 of them has warnings (--dry-run names them).",
                f"Not sent: {_OTHERS}.",
                "That is less than 0.1% of the 10,000 calls of a day; 1 was used in the last 24 hours.",
                "The last call starts at 23:00 UTC (2026-12-01 00:00 CET) at the earliest.",
                "Rows beyond --limit were not read.",
            ],
        ),
        (
            Rows(_forecast(45_000, 4 * DAY + HOUR, quota=10_000), engagements=9000),
            [
                f"About to send 45,000 real invitations in 9,000 engagements {_FROM}.",
                _WHERE,
                "That is 4.5 times the 10,000 calls of a day.",
                "It takes 5 days: the last call starts at 2026-12-04 12:00 UTC (13:00 CET) at the earliest.",
                _more("45,000"),
            ],
        ),
        (
            Rows(_forecast(0), engagements=0, states={State.REJECTED: 1}),
            [f"There is nothing to send {_FROM}.", _WHERE, "Not sent: 1 rejected."],
        ),
    ],
)  # fmt: skip
def test_what_will_happen_is_said_without_zeros(rows: Rows, said: list[str]) -> None:
    assert before_sending(_PLACE, rows, _NOW) == said


def test_an_account_without_a_name_and_rows_without_a_number_are_said_to_be_so() -> None:
    nameless = replace(_PLACE, account="", campaign="")
    first, where, *_ = before_sending(nameless, Rows(_forecast(2), engagements=1), _NOW)
    assert (
        first == "About to send 2 real invitations in 1 engagement from an account that could not be named."
    )
    assert where.endswith("; no campaign.")
    unknown = "How many rows there are is not known before they are sent."
    assert before_unknown(_PLACE, None) == [f"About to send every row that comes {_FROM}.", _WHERE, unknown]
    assert before_unknown(_PLACE, 20)[0] == f"About to send up to 20 real invitations {_FROM}."
