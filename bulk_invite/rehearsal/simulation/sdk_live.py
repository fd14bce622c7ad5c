"""The SDK's retry modes for real: threads with a synchronous botocore client, calling over HTTP.

The adaptive mode is the standard one and a limiter. botocore's own registration of that limiter gives it a
clock that cannot be stopped, and it lets threads sleep for as long as the rate it has come down to makes
them. Here the same objects are wired in the same way on a clock that ends: each sleep is at most the time of
one token at its lowest rate, 2 seconds, and the clock is looked at after it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final, Literal

import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.retries.adaptive import ClientRateLimiter, RateClocker
from botocore.retries.bucket import TokenBucket
from botocore.retries.standard import RetryEventAdapter, ThrottlingErrorDetector
from botocore.retries.throttling import CubicCalculator

from bulk_invite.validation import service_model

_ATTEMPTS: Final = 3
"""Calls for one row at most: botocore's `DEFAULT_MAX_ATTEMPTS`, which the environment could change."""

_TIMEOUT: Final = 10
"""Seconds to connect, and for an answer."""


class _OverError(Exception):
    """The time is over; raised where the SDK is about to make another call."""


@dataclass(frozen=True, slots=True)
class _Deadline:
    """A clock for botocore that ends. end: by `time.monotonic`."""

    end: float

    def is_over(self) -> bool:
        return time.monotonic() >= self.end

    def current_time(self) -> float:
        self.check()
        return time.time()

    def check(self, **event: object) -> None:
        """Raise `_OverError` once it is over; botocore passes what it is about to send."""
        del event
        if self.is_over():
            raise _OverError


def run_sdk(
    url: str,
    mode: Literal["standard", "adaptive"],
    requests: Iterator[dict[str, Any]],
    seconds: float,
    workers: int,
) -> None:
    """Create an invitation of one request after the other, refused or not, until the time is over.

    Ends with the requests, or at most 2 seconds and one call after `seconds`. Raises BotoCoreError where
    there is no answer.
    """
    client = _client(url, workers)
    deadline = _Deadline(time.monotonic() + seconds)
    if mode == "adaptive":
        _limit(client, deadline)
    client.meta.events.register_last("before-send", deadline.check)
    one_at_a_time = Lock()

    def work() -> None:
        while not deadline.is_over():
            with one_at_a_time:
                request = next(requests, None)
            if request is None:
                return
            with suppress(ClientError, _OverError):
                client.create_engagement_invitation(**request)

    with ThreadPoolExecutor(workers) as pool:
        for worker in [pool.submit(work) for _ in range(workers)]:
            worker.result()


def _client(url: str, workers: int) -> Any:
    session = botocore.session.Session()
    session.get_component("data_loader").search_paths.insert(0, str(service_model.FOLDER))
    return session.create_client(
        "partnercentral-selling",
        region_name="us-east-1",
        endpoint_url=url,
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="not-a-secret",  # noqa: S106 - the emulator lets everyone in
        config=Config(
            retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
            max_pool_connections=workers,
            connect_timeout=_TIMEOUT,
            read_timeout=_TIMEOUT,
            parameter_validation=False,
        ),
    )


def _limit(client: Any, clock: _Deadline) -> None:
    """What `botocore.retries.adaptive.register_retry_handler` does."""
    limiter = ClientRateLimiter(
        rate_adjustor=CubicCalculator(starting_max_rate=0, start_time=clock.current_time()),
        rate_clocker=RateClocker(clock),
        token_bucket=TokenBucket(max_rate=1, clock=clock),
        throttling_detector=ThrottlingErrorDetector(RetryEventAdapter()),
        clock=clock,
    )
    client.meta.events.register("before-send", limiter.on_sending_request)
    client.meta.events.register("needs-retry", limiter.on_receiving_response)
