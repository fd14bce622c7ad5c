"""Blocking work on threads that the end of the process does not wait for: what is asked may never answer."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

_Done = TypeVar("_Done")


def detached(work: Callable[[], _Done]) -> Future[_Done]:
    """Begin it; `asyncio.wrap_future` waits for it, and whoever stops waiting does not stop it."""
    future: Future[_Done] = Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            future.set_exception(error)

    Thread(target=run, daemon=True).start()
    return future
