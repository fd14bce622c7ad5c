"""Blocking work that may never return, on threads that the end of the process does not wait for."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

_Done = TypeVar("_Done")


def in_daemon_thread(work: Callable[[], _Done]) -> Future[_Done]:
    """Start the work. Wait for it with `asyncio.wrap_future`; cancelling the wait does not stop the work."""
    future: Future[_Done] = Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            future.set_exception(error)

    Thread(target=run, daemon=True).start()
    return future
