"""How much a success raises the rate, and how much a throttle lowers it. Pure.

`silence` is always the seconds from one permit to the next, which the rate has spaced. How calls leave after
that, and when their answers come, is a matter of disks and distances.
"""

from __future__ import annotations

import math
from typing import Final

_SHARE: Final = 0.006
"""Share of throttled calls that a followed rate settles at. A run may waste 1 %: the start needs some of it,
and where calls leave in bunches, because the disk is slow, more than one is throttled at a time."""

CUT: Final = math.exp(-0.02)
_CALM: Final = CUT ** (-_SHARE / (1 - _SHARE))
"""Factors per reacted throttle and per success; they even out at `_SHARE`."""

_DOUBLING: Final = 1.0
"""Seconds in which a rate that is sought doubles."""

_RECOVERY: Final = 1.01
"""Factor per success until the rate is back at what is known to be possible."""

_QUIET: Final = 240
"""Successes without a throttle after which growth speeds up; at the share of `_SHARE` 165 are usual, and in
bunches up to 220."""

_QUIET_DOUBLING: Final = 16
"""Successes by which the growth of a quiet stretch doubles."""

_QUIET_MOST: Final = 0.3
"""Growth of the rate per second in a quiet stretch, at most."""

_LATE: Final = 1.2
"""Intervals after which a call that leaves was not held back by the rate; its success does not raise it."""

_LONGEST_STEP: Final = 4.0
"""Seconds of growth that one success stands for at most, however slow the rate is."""


def was_held_back(silence: float, rate: float) -> bool:
    """Whether a call waited for the rate (calls per second): only then that may have been too low.

    The rate is that of now, and the call had one of a round trip ago. So a rate that is sought grows by a
    fifth per round trip at most, which matters from half a second on, and keeps the overshoot small there.
    """
    return silence <= _LATE / rate


def seeking(silence: float) -> float:
    """Factor on a rate that is sought."""
    return math.pow(2.0, min(1.0, silence / _DOUBLING))


def following(silence: float, quiet: int, *, recovers: bool) -> float:
    """Factor on a rate that follows the share of throttled calls.

    quiet: successes since the last throttle. recovers: it is below what is known to be possible.
    """
    least = _RECOVERY if recovers else _CALM
    most = (1 + _QUIET_MOST) ** min(silence, _LONGEST_STEP)
    # Growth doubles until `most` is passed for certain; beyond that the power would overflow.
    doublings = min((quiet - _QUIET) / _QUIET_DOUBLING, 14.0)
    return max(least, min(most, _CALM**2.0**doublings)) if doublings > 0 else least
