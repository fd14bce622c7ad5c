"""Rows of a database, in the order of their key, while servers restart and the rows wait to be sent.

Invariant: what is held is one page of rows, and no transaction is open while they wait: a page is read to its
end before the first of its rows is handed out. Only where rows are taken as fast as they come (`validate`)
does the reading go on where it stands.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial
from typing import Any, Final

import psycopg
import structlog

from bulk_invite.backoff import Backoff
from bulk_invite.invitation import Position, Row
from bulk_invite.libpq import check_address, is_passing, said
from bulk_invite.sources.postgres.connection import cancelled_by, connect, refusal
from bulk_invite.sources.postgres.selection import Found, Selection, not_unique

_log = structlog.get_logger()

_CHUNK_ROWS: Final = 256
"""Rows asked for at a time: what may come over the line before their size is known."""

_PAGE_ROWS: Final = 5000
_PAGE_BYTES: Final = 8 << 20

_SOON: Final = 1.0
"""Seconds within which a page is used up by one who does not wait for anything."""

_STOP_CHECK: Final = 0.1


class PostgresSource:
    """One table or query.

    name: what it is called in positions, `postgresql:DATABASE/TABLE/KEY`. lines: rows handed out so far.
    size, consumed: as of a file; nobody counts its bytes.
    """

    size: int | None = None
    has_keys = True

    def __init__(self, url: str, selection: Selection, backoff: Backoff, random: Callable[[], float]) -> None:
        """Look whether it can be read. Raises UsageError for the address, SourceError for all else.

        backoff: seconds until a connection that broke is made again; random: uniform in [0, 1).
        """
        check_address(url)
        self._url = url
        self._backoff = backoff
        self._random = random
        self.lines = self.consumed = 0
        try:
            with connect(url) as connection:
                self._found = selection.found(connection)
                self._found.require_unique(connection)
                connection.execute(self._found.rows(self._found.nowhere))
        except psycopg.Error as error:
            # Without its traceback: the driver's error carries the statement.
            raise refusal("The database cannot be read", error) from None
        self.name = self._found.name

    def batches(
        self,
        max_rows: int = 500,
        max_bytes: int = 1 << 20,
        stop: Callable[[], bool] = lambda: False,
        *,
        after: str | None = None,
    ) -> Generator[list[Row]]:
        """Rows in the order of the key, of those after a key where one is given; lists as of a file.

        A connection that breaks is made again, with a backoff, for as long as that takes. SourceError: two
        rows have the same key, or the database does not let them be read any more.
        """
        reading = _Reading(self._url, self._found, after)
        quick = False
        try:
            while page := self._tried(partial(reading.page, stop), stop):
                if not quick:
                    reading.pause()
                began = time.monotonic()
                for batch in _in_batches(page, max_rows, max_bytes):
                    self.lines += len(batch)
                    yield batch
                    quick = time.monotonic() - began < _SOON
                    if not quick:
                        reading.pause()
        finally:
            reading.pause()

    def rows(self, keys: Sequence[str], stop: Callable[[], bool] = lambda: False) -> list[Row]:
        """The rows of some keys, in order, as far as they are there; [] when `stop` came first."""

        def read() -> list[Row]:
            with connect(self._url) as connection, cancelled_by(stop, connection):
                found = connection.cursor(binary=True).execute(self._found.rows(self._found.among(keys)))
                return [_row(self.name, *each) for each in found]

        return self._tried(read, stop) or []

    def _tried(self, read: Callable[[], list[Row]], stop: Callable[[], bool]) -> list[Row] | None:
        """What it comes to, however often the connection breaks; None when a stop came first."""
        failures = 0
        while not stop():
            try:
                return read()
            except psycopg.Error as error:
                if stop():  # which has cancelled it
                    break
                if not is_passing(error):
                    raise refusal(self.name, error) from None
                failures += 1
                delay = self._backoff.delay(failures, self._random)
                _log.warning(
                    "source.unreachable", source=self.name, reason=said(error), next_try_s=round(delay, 1)
                )
                _sleep(delay, stop)
        return None


class _Reading:
    """The rows after a key, page by page; over several connections, where one breaks or would be idle."""

    def __init__(self, url: str, found: Found, after: str | None) -> None:
        self._url = url
        self._found = found
        self._after = after
        self._connection: psycopg.Connection[Any] | None = None
        self._cursor: psycopg.ServerCursor[Any] | None = None
        self._ended = False

    def page(self, stop: Callable[[], bool]) -> list[Row]:
        """The next rows; [] after the last one. psycopg.Error: the same ones come the next time."""
        if self._ended:
            return []
        try:
            return self._page(stop)
        except psycopg.Error:
            self.pause()  # it is of no use any more
            raise

    def pause(self) -> None:
        """Leave the database alone until the next page is asked for."""
        if self._connection is not None:
            self._connection.close()
        if self._cursor is not None:
            self._cursor.close()  # which asks nothing of a connection that is closed
        self._connection = self._cursor = None

    def _page(self, stop: Callable[[], bool]) -> list[Row]:
        fresh = self._connection is None
        connection = self._connection = self._connection or connect(self._url)
        with cancelled_by(stop, connection):
            if self._cursor is None:
                self._cursor = connection.cursor(name="rows", binary=True)
                self._cursor.execute(self._found.rows(self._found.after(self._after)))
            page, ended = self._read(self._cursor, again=self._after if fresh else None)
        # Not before all of it is here: a page that breaks off is read again.
        self._ended = ended
        self._after = page[-1].position.key if page else self._after
        return page

    def _read(self, cursor: psycopg.ServerCursor[Any], *, again: str | None) -> tuple[list[Row], bool]:
        """A page, and whether it is the last one. again: the key that comes first a second time."""
        page: list[Row] = []
        size, last = 0, self._after
        while len(page) < _PAGE_ROWS and size < _PAGE_BYTES:
            chunk = cursor.fetchmany(_CHUNK_ROWS)
            for key, request, too_long in chunk:
                if key == again:
                    again = None
                    continue
                if key == last:
                    raise not_unique(self._found.name, self._found.key)
                again, last = None, key
                page.append(_row(self._found.name, key, request, too_long))
                size += len(page[-1].data)
            if len(chunk) < _CHUNK_ROWS:
                return page, True
        return page, False


def _row(name: str, key: str, request: bytes | None, too_long: bool | None) -> Row:  # noqa: FBT001 - as it is selected
    # What is NULL is read as what JSON has for it: no request.
    return Row(Position(name, key=key), request or b"null" if not too_long else b"", oversized=bool(too_long))


def _in_batches(page: Sequence[Row], max_rows: int, max_bytes: int) -> Iterator[list[Row]]:
    batch: list[Row] = []
    size = 0
    for row in page:
        if batch and (len(batch) == max_rows or size + len(row.data) > max_bytes):
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += len(row.data)
    yield batch


def _sleep(seconds: float, stop: Callable[[], bool]) -> None:
    end = time.monotonic() + seconds
    while not stop() and (left := end - time.monotonic()) > 0:
        time.sleep(min(left, _STOP_CHECK))
