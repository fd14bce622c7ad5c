"""Simulated senders: this program's governor, and a fixed rate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from bulk_invite.domain.full_engagements import FullEngagements
from bulk_invite.domain.verdicts import Signal
from bulk_invite.pacing.governor import Governor, Limits
from bulk_invite.pacing.parking import Permit, Why
from bulk_invite.pacing.rolling_window import RollingWindow
from bulk_invite.rehearsal.simulation.slow_disk import SlowDisk

_IN_FLIGHT: Final = 64
"""Maximum calls in flight: the default of `send`."""


@dataclass(frozen=True, slots=True)
class _Call:
    permit: Permit
    left: float


class GovernedSender:
    """Sends like `send`: evenly, and when its governor allows it. probes: times of its probe calls.

    Each of its rows is for another engagement. disk: commits calls and answers; None for one that takes no
    time.
    """

    def __init__(self, limits: Limits, began: float, disk: SlowDisk | None = None) -> None:
        self.governor = Governor(limits, RollingWindow(limits.daily.quota), None, began)
        self.probes: list[float] = []
        self._last = -math.inf
        self._in_flight = 0
        self._engagements = FullEngagements()
        self._ended = 0
        self._disk = disk

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
        return _Call(permit, now if self._disk is None else self._disk.commit(now))

    def leaves_at(self, call: object) -> float:
        assert isinstance(call, _Call)  # noqa: S101 - returned by `send`
        return call.left

    def answered(self, call: object, now: float, *, throttled: bool, retry_after: float | None) -> None:
        signal = Signal.THROTTLED if throttled else Signal.SUCCESS
        self._observe(call, signal, now, retry_after)
        if not throttled:
            self._engagements.note_created(self._next_engagement())

    def refused(self, call: object, now: float) -> None:
        self._observe(call, Signal.IGNORED, now)
        self._engagements.note_refused(self._next_engagement(), was_full=False)
        if self._engagements.is_account_full:
            self.governor.close(Why.ACCOUNT_FULL, now)

    def _observe(self, call: object, signal: Signal, now: float, retry_after: float | None = None) -> None:
        assert isinstance(call, _Call)  # noqa: S101 - returned by `send`
        self._in_flight -= 1
        if self._disk is not None:
            self._disk.commit(now)
        counted = signal is not Signal.THROTTLED
        self.governor.observe(
            call.permit,
            signal,
            sent_at=call.left,
            answered_at=now,
            counted=counted,
            retry_after=retry_after,
        )

    def _next_engagement(self) -> str:
        self._ended += 1
        return str(self._ended)


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
