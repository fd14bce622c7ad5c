"""Simulated senders with the retry modes "standard" and "adaptive" of the AWS SDK for Python.

botocore's own objects make the decisions, wired like in its `register_retry_handler` functions. Only the
workers are ours: they wait in virtual time where the SDK blocks a thread. Each takes a row, sends it, retries
it after the SDK's backoff while it is throttled, and takes the next row once it is granted or given up.
Neither mode uses x-amz-retry-after (botocore 1.40).
"""

from __future__ import annotations

import heapq
import math
import random
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

from botocore.awsrequest import AWSResponse
from botocore.retries.adaptive import ClientRateLimiter, RateClocker
from botocore.retries.bucket import TokenBucket
from botocore.retries.quota import RetryQuota
from botocore.retries.standard import (
    ExponentialBackoff,
    RetryEventAdapter,
    RetryHandler,
    RetryPolicy,
    RetryQuotaChecker,
    StandardRetryConditions,
    ThrottlingErrorDetector,
)
from botocore.retries.throttling import CubicCalculator

_TICK: Final = 1e-6
"""Extra seconds of each wait, because epoch seconds as floats are 0.2 microseconds apart."""

_GRANTED: Final = AWSResponse("", 200, {}, None)
_REFUSED: Final = AWSResponse("", 400, {}, None)


@dataclass(slots=True)
class Call:
    """One attempt for a row, from 1. context: botocore's data of a request, kept across attempts."""

    attempt: int = 1
    context: dict[str, Any] = field(default_factory=dict)

    def needs_retry(self, *, throttled: bool) -> dict[str, Any]:
        """The arguments of botocore's event "needs-retry" for the answer to this call."""
        return {
            "response": (_REFUSED, {"Error": {"Code": "ThrottlingException"}})
            if throttled
            else (_GRANTED, {}),
            "attempts": self.attempt,
            "operation": None,
            "caught_exception": None,
            "request_dict": {"context": self.context},
        }


class _Workers:
    """The workers that wait only for time, and the retry state that they share."""

    def __init__(self, began: float, workers: int, seed: int) -> None:
        self._order = count()
        # (time, order, next call)
        self._ready = [(began, next(self._order), Call()) for _ in range(workers)]
        self._retry_quota = RetryQuotaChecker(RetryQuota())
        chance = random.Random(seed)  # noqa: S311 - the same seed, the same trial
        self._retries = RetryHandler(
            RetryPolicy(StandardRetryConditions(), ExponentialBackoff(random=chance.random)),
            RetryEventAdapter(),
            self._retry_quota,
        )

    def next_ready(self) -> float:
        return self._ready[0][0] if self._ready else math.inf

    def take(self) -> Call:
        """The call of the worker that has been ready for longest."""
        return heapq.heappop(self._ready)[-1]

    def answered(self, call: object, now: float, *, throttled: bool) -> None:
        assert isinstance(call, Call)  # noqa: S101 - returned by `send`
        backoff: float | None = None
        if throttled:
            backoff = self._retries.needs_retry(**call.needs_retry(throttled=True))
        else:
            self._retry_quota.release_retry_quota(call.context, _GRANTED)
        following = Call() if backoff is None else Call(call.attempt + 1, call.context)
        heapq.heappush(self._ready, (now + (backoff or 0.0), next(self._order), following))


class StandardSender:
    """Up to three attempts per row while the retry quota lasts; first attempts are not limited."""

    rate: float | None = None

    def __init__(self, began: float, *, workers: int = 10, seed: int = 0) -> None:
        self._workers = _Workers(began, workers, seed)

    def next_send(self, now: float) -> float:
        return max(now, self._workers.next_ready())

    def send(self, now: float) -> object:
        del now
        return self._workers.take()

    def answered(self, call: object, now: float, *, throttled: bool, retry_after: float | None) -> None:
        del retry_after
        self._workers.answered(call, now, throttled=throttled)


@dataclass(slots=True)
class _Clock:
    """Replaces botocore's `Clock`; none of its classes calls `sleep`."""

    now: float

    def current_time(self) -> float:
        return self.now


class AdaptiveSender:
    """Like `StandardSender`, but from the first throttle on, every attempt also takes a token.

    A worker gets its token once the bucket holds one at the current rate. The order of the waiting workers
    does not matter, because rows are alike.
    """

    def __init__(self, began: float, *, workers: int = 50, seed: int = 0) -> None:
        self._workers = _Workers(began, workers, seed)
        self._clock = _Clock(began)
        self._bucket = TokenBucket(max_rate=1, clock=self._clock)
        self._limiter = ClientRateLimiter(
            rate_adjustor=CubicCalculator(starting_max_rate=0, start_time=began),
            rate_clocker=RateClocker(self._clock),
            token_bucket=self._bucket,
            throttling_detector=ThrottlingErrorDetector(RetryEventAdapter()),
            clock=self._clock,
        )
        self._limited = False

    @property
    def rate(self) -> float | None:
        return float(self._bucket.max_rate) if self._limited else None

    def next_send(self, now: float) -> float:
        ready = max(now, self._workers.next_ready())
        return max(ready, now + self._wait(now)) if self._limited and ready < math.inf else ready

    def send(self, now: float) -> object:
        self._clock.now = now
        if self._limited:  # as the limiter does before a call, without blocking a thread
            self._bucket.acquire(block=False)
        return self._workers.take()

    def answered(self, call: object, now: float, *, throttled: bool, retry_after: float | None) -> None:
        del retry_after
        assert isinstance(call, Call)  # noqa: S101 - returned by `send`
        self._clock.now = now
        self._limiter.on_receiving_response(**call.needs_retry(throttled=throttled))
        self._limited |= throttled
        self._workers.answered(call, now, throttled=throttled)

    def _wait(self, now: float) -> float:
        """Seconds until the bucket holds a token."""
        self._clock.now = now
        self._bucket.max_rate = self._bucket.max_rate  # setting the rate makes botocore refill
        missing: float = 1 - self._bucket.available_capacity
        return missing / self._bucket.max_rate + _TICK if missing > 0 else 0.0
