"""When the log of a service speaks of deferred rows."""

from __future__ import annotations

from collections import Counter

import pytest
from structlog.testing import capture_logs

from bulk_invite.delivery.tracking.tally import Counts
from bulk_invite.domain.clock import Clock
from bulk_invite.domain.engagement_retries import EngagementRetries
from bulk_invite.domain.verdicts import State
from bulk_invite.runs.deferred_news import DeferredNews


@pytest.mark.parametrize(
    ("changes", "pending", "times"),
    [(False, 0, [300, 3900, 7500]), (True, 0, list(range(300, 7501, 300))), (True, 1, [3600, 7200])],
)
def test_deferred_rows_are_logged_when_they_change_and_each_hour(
    *, changes: bool, pending: int, times: list[int]
) -> None:
    now, logged = 0.0, []
    retries = EngagementRetries(300.0, lambda: now)
    news = DeferredNews(300.0, Clock(lambda: now, lambda: now))
    retries.note_refused("eng-0")
    for second in range(0, 7501, 100):
        now = float(second)
        rows = 80 + second // 300 if changes else 80
        with capture_logs() as lines:
            news.report(Counts(states=Counter({State.DEFERRED: rows, State.PENDING: pending})), retries)
        logged += [second for line in lines if (line["rows"], line["engagements"]) == (rows, 1)]
    assert logged == times
