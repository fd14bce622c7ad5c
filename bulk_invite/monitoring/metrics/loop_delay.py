"""Measures the delay of the event loop: while it is blocked, no call is sent and no response read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import anyio

_INTERVAL: Final = 0.25
"""Seconds between two measurements; a longer block is always noticed."""


async def watch_loop(observe: Callable[[float], None]) -> None:
    """Report how many seconds each timer is late, until cancelled."""
    while True:
        due = anyio.current_time() + _INTERVAL
        await anyio.sleep_until(due)
        observe(max(0.0, anyio.current_time() - due))
