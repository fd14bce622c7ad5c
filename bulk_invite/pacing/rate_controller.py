"""The sending rate, decided by what comes back. Pure: time is an argument.

The service has a token bucket of unknown rate r and depth b. At a throttle the bucket is empty, so between
two throttles it is empty at both ends, and the calls let in between them divided by the time are r, whatever
b is, provided that the bucket has not overflowed in between. Without throttles nothing can be measured, so
the rate tracks a small share of throttled calls: every success raises it slightly, every throttle that counts
lowers it by 2 %, and the two balance at that share.

    START    the rate doubles every second, until the first throttle halves it
    MEASURE  the rate is constant until two throttles enclose enough successes, and is then set to their
             measurement. If no throttle comes in that many successes, the rate is too low: try halfway up
    TRACK    the rate follows the share of throttled calls; if a throttle is overdue, it is raised until one
             arrives or the quota has proven to be higher (`rise_test`), and then climbs; the throttle that
             ends such a climb, or a cluster of throttles, is measured

Invariants: never above `ceiling`; one cut per round trip, because throttles of calls that left before the
last cut belong to the old rate; only throttles cut; after a throttle that counts nothing leaves for a while
(hold), because a server that charges for refused calls would never refill otherwise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Final

from bulk_invite.domain.durations import DAY
from bulk_invite.domain.verdicts import Signal
from bulk_invite.pacing import growth
from bulk_invite.pacing.quota_sample import Cluster, Sample
from bulk_invite.pacing.rise_test import RiseTest

_START_CUT: Final = 0.5

_NO_THROTTLE: Final = 25
"""Successes in a row after which MEASURE stops waiting: at 5 % above r, an empty bucket lasts 20 calls."""

_CLIMBED: Final = 1.1
"""Factor over a rate that MEASURE has tried; below it, the rate that was throttled is near enough."""

_APART: Final = 1.05
"""Factor between rate and sample from which the bucket must have overflowed: the sample is too low."""

_CLUSTER_CUTS: Final = (0.5, 0.9)
"""Shares of the rate between which a cluster cuts it to its measurement."""

_LONGEST_HOLD: Final = 8.0
"""Maximum seconds of silence after a throttle, unless the rate is so low that `SILENCE` takes longer."""

_PAUSE: Final = 3.0
"""Intervals without a call that are a pause, unless they are a hold: nothing is measured across it."""

SILENCE: Final = 10.0
"""Omitted calls that make a silence: a throttle after one is not the bucket's (see `parking`)."""

REUSED: Final = 0.9
"""Share of an earlier good rate to begin with; from there it recovers soon."""

_FLOOR: Final = 0.02
"""Minimum calls per second: at nearly zero, it would take hours to notice that the quota is back."""

LONGEST_RETRY_AFTER: Final = DAY
"""Seconds; a server that asks for more than a quota day is called again after it."""


class Phase(Enum):
    START = "start"
    MEASURE = "measure"
    TRACK = "track"


@dataclass(frozen=True, slots=True)
class RateLimits:
    """`start` and `ceiling` in calls per second."""

    start: float
    ceiling: float


