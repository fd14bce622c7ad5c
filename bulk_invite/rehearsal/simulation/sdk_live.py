"""The SDK's real retry modes: threads with a synchronous botocore client that calls over HTTP.

The adaptive mode is the standard mode plus a limiter. botocore registers that limiter with a clock that
cannot be stopped, so threads could sleep long at a low rate. Here, the same objects are wired in the same way
to a clock with an end: each sleep lasts at most the time of one token at the lowest rate, 2 seconds, and the
clock is checked after it.
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
"""Maximum calls per row: botocore's `DEFAULT_MAX_ATTEMPTS`, which the environment could change."""

_TIMEOUT: Final = 10
"""Seconds for connecting, and for a response."""


class _OverError(Exception):
    """The time is up; raised when the SDK is about to make another call."""


@dataclass(frozen=True, slots=True)
class _Deadline:
    """A clock for botocore with an end. end: by `time.monotonic`."""

    end: float

    def is_over(self) -> bool:
        return time.monotonic() >= self.end

    def current_time(self) -> float:
        self.check()
        return time.time()

    def check(self, **event: object) -> None:
        """Raise `_OverError` once the time is up. event: the arguments of botocore's event, unused."""
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
    """Send one request after another, whether refused or not, until the time is up.

    Ends with the last request, or at most 2 seconds and one call after `seconds`. Raises BotoCoreError where
    there is no response.
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
        aws_secret_access_key="not-a-secret",  # noqa: S106 - the emulator accepts every caller
        config=Config(
            retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
            max_pool_connections=workers,
            connect_timeout=_TIMEOUT,
            read_timeout=_TIMEOUT,
            parameter_validation=False,
        ),
    )


def _limit(client: Any, clock: _Deadline) -> None:
    """The same wiring as `botocore.retries.adaptive.register_retry_handler`."""
    limiter = ClientRateLimiter(
        rate_adjustor=CubicCalculator(starting_max_rate=0, start_time=clock.current_time()),
        rate_clocker=RateClocker(clock),
        token_bucket=TokenBucket(max_rate=1, clock=clock),
        throttling_detector=ThrottlingErrorDetector(RetryEventAdapter()),
        clock=clock,
    )
    client.meta.events.register("before-send", limiter.on_sending_request)
    client.meta.events.register("needs-retry", limiter.on_receiving_response)
