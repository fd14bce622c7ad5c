"""Says what is waited for, where that takes longer than anybody would think."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

import structlog

_log = structlog.get_logger()

_FIRST: Final = 2.0
"""Seconds after which it is said."""

_AGAIN: Final = 10.0
"""Seconds after which it is said again."""


_cut_off: ContextVar[list[str]] = ContextVar("cut_off")


@contextmanager
def cut_off() -> Iterator[list[str]]:
    """What is waited for when a wait of this block is cancelled, the innermost first."""
    waits: list[str] = []
    token = _cut_off.set(waits)
    try:
        yield waits
    finally:
        _cut_off.reset(token)


@contextmanager
def told(what: Callable[[], str]) -> Iterator[None]:
    """Say what the block waits for, as long as it does. what: asked when it is said."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    timer: asyncio.TimerHandle

    def tell() -> None:
        nonlocal timer
        _log.warning("sender.waiting", waiting_for=what(), elapsed_s=round(loop.time() - began))
        timer = loop.call_later(_AGAIN, tell)

    timer = loop.call_later(_FIRST, tell)
    try:
        yield
    except asyncio.CancelledError:
        _cut_off.get([]).append(what())
        raise
    finally:
        timer.cancel()
