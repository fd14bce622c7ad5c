"""How many rows a run has still to send, which is what its time left is estimated from."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from bulk_invite.delivery.tracking.tally import Counts
from bulk_invite.domain.verdicts import State
from bulk_invite.runs.output.rows_to_send import rows_to_send


@pytest.mark.parametrize(
    ("read", "total", "left"),
    [
        # A first run: one row in ten is rejected.
        ({"rows": 1000, "ended_now": 800, "open": 100}, 10_000, 100 + 8100),
        ({"rows": 1000, "ended_now": 800, "open": 100}, None, 100),
        # A file whose settled rows are counted, not read: they say nothing of the others.
        ({"rows": 82_000, "skipped": 80_000, "settled_before": 80_000, "ended_now": 1900, "open": 100},
         200_000, 100 + 118_000),
        # An export with some new rows among the old ones: the rest of it is like its beginning.
        ({"rows": 2000, "settled_before": 1900, "ended_now": 90, "open": 10}, 200_000, 10 + 9900),
        # A file that is read again: up to where earlier runs have read, there is hardly anything to send.
        ({"rows": 50_000, "settled_before": 50_000, "known_lines": 120_000}, 200_000, 80_000),
        ({"rows": 60_000, "settled_before": 59_940, "known_lines": 120_000, "ended_now": 60},
         200_000, 60 + 80_000),
        ({"rows": 120_500, "settled_before": 120_000, "known_lines": 120_000, "ended_now": 400, "open": 50},
         200_000, 50 + 71_550),
        # Most of its rows were still open.
        ({"rows": 1000, "settled_before": 100, "known_lines": 2000, "open": 900}, 2000, 1800),
        # It has become shorter.
        ({"rows": 100, "settled_before": 100, "known_lines": 2000}, 1000, 0),
    ],
)  # fmt: skip
def test_rows_that_earlier_runs_settled_are_no_measure_of_new_ones(
    read: dict[str, Any], total: int | None, left: int
) -> None:
    states = Counter({State.PENDING: read.pop("open", 0)})
    assert rows_to_send(Counts(**read, states=states), total) == left
