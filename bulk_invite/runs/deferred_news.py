"""The log line of a service about rows that wait for room in their engagements."""

from __future__ import annotations

from typing import Final

import structlog

from bulk_invite.delivery.tracking.tally import Counts
from bulk_invite.domain.clock import Clock
from bulk_invite.domain.durations import HOUR
from bulk_invite.domain.engagement_retries import EngagementRetries
from bulk_invite.domain.verdicts import State

_log = structlog.get_logger()

_REMINDER: Final = HOUR
"""Seconds after which the same figures are logged again."""


class DeferredNews:
    """Logs how many rows are deferred, in how many engagements, and when they are asked again.

    interval: least seconds between two lines.
    """

    def __init__(self, interval: float, clock: Clock) -> None:
        self._interval = interval
        self._clock = clock
        self._logged: tuple[int, int] = (0, 0)
        self._logged_at = clock.steady()

    def report(self, counts: Counts, retries: EngagementRetries | None) -> None:
        """Log a line if there is something new. counts: of the round, whose source is quiet at the moment."""
        due = None if retries is None else retries.next_due()
        rows, now = counts.states[State.DEFERRED], self._clock.steady()
        if retries is None or due is None or not rows:
            return
        # While rows are being read, only some of those that will be deferred are counted.
        is_news = self._logged != (rows, retries.engagements) and not counts.states[State.PENDING]
        wait = self._interval if is_news else max(_REMINDER, self._interval)
        if now - self._logged_at < wait:
            return
        self._logged, self._logged_at = (rows, retries.engagements), now
        _log.warning(
            "serve.deferred",
            rows=rows,
            engagements=retries.engagements,
            next_try=self._clock.text(max(due, now)),
            why="their engagements have reached their limit of invitations",
            next="none: each is asked again, less and less often, until it has room or its rows are removed",
        )
