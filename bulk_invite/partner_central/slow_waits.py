"""Report waits that take longer than expected."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

import structlog

_log = structlog.get_logger()

_FIRST: Final = 2.0
"""Seconds until the first report."""

_AGAIN: Final = 10.0
"""Seconds between reports."""


_interrupted: ContextVar[list[str]] = ContextVar("cut_off")


@contextmanager
def interrupted_waits() -> Iterator[list[str]]:
    """Collects what was awaited when a wait of this block is cancelled, innermost first."""
    waits: list[str] = []
    token = _interrupted.set(waits)
    try:
        yield waits
    finally:
        _interrupted.reset(token)


@contextmanager
def reported(what: Callable[[], str]) -> Iterator[None]:
    """Report what the block is waiting for, as long as it waits. what: called for each report."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    timer: asyncio.TimerHandle

    def report() -> None:
        nonlocal timer
        _log.warning("sender.waiting", waiting_for=what(), elapsed_s=round(loop.time() - began))
        timer = loop.call_later(_AGAIN, report)

    timer = loop.call_later(_FIRST, report)
    try:
        yield
    except asyncio.CancelledError:
        _interrupted.get([]).append(what())
        raise
    finally:
        timer.cancel()
