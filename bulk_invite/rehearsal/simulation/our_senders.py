"""Simulated senders: this program's governor, and a fixed rate."""

from __future__ import annotations

import math
from typing import Final

from bulk_invite.domain.verdicts import Signal
from bulk_invite.pacing.governor import Governor, Limits
from bulk_invite.pacing.parking import Permit
from bulk_invite.pacing.rolling_window import RollingWindow

_IN_FLIGHT: Final = 64
"""Maximum calls in flight: the default of `send`."""


class GovernedSender:
    """Sends like `send`: evenly, and when its governor allows it. probes: times of its probe calls."""

    def __init__(self, limits: Limits, began: float) -> None:
        self.governor = Governor(limits, RollingWindow(limits.daily.quota), None, began)
        self.probes: list[float] = []
        self._last = -math.inf
        self._in_flight = 0

    @property
    def rate(self) -> float:
        return self.governor.rate

    def next_send(self, now: float) -> float:
        if self._in_flight >= _IN_FLIGHT:
            return math.inf
        return max(self._last + 1 / self.governor.rate, self.governor.earliest(now))

    def send(self, now: float) -> object:
        self._last = now
        self._in_flight += 1
        permit = self.governor.leave(now)
        if permit.probe:
            self.probes.append(now)
        return permit

    def answered(self, call: object, now: float, *, throttled: bool, retry_after: float | None) -> None:
        assert isinstance(call, Permit)  # noqa: S101 - returned by `send`
        self._in_flight -= 1
        self.governor.observe(
            call,
            Signal.THROTTLED if throttled else Signal.SUCCESS,
            sent_at=call.at,
            answered_at=now,
            counted=not throttled,
            retry_after=retry_after,
        )


class FixedSender:
    """Sends evenly at a fixed rate, whatever the answers."""

    def __init__(self, rate: float, began: float) -> None:
        self.rate = rate
        self._next = began

    def next_send(self, now: float) -> float:
        del now
        return self._next

    def send(self, now: float) -> object:
        del now
        self._next += 1 / self.rate
        return None

    def answered(self, call: object, now: float, *, throttled: bool, retry_after: float | None) -> None:
        """Ignored: the rate is fixed."""
