"""One sender against one emulated quota, call by call, in virtual time. Rows never run out.

A call that leaves at t is decided half a latency and its jitter later, and answered half a latency after
that, as the emulator does it. The quota is the emulator's own.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Final, Protocol

from bulk_invite.rehearsal.emulator.options import Options
from bulk_invite.rehearsal.emulator.quotas import quota_of

_MOST_CALLS: Final = 300_000
"""Calls after which a trial ends: enough to see what becomes of a sender that is refused all day."""

_EPOCH: Final = 1_800_000_000.0
"""Epoch seconds around which a simulation begins; the seed shifts it within a second."""


class Sender(Protocol):
    """A way to send. Times are seconds on one clock."""

    def next_send(self, now: float) -> float:
        """When the next call leaves, at `now` at the earliest; inf where an answer has to come first."""
        ...

    def send(self, now: float) -> object:
        """A call leaves now. What is returned comes back with its answer."""
        ...

    def answered(self, call: object, now: float, *, throttled: bool, retry_after: float | None) -> None:
        """The answer to a call has come; `retry_after` in seconds, where the server tells it."""
        ...

    @property
    def rate(self) -> float | None:
        """Calls per second that it allows itself; None where it does not know such a thing."""
        ...


@dataclass(frozen=True, slots=True)
class Moment:
    """What the server decided of one call. time: seconds since the beginning; rate: the sender's by then."""

    time: float
    throttled: bool
    rate: float | None
    others: int


@dataclass(slots=True)
class Trial:
    """What happened in `length` seconds, and the sender as it was at the end (None: not a simulated one)."""

    length: float
    moments: list[Moment] = field(default_factory=list)
    sender: Sender | None = None

    def granted(self, start: float, end: float) -> int:
        return sum(not each.throttled for each in self._between(start, end))

    def throttled(self, start: float, end: float) -> int:
        return sum(each.throttled for each in self._between(start, end))

    def granted_to_others(self, start: float, end: float) -> int:
        """What another program took from the quota meanwhile, as of our last calls."""
        before = [each.others for each in self.moments if each.time < start]
        until = [each.others for each in self.moments if each.time < end]
        return (until[-1] if until else 0) - (before[-1] if before else 0)

    def _between(self, start: float, end: float) -> list[Moment]:
        return [each for each in self.moments if start <= each.time < end]


def simulate(options: Options, make: Callable[[float], Sender], length: float, seed: int) -> Trial:
    """Send for `length` seconds to a server with these options. make: a sender, for the time it begins at."""
    chance = random.Random(seed)  # noqa: S311 - the same seed, the same trial
    began = now = _EPOCH + chance.random()
    end = began + length
    quota, sender = quota_of(options), make(began)
    trial = Trial(length, sender=sender)
    order = count()
    # (when, order, call, its answer if it is decided already: seconds until it would be granted)
    events: list[tuple[float, int, object, float | None]] = []
    while True:
        leaves = max(now, sender.next_send(now))
        now = min(leaves, events[0][0] if events else math.inf)
        if now >= end or len(trial.moments) >= _MOST_CALLS:
            trial.length = min(length, now - began)
            return trial
        if leaves <= now:
            arrives = now + options.latency / 2 + options.jitter * chance.random()
            heapq.heappush(events, (arrives, next(order), sender.send(now), None))
            continue
        _, _, call, wait = heapq.heappop(events)
        if wait is None:
            wait = quota.take(now)
            trial.moments.append(Moment(now - began, wait > 0, sender.rate, quota.granted_to_others))
            heapq.heappush(events, (now + options.latency / 2, next(order), call, wait))
        else:
            retry_after = wait if wait > 0 and options.tell_retry_after else None
            sender.answered(call, now, throttled=wait > 0, retry_after=retry_after)


def most_possible(options: Options, start: float, end: float) -> int:
    """Calls that a sender that knows the quota is granted from `start` to `end`, seconds since its first."""
    quota, now, granted = quota_of(options), 0.0, 0
    while now < end:
        wait = quota.take(now)
        if wait > 0:
            now += wait
        else:
            granted += now >= start
    return granted
