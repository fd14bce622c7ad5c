"""A limit for how long a database may take that is there and does not answer.

The line is whole and the kernel of the other side acknowledges, so no timeout of TCP ends the wait: the disk
of the server hangs, or its process was stopped. The only way out is to cut the line from this side.
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
    """Cuts the line to a server, by the file descriptor of its socket, where a transaction takes too long."""

    def __init__(self, descriptor: int, limit: float = LIMIT) -> None:
        self._descriptor = descriptor
        self._limit = limit
        self._since: float | None = None
        self._over = threading.Event()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """As long as the line is open."""
        thread = threading.Thread(target=self._watch, name="checkpoint-watchdog", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    @contextmanager
    def timing(self) -> Iterator[None]:
        """One transaction."""
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
        # Of a copy: whoever waits at the original sees the end of the line, and closes it.
        with suppress(OSError), socket.socket(fileno=os.dup(self._descriptor)) as line:
            line.shutdown(socket.SHUT_RDWR)
