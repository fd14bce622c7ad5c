"""How much a success raises the rate, and how much a throttle lowers it. Pure.

`silence` is always the seconds from one permit to the next, as spaced by the rate. When the calls leave after
that, and when their answers arrive, depends on disks and distances.
"""

from __future__ import annotations

import math
from typing import Final

_SHARE: Final = 0.0059
"""The share of throttled calls at which a tracking rate settles: one in 170, if nothing changes.

A run may waste 1 %: the start and the tests of a new quota need some of it, and if calls leave in bursts
because of a slow disk, several are throttled at a time.
"""

CUT: Final[float] = math.exp(-0.02)
_CALM: Final[float] = CUT ** (-_SHARE / (1 - _SHARE))
"""Factors per throttle reacted to and per success; they balance at `_SHARE`."""

_DOUBLING: Final = 1.0
"""Seconds in which a rate doubles while it is sought."""

_RECOVERY: Final = 1.01
"""Factor per success until the rate is back at what is known to be possible."""

_TEST: Final = 0.15
_TEST_CALLS: Final = 1.5
"""Maximum growth during a test: as a share of the rate per second, and in calls per second per second.

A bucket that has one token left is empty after three seconds of the latter, at any rate. More would throttle
several calls of a round trip: at 50 per second and 300 ms, 15 are under way.
"""

_RISE: Final = 0.5
"""Maximum growth per second, as a share of the rate, once the quota is known to have risen."""

_PER_CALL: Final = 0.08
"""Maximum growth per success in both cases: below 6 per second a second has too few calls to notice the end
of a climb in time."""

_TEST_EXCESS: Final = 0.8
"""Maximum excess of a rate during a test, in units of the root of the rate: 1.8 at 1 per second, 12.5 at 10.

It drains one token per 1 to 5 calls, and a round trip of half a second throttles no more than two at once.
"""

_LATE: Final = 1.2
"""Intervals after which a call was not held back by the rate; its success does not raise it."""

_LONGEST_STEP: Final = 4.0
"""Maximum seconds of growth for one success, however slow the rate is."""


def was_held_back(silence: float, rate: float) -> bool:
    """Whether a call waited for the rate (calls per second): only then can the rate have been too low.

    The rate is the current one, and the call had that of one round trip earlier. So a rate that is sought
    grows by at most a fifth per round trip, which matters above half a second and keeps the overshoot small
    there.
    """
    return silence <= _LATE / rate


def seeking(silence: float) -> float:
    """Factor on a rate that is sought."""
    return math.pow(2.0, min(1.0, silence / _DOUBLING))


def following(*, recovers: bool) -> float:
    """Factor on a rate that tracks the share of throttled calls.

    recovers: the rate is below what is known to be possible.
    """
    return _RECOVERY if recovers else _CALM


def testing(silence: float, rate: float, tested: float) -> float:
    """Factor on a rate that asks for a throttle. tested: the rate at the beginning of the test."""
    if rate >= tested + _TEST_EXCESS * math.sqrt(tested):
        return _CALM
    return max(_CALM, _growth(silence, rate, min(_TEST, _TEST_CALLS / rate)))


def climbing(silence: float, rate: float) -> float:
    """Factor on a rate that the quota is known to exceed."""
    return max(_CALM, _growth(silence, rate, _RISE))


def _growth(silence: float, rate: float, most: float) -> float:
    return math.pow(1.0 + min(most, _PER_CALL * rate), min(silence, _LONGEST_STEP))
