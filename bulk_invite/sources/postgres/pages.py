"""The rows of a selection page by page, over as many connections as that takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, Final

import psycopg

from bulk_invite.domain.rows import Position, Row
from bulk_invite.sources.postgres.connection import cancelled_by, connect
from bulk_invite.sources.postgres.selection import Found, no_key, not_unique

_CHUNK_ROWS: Final = 256
"""Rows asked for at a time: what may come over the line before their size is known."""

_PAGE_ROWS: Final = 5000
_PAGE_BYTES: Final = 8 << 20

_SOON: Final = 1.0
"""Seconds within which a page is used up by one who does not wait for anything."""


Begin = Callable[[psycopg.Connection[Any]], tuple[Found, str | None]]
"""Asked wherever the reading begins or goes on over a new connection, after all rows of the pages so far have
been taken: which rows there are to be read, and after which key."""


class Reading:
    """The rows after a key, page by page; over several connections, where one breaks or would be idle."""

    def __init__(self, url: str, found: Found, after: str | None, begin: Begin | None = None) -> None:
        self._url = url
        self._found = found
        self._after = after
        self._begin = begin or (lambda _: (found, self._after))
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

    def batches(
        self, page: Callable[[], list[Row] | None], max_rows: int, max_bytes: int
    ) -> Generator[list[Row]]:
        """The rows in lists; `page` gets the next ones, None or [] when that is all.

        The database is left alone while they wait to be taken.
        """
        quick = False
        try:
            while rows := page():
                if not quick:
                    self.pause()
                began = time.monotonic()
                for batch in _in_batches(rows, max_rows, max_bytes):
                    yield batch
                    quick = time.monotonic() - began < _SOON
                    if not quick:
                        self.pause()
        finally:
            self.pause()

    def pause(self) -> None:
        """Leave the database alone until the next page is asked for."""
        if self._connection is not None:
            self._connection.close()
        if self._cursor is not None:
            self._cursor.close()  # which asks nothing of a connection that is closed
        self._connection = self._cursor = None

    def _page(self, stop: Callable[[], bool]) -> list[Row]:
        fresh = self._cursor is None
        connection = self._connection = self._connection or connect(self._url)
        with cancelled_by(stop, connection):
            if self._cursor is None:
                found, self._after = self._begin(connection)
                found.session.pin(connection)
                self._cursor = connection.cursor(name="rows", binary=True)
                self._cursor.execute(found.rows(found.after(self._after)))
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
                page.append(row_of(self._found.name, key, request, too_long))
                size += len(page[-1].data)
            if len(chunk) < _CHUNK_ROWS:
                return page, True
        return page, False


def row_of(name: str, key: str, request: bytes | None, too_long: bool | None) -> Row:  # noqa: FBT001 - as it is selected
    if not key:
        raise no_key(name)
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
