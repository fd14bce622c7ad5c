"""Pacers, governors and a service for them, with everything that a test does not speak of left out."""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count

from bulk_invite.domain.clock import Clock
from bulk_invite.domain.durations import DAY
from bulk_invite.domain.records import PacingState
from bulk_invite.domain.verdicts import Signal
from bulk_invite.pacing.governor import Governor, Limits
from bulk_invite.pacing.pacer import Pacer
from bulk_invite.pacing.parking import DailyLimits, Permit
from bulk_invite.pacing.rolling_window import RollingWindow


def make_governor(
    rate: float,
    *,
    start: float | None = None,
    daily_quota: int | None = None,
    probe_interval: float = 900.0,
    earlier: Iterable[float] = (),
    memory: PacingState | None = None,
    now: float = 0.0,
) -> Governor:
    """start: where the rate is sought from; None for a fixed one. earlier: when calls were answered."""
    window = RollingWindow(daily_quota)
    for time in earlier:
        window.add(time)
    limits = Limits(
        rate=rate,
        start=rate if start is None else start,
        seek=start is not None,
        daily=DailyLimits(daily_quota, probe_interval),
    )
    return Governor(limits, window, memory, now)


def make_pacer(governor: Governor | float, now: Callable[[], float], *, burst: float | None = None) -> Pacer:
    """A pacer whose clock is `now`, wall clock and all."""
    if not isinstance(governor, Governor):
        governor = make_governor(governor)
    return Pacer(governor, burst=burst, clock=Clock(now, now))


class Service:
    """Grants calls by a token bucket and, where it has a `cap`, by their number in 24 hours.

    later: (time, rate), from when on the bucket fills at another rate.
    """

    def __init__(
        self, rate: float, burst: float, *, cap: int | None = None, later: Sequence[tuple[float, float]] = ()
    ) -> None:
        self._rate = rate
        self._burst = self._level = burst
        self._at = 0.0
        self._cap = cap
        self._later = deque(later)
        self._day: deque[float] = deque()

    def refuses(self, now: float) -> str:
        """The reason why a call fails: "rate", "day", or "" if it is granted."""
        while self._later and self._later[0][0] <= now:
            at, rate = self._later.popleft()
            self._fill(at)
            self._rate = rate
        self._fill(now)
        while self._day and self._day[0] + DAY <= now:
            self._day.popleft()
        if self._cap is not None and len(self._day) >= self._cap:
            return "day"
        if self._level < 1:
            return "rate"
        self._level -= 1
        if self._cap is not None:
            self._day.append(now)
        return ""

    def _fill(self, now: float) -> None:
        self._level = min(self._burst, self._level + (now - self._at) * self._rate)
        self._at = now


@dataclass(frozen=True, slots=True)
class Call:
    """Times in seconds since the run began; `decided`: when the service said yes or no.

    refused: what for, "" where it was granted.
    """

    left: float
    decided: float
    answered: float
    refused: str
    probe: bool


@dataclass(slots=True)
class Trial:
    """All calls of a run as they were answered. parked: when an answer made the run park."""

    calls: list[Call] = field(default_factory=list)
    parked: list[float] = field(default_factory=list)

    @property
    def granted(self) -> list[Call]:
        return [call for call in self.calls if not call.refused]

    @property
    def refused(self) -> list[Call]:
        """Throttled calls that did not ask for it, as a probe does."""
        return [call for call in self.calls if call.refused and not call.probe]

    @property
    def probes(self) -> list[Call]:
        return [call for call in self.calls if call.probe]

    def since(self, time: float) -> Trial:
        return Trial([call for call in self.calls if call.decided >= time])


def send_for(
    seconds: float, governor: Governor, service: Service, *, latency: float = 0.1, seed: int = 0
) -> Trial:
    """Send as fast as the governor allows, from time 0 on; a tenth of the latency is jitter."""
    chance, order = random.Random(seed), count()
    trial = Trial()
    # (when, order, permit, when it was decided, what it was refused for; None while it is on its way there)
    events: list[tuple[float, int, Permit, float, str | None]] = []
    now, last = 0.0, -math.inf
    while True:
        leaves = max(now, last + 1 / governor.rate, governor.earliest(now))
        now = min(leaves, events[0][0] if events else math.inf)
        if now >= seconds:
            return trial
        if leaves <= now:
            if governor.earliest(now) <= now:
                last = now
                there = now + latency * (0.45 + 0.1 * chance.random())
                heapq.heappush(events, (there, next(order), governor.leave(now), there, None))
            continue
        _, number, permit, decided, refused = heapq.heappop(events)
        if refused is None:
            heapq.heappush(events, (now + latency / 2, number, permit, decided, service.refuses(now)))
            continue
        was_parked = governor.park(now) is not None
        answer(governor, permit, now, granted=not refused)
        trial.calls.append(Call(permit.at, decided, now, refused, permit.probe))
        if governor.park(now) is not None and not was_parked:
            trial.parked.append(now)


def answer(
    governor: Governor, permit: Permit, now: float, *, granted: bool, retry_after: float | None = None
) -> None:
    governor.observe(
        permit,
        Signal.SUCCESS if granted else Signal.THROTTLED,
        sent_at=permit.at,
        answered_at=now,
        counted=granted,
        retry_after=retry_after,
    )
