"""What a signal does to a command that has something to finish: the first drains, the second breaks off."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Awaitable, Callable
from typing import Final

import anyio
import anyio.lowlevel
import structlog

from bulk_invite.delivery.tracking.stop_switch import StopSwitch
from bulk_invite.domain.errors import EXIT_INTERRUPTED, BulkInviteError

_log = structlog.get_logger()

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

_PATIENCE: Final = 10.0
"""Seconds that a run which was told to break off is given for what it cannot be torn from."""


async def watch_signals(stop: StopSwitch) -> None:
    """Go on until cancelled; after that signals are ignored, lest the result be lost to a late one."""
    try:
        with anyio.open_signal_receiver(*_SIGNALS) as signals:
            async for number in signals:
                _heed(number, stop)
    finally:
        # The receiver puts the default handlers back.
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_IGN)


async def heeding_signals(stop: StopSwitch, body: Callable[[], Awaitable[None]]) -> None:
    """Do `body` while signals are heeded, its waits at the start among it. Raises BulkInviteError."""
    failure: BulkInviteError | None = None
    async with anyio.create_task_group() as group:
        group.start_soon(watch_signals, stop)
        await anyio.lowlevel.checkpoint()  # from here on it watches
        try:
            await body()
        except BulkInviteError as error:  # which the task group would wrap
            failure = error
        group.cancel_scope.cancel()
    if failure is not None:
        raise failure


def break_off_for_sure() -> None:
    """End the process after a while, whatever it waits for: a database or a disk that does not answer.

    It is as safe as to be killed at any other moment.
    """
    end = threading.Timer(_PATIENCE, os._exit, (EXIT_INTERRUPTED,))
    end.daemon = True
    end.start()


def _heed(number: signal.Signals, stop: StopSwitch) -> None:
    if stop.draining:
        _log.warning("run.aborting", signal=number.name)
        stop.abort()
        break_off_for_sure()
    else:
        _log.warning(
            "run.draining", signal=number.name, now="finishing calls in flight; signal again to abort"
        )
        stop.drain()
