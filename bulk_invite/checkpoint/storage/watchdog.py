"""A time limit for a database that is reachable but does not respond.

The connection is intact and the remote kernel acknowledges, so no TCP timeout ends the wait: the server's
disk hangs, or its process was stopped. The only way out is to close the connection from this side.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

LIMIT: Final = 60.0
"""Seconds for one transaction: most take milliseconds, an index over millions of rows some ten seconds."""

_LOOK: Final = 1.0


class Watchdog:
    """Closes the connection to a server, by its socket's file descriptor, if a transaction takes too long."""

    def __init__(self, descriptor: int, limit: float = LIMIT) -> None:
        self._descriptor = descriptor
        self._limit = limit
        self._since: float | None = None
        self._over = threading.Event()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch while the connection is open."""
        thread = threading.Thread(target=self._watch, name="checkpoint-watchdog", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    @contextmanager
    def timing(self) -> Iterator[None]:
        """Time one transaction."""
        self._since = time.monotonic()
        try:
            yield
        finally:
            self._since = None

    def _watch(self) -> None:
        while not self._over.wait(min(_LOOK, self._limit / 4)):
            since = self._since
            if since is not None and time.monotonic() - since > self._limit:
                self._cut()
                return

    def _cut(self) -> None:
        # Shut down a duplicate: the thread waiting on the original sees the connection end, and closes it.
        with suppress(OSError), socket.socket(fileno=os.dup(self._descriptor)) as line:
            line.shutdown(socket.SHUT_RDWR)
