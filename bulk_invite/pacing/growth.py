"""How much a success raises the rate, and how much a throttle lowers it. Pure.

`silence` is always the seconds from one permit to the next, as spaced by the rate. When the calls leave after
that, and when their answers arrive, depends on disks and distances.
"""

from __future__ import annotations

import math
from typing import Final

_SHARE: Final = 0.006
"""The share of throttled calls at which a tracking rate settles.

A run may waste 1 %: the start needs some of it, and if calls leave in bursts because of a slow disk, several
are throttled at a time.
"""

CUT: Final = math.exp(-0.02)
_CALM: Final = CUT ** (-_SHARE / (1 - _SHARE))
"""Factors per throttle reacted to and per success; they balance at `_SHARE`."""

_DOUBLING: Final = 1.0
"""Seconds in which a rate doubles while it is sought."""

_RECOVERY: Final = 1.01
"""Factor per success until the rate is back at what is known to be possible."""

_QUIET: Final = 240
"""Successes without a throttle after which growth accelerates; at `_SHARE` 165 are usual, and in bursts up to
220."""

_QUIET_DOUBLING: Final = 16
"""Successes in which the growth of a quiet stretch doubles."""

_QUIET_MOST: Final = 0.3
"""Maximum growth of the rate per second in a quiet stretch."""

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


def following(silence: float, quiet: int, *, recovers: bool) -> float:
    """Factor on a rate that tracks the share of throttled calls.

    quiet: successes since the last throttle. recovers: the rate is below what is known to be possible.
    """
    least = _RECOVERY if recovers else _CALM
    most = (1 + _QUIET_MOST) ** min(silence, _LONGEST_STEP)
    # Growth doubles until it certainly exceeds `most`; beyond that the power would overflow.
    doublings = min((quiet - _QUIET) / _QUIET_DOUBLING, 14.0)
    return max(least, min(most, _CALM**2.0**doublings)) if doublings > 0 else least
