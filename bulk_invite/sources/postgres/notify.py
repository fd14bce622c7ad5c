"""Listen for NOTIFY, so that new rows are read immediately.

This is optional. If listening is impossible (a standby, some poolers, a broken connection) or no NOTIFY
arrives, polling finds the rows a little later.
"""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

import psycopg
import structlog
from psycopg import sql

from bulk_invite.libpq import error_text, is_transient
from bulk_invite.sources.interruptible_wait import STOP_CHECK
from bulk_invite.sources.postgres.connection import connect

_log = structlog.get_logger()

_AGAIN: Final = 5.0
_AGAIN_REFUSED: Final = 60.0
"""Seconds until listening is retried after a broken connection, and after a refusal by the server."""


class NotificationListener:
    """Listens while the context is open.

    It has a thread of its own: a listener that does not read its notifications makes the server keep them,
    for all its databases, until NOTIFY fails for every client. Rows may wait for hours to be taken;
    notifications may not.
    """

    def __init__(self, url: str, channel: str) -> None:
        self._url = url
        self._channel = channel
        self._rung = threading.Event()
        self._tried = threading.Event()
        self._over = threading.Event()
        self._end, self._ended = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="postgres-listen", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._end.close()
        self._thread.join()
        self._ended.close()

    def wait_until_heard(self, stop: Callable[[], bool]) -> None:
        """Wait until it is listening, or has found that it cannot."""
        while not stop() and not self._tried.wait(STOP_CHECK):
            pass

    def reset(self) -> None:
        self._rung.clear()

    def wait(self, seconds: float, stop: Callable[[], bool]) -> bool:
        """Wait up to `seconds`; return whether a notification has arrived."""
        end = time.monotonic() + seconds
        while not self._rung.is_set() and not stop() and (left := end - time.monotonic()) > 0:
            self._rung.wait(min(left, STOP_CHECK))
        return self._rung.is_set()

    def _run(self) -> None:
        while not self._over.is_set():
            again = _AGAIN
            try:
                with connect(self._url) as connection:
                    self._listen(connection)
            except psycopg.Error as error:
                if not is_transient(error):
                    again = _AGAIN_REFUSED
                    _log.debug("source.notify_unavailable", channel=self._channel, reason=error_text(error))
            self._tried.set()
            self._over.wait(again)

    def _listen(self, connection: psycopg.Connection[Any]) -> None:
        connection.autocommit = True  # it stays open for days, which a transaction must not
        connection.execute("SET default_transaction_read_only = on")
        connection.execute(
            "SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'idle_session_timeout'"
        )
        connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self._channel)))
        self._rung.set()  # for any notification missed until now
        self._tried.set()
        # Waiting in the driver, it would wake up ten times a second: 0.7 % of a core for nothing.
        with selectors.DefaultSelector() as selector:
            selector.register(connection, selectors.EVENT_READ)
            selector.register(self._ended, selectors.EVENT_READ)
            while not self._over.is_set():
                for _ in connection.notifies(timeout=0):
                    self._rung.set()
                selector.select()
