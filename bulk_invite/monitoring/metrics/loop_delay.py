"""How late the event loop is: while something holds it up, no call leaves and no answer is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import anyio

_INTERVAL: Final = 0.25
"""Seconds of the timer: what holds the loop up for longer is always seen."""


async def watch_loop(observe: Callable[[float], None]) -> None:
    """Tell by how many seconds a timer was late, again and again until cancelled."""
    while True:
        due = anyio.current_time() + _INTERVAL
        await anyio.sleep_until(due)
        observe(max(0.0, anyio.current_time() - due))
