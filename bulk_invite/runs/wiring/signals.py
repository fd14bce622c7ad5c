"""Signals of a command that has something to finish: the first one drains, the second one aborts."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import anyio
import anyio.lowlevel
import structlog

from bulk_invite.domain.errors import EXIT_INTERRUPTED, BulkInviteError

_log = structlog.get_logger()

_STOP: Final = (signal.SIGINT, signal.SIGTERM)

_GRACE: Final = 10.0
"""Seconds that an aborted run has for work that cannot be cancelled."""


class Stoppable(Protocol):
    """What a signal stops: a run, or whatever runs one after the other."""

    @property
    def draining(self) -> bool: ...

    def drain(self) -> None: ...

    def abort(self) -> None: ...


async def handling_signals(
    stop: Stoppable,
    body: Callable[[], Awaitable[None]],
    last_words: Callable[[], None],
    reload: Callable[[], None] | None = None,
) -> None:
    """Run `body` while signals stop it. Raises BulkInviteError.

    After that signals are ignored: a late one would lose the result. last_words: called in another thread
    where an aborted run does not end by itself. reload: called on SIGHUP.
    """
    failure: BulkInviteError | None = None
    async with anyio.create_task_group() as group:
        group.start_soon(_watch, stop, reload, last_words)
        await anyio.lowlevel.checkpoint()  # now the signals are handled
        try:
            await body()
        except BulkInviteError as error:  # the task group would wrap it
            failure = error
        group.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def _watch(stop: Stoppable, reload: Callable[[], None] | None, last_words: Callable[[], None]) -> None:
    watched = _STOP if reload is None else (*_STOP, signal.SIGHUP)
    try:
        with anyio.open_signal_receiver(*watched) as signals:
            async for number in signals:
                if number == signal.SIGHUP and reload is not None:
                    reload()
                else:
                    _stop(stop, number, last_words)
    finally:
        # The receiver puts the default handlers back.
        for each in watched:
            signal.signal(each, signal.SIG_IGN)


def _stop(stop: Stoppable, number: signal.Signals, last_words: Callable[[], None]) -> None:
    if stop.draining:
        _log.warning("run.aborting", signal=number.name)
        stop.abort()
        _exit_after_grace(last_words)
    else:
        _log.warning(
            "run.draining", signal=number.name, now="finishing calls in flight; signal again to abort"
        )
        stop.drain()


def _exit_after_grace(last_words: Callable[[], None]) -> None:
    """End the process even where a database or a disk does not respond.

    That is as safe as a kill at any other moment.
    """

    def end_at_once() -> None:
        last_words()
        os._exit(EXIT_INTERRUPTED)

    end = threading.Timer(_GRACE, end_at_once)
    end.daemon = True
    end.start()


async def until_signal(
    body: Callable[[], Awaitable[None]], stop: Callable[[], None], grace: float
) -> signal.Signals | None:
    """Run `body` to its end or until a signal, which is returned; also that of a terminal that closes.

    stop: called on the signal; after `grace` seconds `body` is cancelled. After that signals are ignored, as
    above. Raises BulkInviteError of `body`, unless there was a signal.
    """
    caught: signal.Signals | None = None
    failure: BulkInviteError | None = None
    watched = [*_STOP, *([] if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else [signal.SIGHUP])]

    async def watch() -> None:
        nonlocal caught
        try:
            with anyio.open_signal_receiver(*watched) as signals:
                async for number in signals:
                    caught = number
                    stop()
                    scope.deadline = min(scope.deadline, anyio.current_time() + grace)
        finally:
            for each in watched:
                signal.signal(each, signal.SIG_IGN)

    async with anyio.create_task_group() as group:
        group.start_soon(watch)
        await anyio.lowlevel.checkpoint()  # now the signals are handled
        with anyio.CancelScope() as scope:
            try:
                await body()
            except BulkInviteError as error:
                failure = error
        group.cancel_scope.cancel()
    if failure is not None and caught is None:
        raise failure
    return caught
