"""Runs one sender against one emulated quota in virtual time. Rows never run out.

As in the emulator, a call sent at t is decided half a latency plus jitter later, and answered half a latency
after that. The quota is the emulator's own.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Final, Protocol, runtime_checkable

from bulk_invite.rehearsal.emulator.options import Options
from bulk_invite.rehearsal.emulator.quotas import quota_of

_MOST_CALLS: Final = 300_000
"""Calls after which a trial ends: enough to judge a sender that is throttled all day."""

_EPOCH: Final = 1_800_000_000.0
"""Epoch seconds at which a simulation starts; the seed shifts it within a second."""


class Sender(Protocol):
    """A simulated sender. Times are seconds on one clock."""

    def next_send(self, now: float) -> float:
        """The time of the next call; inf where the sender waits for an answer first."""
        ...

    def send(self, now: float) -> object:
        """Send a call now. The returned value is passed to `answered`."""
        ...

    def answered(self, call: object, now: float, *, throttled: bool, retry_after: float | None) -> None:
        """Take the answer to a call. retry_after: seconds, where the server sends it."""
        ...

    @property
    def rate(self) -> float | None:
        """The sender's own rate in calls per second; None if it has none."""
        ...


@runtime_checkable
class AccountAware(Protocol):
    """A sender that distinguishes a full engagement from a full account. To others it is any other answer."""

    def refused(self, call: object, now: float) -> None:
        """Take the answer that an engagement, or the account, is full."""
        ...


@runtime_checkable
class Committing(Protocol):
    """A sender that commits each call to a checkpoint before it leaves, and each answer."""

    def leaves_at(self, call: object) -> float:
        """When the commit of a call ends."""
        ...


@dataclass(frozen=True, slots=True)
class SimulatedCall:
    """One decided call. time: seconds since the start; rate: the sender's own; others: granted to others."""

    time: float
    throttled: bool
    rate: float | None
    others: int


@dataclass(slots=True)
class Trial:
    """The calls of `length` seconds, and the sender at the end (None if it was not simulated)."""

    length: float
    calls: list[SimulatedCall] = field(default_factory=list)
    sender: Sender | None = None

    def granted(self, start: float, end: float) -> int:
        return sum(not each.throttled for each in self._between(start, end))

    def throttled(self, start: float, end: float) -> int:
        return sum(each.throttled for each in self._between(start, end))

    def granted_to_others(self, start: float, end: float) -> int:
        """Calls granted to another program in that time, as of our last calls."""
        before = [each.others for each in self.calls if each.time < start]
        until = [each.others for each in self.calls if each.time < end]
        return (until[-1] if until else 0) - (before[-1] if before else 0)

    def _between(self, start: float, end: float) -> list[SimulatedCall]:
        return [each for each in self.calls if start <= each.time < end]


def simulate(
    options: Options, make: Callable[[float], Sender], length: float, seed: int, full_engagements: int = 0
) -> Trial:
    """Send for `length` seconds to a server with these options. make: creates a sender for its start time.

    full_engagements: each row is for another engagement, and so many of them, the first ones, are full.
    """
    chance = random.Random(seed)  # noqa: S311 - the same seed, the same trial
    began = now = _EPOCH + chance.random()
    end = began + length
    quota, sender = quota_of(options), make(began)
    trial = Trial(length, sender=sender)
    order = count()
    allowed = 0
    # (time, order, call, wait in seconds until it would be granted, or None before the decision)
    events: list[tuple[float, int, object, float | None]] = []
    while True:
        leaves = max(now, sender.next_send(now))
        now = min(leaves, events[0][0] if events else math.inf)
        if now >= end or len(trial.calls) >= _MOST_CALLS:
            trial.length = min(length, now - began)
            return trial
        if leaves <= now:
            call = sender.send(now)
            left = sender.leaves_at(call) if isinstance(sender, Committing) else now
            arrives = left + options.latency / 2 + options.jitter * chance.random()
            heapq.heappush(events, (arrives, next(order), call, None))
            continue
        _, _, call, wait = heapq.heappop(events)
        if wait is None:
            wait = quota.take(now)
            trial.calls.append(SimulatedCall(now - began, wait > 0, sender.rate, quota.granted_to_others))
            heapq.heappush(events, (now + options.latency / 2, next(order), call, wait))
        else:
            allowed += wait <= 0
            if wait <= 0 and allowed <= full_engagements and isinstance(sender, AccountAware):
                sender.refused(call, now)
                continue
            retry_after = wait if wait > 0 and options.tell_retry_after else None
            sender.answered(call, now, throttled=wait > 0, retry_after=retry_after)


def max_granted(options: Options, start: float, end: float) -> int:
    """Calls granted to a sender that knows the quota, from `start` to `end` seconds after its first call."""
    quota, now, granted = quota_of(options), 0.0, 0
    while now < end:
        wait = quota.take(now)
        if wait > 0:
            now += wait
        else:
            granted += now >= start
    return granted