class RateController:
    """Observes the signal of every attempt; decides how fast and how soon the next one may leave.

    phase: START to seek the rate from `limits.start` on; TRACK if that is near it. known: a rate that was
    recently possible, to return to at once. estimate: see the property.
    """

    def __init__(
        self,
        limits: RateLimits,
        phase: Phase = Phase.START,
        *,
        known: float = 0.0,
        estimate: float | None = None,
    ) -> None:
        self._ceiling = limits.ceiling
        self._rate = min(limits.start, limits.ceiling)
        self._phase = phase
        self._test = RiseTest(self._rate, estimate)
        self._sample: Sample | None = None
        self._quiet = 0
        self._cluster = Cluster()
        self._cut_at = -math.inf
        # For MEASURE: the rate at the last throttle, and one that has been possible since; 0.0 for none.
        self._too_high = self._possible = 0.0
        self._recover_to = known
        self._granted_rate = self._rate
        self._silent_until = -math.inf
        self._holds_in_a_row = 0

    @property
    def rate(self) -> float:
        """Calls per second."""
        return self._rate

    @property
    def estimate(self) -> float | None:
        """The quota in calls per second as last measured between two throttles; None before that."""
        return self._test.estimate

    @property
    def granted_rate(self) -> float:
        """The rate as of the last success, before any later throttles, without a test."""
        return self._granted_rate

    @property
    def aim(self) -> float:
        """The rate without a test, or the higher one that it is returning to."""
        return max(self._untested_rate, min(self._recover_to, self._ceiling))

    def limit(self, ceiling: float, *, seek: bool) -> None:
        """Never exceed `ceiling` from now on.

        Below a higher ceiling, the rate starts near the measured quota, is sought from its current value
        (`seek`), or the ceiling counts as right.
        """
        before, silent_until, self._ceiling = self._ceiling, self._silent_until, ceiling
        if ceiling < before:
            self._begin(min(self._rate, ceiling), self._phase)
        elif self.estimate is not None:
            self.restore(max(self._rate, min(self.estimate, ceiling)))
        elif ceiling > before or seek:
            self._begin(self._rate if seek else ceiling, Phase.START if seek else Phase.TRACK)
        self._silent_until = silent_until

    def restore(self, known: float) -> None:
        """Undo throttles that were not the bucket's: start near a rate that was good."""
        self._begin(REUSED * known, Phase.START if self.estimate is None else Phase.TRACK)
        self._recover_to = known

    def seek_from(self, rate: float) -> None:
        """Seek the rate anew: what was known of it no longer applies."""
        self._begin(rate, Phase.START)
        self._recover_to = 0.0

    def _begin(self, rate: float, phase: Phase) -> None:
        self._rate = min(max(_FLOOR, rate), self._ceiling)
        self._test.begin(self._rate)
        self._granted_rate = self._rate
        self._phase = phase
        self._quiet = 0
        self._sample = None
        self._cluster = Cluster()
        self._holds_in_a_row = 0
        self._silent_until = -math.inf

    def earliest(self) -> float:
        """The time before which no call may leave."""
        return self._silent_until

    def observe(
        self,
        signal: Signal,
        *,
        sent_at: float,
        answered_at: float,
        silence: float,
        retry_after: float | None = None,
    ) -> None:
        """Learn from one attempt.

        silence: seconds from the previous permit to the one of this call, as spaced by the rate; when calls
        leave after that also depends on the disk. retry_after: seconds, a minimum for the next call.
        """
        if signal is Signal.SUCCESS:
            self._succeeded(sent_at, silence)
        elif signal is Signal.THROTTLED:
            if retry_after is not None:
                until = answered_at + min(retry_after, LONGEST_RETRY_AFTER)
                self._silent_until = max(self._silent_until, until)
            if sent_at > self._cut_at:
                self._throttled(sent_at, answered_at)

    def passed(self) -> None:
        """Count a call that was let in and failed for another reason: the bucket had a token for it."""
        self._cluster.passed()
        if self._sample is not None:
            self._sample.calls += 1

    def _succeeded(self, sent_at: float, silence: float) -> None:
        self._quiet += 1
        self.passed()
        if sent_at > self._cut_at:
            self._holds_in_a_row = 0
        paused = silence > _PAUSE / self._rate and sent_at - silence > self._silent_until
        if self._phase is Phase.TRACK and (paused or self._sample is None):
            self._sample, self._quiet = Sample(sent_at, filled=True), 0
        if self._phase is Phase.MEASURE and self._quiet >= _NO_THROTTLE:
            self._stop_waiting()
        if growth.was_held_back(silence, self._rate):
            self._rate = min(self._ceiling, self._rate * self._growth(silence, sent_at))
        self._granted_rate = self._untested_rate

    @property
    def _untested_rate(self) -> float:
        return self._test.without(self._rate) if self._phase is Phase.TRACK else self._rate

    def _stop_waiting(self) -> None:
        """MEASURE has seen no throttle: the rate is too low."""
        self._quiet = 0
        if self._rate * _CLIMBED < self._too_high:
            self._possible = self._rate
            self._set(math.sqrt(self._rate * self._too_high), Phase.MEASURE)
        else:
            self._phase = Phase.TRACK
            # An estimate from before a drop is far above what was throttled last.
            self._recover_to = min(self.estimate or 0.0, _CLIMBED * self._too_high)

    def _growth(self, silence: float, sent_at: float) -> float:
        match self._phase:
            case Phase.START:
                return growth.seeking(silence)
            case Phase.MEASURE:
                return 1.0
            case Phase.TRACK:
                tested = self._test.growth(self._sample, silence, self._rate, self._quiet, sent_at)
                return tested or growth.following(recovers=self._rate < self._recover_to)

    def _throttled(self, sent_at: float, answered_at: float) -> None:
        """React to the first throttle of a round trip."""
        sample = self._sample or Sample(sent_at)
        measured = sample.rate(sent_at)
        has_risen = self._test.has_risen(sample, sent_at)
        if measured is not None:
            self._test.measured(measured, sample.calls, answered_at)
        next_sample = Sample(sent_at)
        if self._phase is not Phase.MEASURE:
            self._possible = 0.0
        self._too_high = self._rate
        if self._phase is Phase.START:
            self._set(self._rate * _START_CUT, Phase.MEASURE)
        elif self._phase is Phase.MEASURE and measured is not None:
            self._settle(measured, self._possible)
        elif self._phase is Phase.MEASURE:
            rough = max(self._rate * _START_CUT, sample.roughly(sent_at))
            self._set(min(self._rate * growth.CUT, rough), Phase.MEASURE)
            next_sample = sample  # the bucket was empty then and is empty now: continue counting
        elif measured is not None and has_risen:
            self._settle(measured, self._rate)
        elif (cluster := self._cluster.throttled(sent_at)) is not None:
            least, most = (share * self._rate for share in _CLUSTER_CUTS)
            self._set(max(least, min(most, cluster.roughly(sent_at))), Phase.MEASURE)
            next_sample = cluster
        else:
            self._set(self._test.rate_after_throttle(self._rate), Phase.TRACK)
        self._sample = next_sample
        self._quiet = 0
        self._recover_to = 0.0
        self._test.begin(self._rate)
        self._cut_at = answered_at
        self._hold(answered_at)

    def _settle(self, measured: float, tried: float) -> None:
        """Adopt a measurement. tried: a rate that seemed possible, perhaps because the bucket was full.

        If the two are far apart, the bucket may have overflowed: the quota lies between them, so try the
        middle.
        """
        if tried > _APART * measured:
            self._possible = 0.0
            self._set(min(self._rate, math.sqrt(measured * tried)), Phase.MEASURE)
        else:
            self._set(min(self._rate, measured), Phase.TRACK)

    def _set(self, rate: float, phase: Phase) -> None:
        # Not above the previous rate: the operator may have set less than the floor.
        self._rate = max(min(_FLOOR, self._rate), min(rate, self._ceiling))
        self._phase = phase

    def _hold(self, now: float) -> None:
        longest = max(_LONGEST_HOLD, SILENCE / self._granted_rate)
        hold = min(longest, 2.0 ** min(self._holds_in_a_row, 60) / self._rate)
        self._holds_in_a_row += 1
        self._silent_until = max(self._silent_until, now + hold)
