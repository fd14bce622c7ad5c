"""Wait in slices, so that a stop is noticed soon."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

STOP_CHECK: Final = 0.1
"""Seconds between two checks for a stop."""


def wait(seconds: float, stop: Callable[[], bool]) -> None:
    end = time.monotonic() + seconds
    while not stop() and (left := end - time.monotonic()) > 0:
        time.sleep(min(left, STOP_CHECK))
