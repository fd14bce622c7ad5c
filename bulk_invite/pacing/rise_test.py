"""Tests whether the quota has risen: when the next throttle is due, and what its absence proves. Pure.

At a throttle the bucket is empty. From then on it gains the quota r per second, whatever its depth and
whatever pauses there are, so it grants at most one call more than r times the seconds since: what refills
during a pause is counted. So a surplus of granted calls proves that the quota has risen, without another
throttle; and while the quota is the same, looking for a surplus costs one throttle, the price of the test.

The test is a short stretch of growing rate, from the moment when a throttle is overdue. It ends in one of two
ways: the throttle arrives, and the rate goes back to what it was; or the surplus does, and the rate climbs.

How often to test: throttles are the only news, and a share s of them means 1/s calls between two. A rate that
is throttled every 170 calls cannot learn of a new quota earlier with certainty. But a quota that has just
changed is likely to change again, so it is tested more often for some minutes. If changes become rarer in
proportion to the age of the quota, the cost of tests and of late ones together is least for an interval in
calls that grows with the square root of the rate.
"""

from __future__ import annotations

import math
from typing import Final

from bulk_invite.pacing import growth
from bulk_invite.pacing.quota_sample import ANOTHER, Estimate, Sample

_DUE: Final = 186.0
_DUE_RATE: Final = 4.5
"""Successes after which a throttle is overdue, and how many more of them per call per second.

In a steady bucket a throttle comes after 170, at 1 per second as at 50. If calls leave in bunches, half a
second passes until one leaves after a hold, and the bucket gains tokens: at 10 per second, up to 220.
"""

_NEW: Final = 195.0
"""Seconds for which a quota counts as new. That costs a steady run of 20 minutes 0.02 % of its calls."""

_NEW_DUE: Final = 36.0
"""Successes after which a throttle of a new quota is overdue, at 1 per second: 36 seconds; 13 at 8."""

_CHANGED: Final = 1.5
"""Factor between estimates that means a new quota; another program that takes a third of it does not."""

_ONE: Final = 1.5
_ERROR: Final = 0.015
"""Surplus that proves a rise: one call and half a call of jitter, and per call the error of the estimate."""

_DEPTH: Final = 10.0
"""Seconds of the quota that a pause may have filled the bucket with; a throttle ends the climb if it was
more."""

_LOSES: Final = 0.99
"""Share of the rate granted on average, below which the bucket has no depth: it overflows in every hold."""

_STEADY: Final = 0.97
"""Share of a measurement below which the rate began so low that the bucket has overflowed."""

_DROPPED: Final = 1.05
"""Factor over the estimate at which a throttled rate is one from before a drop."""

_ABOVE: Final = 1.002
"""Factor over the estimate after a test: an estimate from a bucket that overflows is slightly too low."""


class RiseTest:
    """Decides when a tracking rate is tested; knows the quota as measured, and how new it is.

    Rates are calls per second.
    """

    def __init__(self, rate: float, estimate: float | None) -> None:
        self._estimate = Estimate(estimate)
        self._new_since = None if estimate is None else -math.inf
        self._is_new = True
        self._cut_to = self._untested = rate
        self._granted = 0.0

    @property
    def estimate(self) -> float | None:
        """The quota; None before the first measurement."""
        return self._estimate.rate

    def without(self, rate: float) -> float:
        """A tracking rate without the part that a test adds."""
        return min(rate, self._untested)

    def begin(self, rate: float) -> None:
        """Continue with a rate that was set, and not reached by growth."""
        self._cut_to = self._untested = rate
        self._granted = 0.0

    def measured(self, rate: float, calls: int, now: float) -> None:
        """Learn from a sample that has ended with a throttle.

        If the bucket has overflowed, the sample shows too little and does not lower the estimate.
        """
        before, self._granted = self.estimate, rate
        overflowed = self._cut_to <= _STEADY * rate
        if before is not None and overflowed and before / ANOTHER < rate <= before:
            return
        self._estimate.add(rate, calls)
        if before is None or not 1 / _CHANGED < rate / before < _CHANGED:
            self._new_since = now

    def growth(
        self, sample: Sample | None, silence: float, rate: float, quiet: int, now: float
    ) -> float | None:
        """Factor on the rate for a success, if a throttle is overdue; else None.

        quiet: successes since the last throttle. now: when the call left.
        """
        if self._new_since is None:
            self._new_since = now
        if quiet <= self._due(now - self._new_since):
            self._untested = rate
            return None
        if self.has_risen(sample, now):
            self._untested = rate
            return growth.climbing(silence, rate)
        # After a wrong cut, no throttle comes below the estimate, and no surplus above it.
        return growth.testing(silence, rate, max(self._untested, self.estimate or 0.0))

    def _due(self, age: float) -> float:
        due = _DUE + _DUE_RATE * self._cut_to
        self._is_new = age <= _NEW
        return min(due, _NEW_DUE * math.sqrt(self._cut_to)) if self._is_new else due

    def has_risen(self, sample: Sample | None, now: float) -> bool:
        """Whether more was granted than the estimate allows; also if nothing was measured yet."""
        if sample is None or self.estimate is None:
            return True
        filled = _DEPTH * self.estimate if sample.filled else 0.0
        return sample.surplus(self.estimate, now) > _ONE + _ERROR * sample.calls + filled

    def rate_after_throttle(self, rate: float) -> float:
        """The rate to continue with if the quota is the same: not above the tested or the throttled one.

        A new quota is tested before its rate has grown above it, so its estimate is the better rate. Later it
        is only tested if no throttle came by itself: the rate may be too low, and the estimate with it. What
        was granted on average since the last throttle is no more than the quota, so no rate need be below it.
        """
        if self.estimate is not None and self._cut_to > _DROPPED * self.estimate:
            return min(growth.CUT * rate, self.estimate)
        kept = max(self._untested, self._granted)
        if self._is_new and self.estimate is not None and self.estimate >= _LOSES * self._cut_to:
            kept = min(kept, max(self._cut_to, _ABOVE * self.estimate))
        return min(growth.CUT * rate, kept)
