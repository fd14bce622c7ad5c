"""Read the rows of a selection page by page, over as many connections as necessary."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, Final

import psycopg

from bulk_invite.domain.rows import Position, Row
from bulk_invite.sources.postgres.connection import cancelled_by, connect
from bulk_invite.sources.postgres.selection import ResolvedSelection, no_key, not_unique

_CHUNK_ROWS: Final = 256
"""Rows fetched at a time: an upper bound on what is transferred before their size is known."""

_PAGE_ROWS: Final = 5000
_PAGE_BYTES: Final = 8 << 20

_SOON: Final = 1.0
"""Seconds within which a fast reader uses up a page."""


Begin = Callable[[psycopg.Connection[Any], str | None], tuple[ResolvedSelection, str | None]]
"""Called whenever reading begins, or resumes over a new connection after all rows of the pages so far have
been taken, with the last of their keys: decides which rows to read, and after which key."""


class Reading:
    """The rows after a key, page by page; over several connections if one breaks or would be idle."""

    def __init__(
        self, url: str, found: ResolvedSelection, after: str | None, begin: Begin | None = None
    ) -> None:
        self._url = url
        self._found = found
        self._after = after
        self._begin = begin or (lambda _, after: (found, after))
        self._connection: psycopg.Connection[Any] | None = None
        self._cursor: psycopg.ServerCursor[Any] | None = None
        self._ended = False

    def page(self, stop: Callable[[], bool]) -> list[Row]:
        """The next rows; [] after the last one.

        After a psycopg.Error, the next call returns the same rows.
        """
        if self._ended:
            return []
        try:
            return self._page(stop)
        except psycopg.Error:
            self.pause()  # it is unusable now
            raise

    def batches(
        self, page: Callable[[], list[Row] | None], max_rows: int, max_bytes: int
    ) -> Generator[list[Row]]:
        """The rows in lists; `page` gets the next ones, None or [] at the end.

        No transaction is open while they wait to be taken.
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
        """Release the database until the next page is requested."""
        if self._connection is not None:
            self._connection.close()
        if self._cursor is not None:
            self._cursor.close()  # a closed connection needs no request
        self._connection = self._cursor = None

    def _page(self, stop: Callable[[], bool]) -> list[Row]:
        fresh = self._cursor is None
        connection = self._connection = self._connection or connect(self._url)
        with cancelled_by(stop, connection):
            if self._cursor is None:
                found, self._after = self._begin(connection, self._after)
                found.session.pin(connection)
                self._cursor = connection.cursor(name="rows", binary=True)
                self._cursor.execute(found.rows(found.after(self._after)))
            page, ended = self._read(self._cursor, again=self._after if fresh else None)
        # Only once all of it has arrived: an interrupted page is read again.
        self._ended = ended
        self._after = page[-1].position.key if page else self._after
        return page

    def _read(self, cursor: psycopg.ServerCursor[Any], *, again: str | None) -> tuple[list[Row], bool]:
        """A page, and whether it is the last one. again: a key that repeats the previous one."""
        page: list[Row] = []
        size, last = 0, self._after
        while len(page) < _PAGE_ROWS and size < _PAGE_BYTES:
            chunk = cursor.fetchmany(_CHUNK_ROWS)
            for key, request, too_long, label in chunk:
                if key == again:
                    again = None
                    continue
                if key == last:
                    raise not_unique(self._found.name, self._found.key)
                again, last = None, key
                page.append(row_of(self._found.name, key, request, too_long, label))
                size += len(page[-1].data)
            if len(chunk) < _CHUNK_ROWS:
                return page, True
        return page, False


def row_of(
    name: str,
    key: str,
    request: bytes | None,
    too_long: bool | None,  # noqa: FBT001 - as it is selected
    label: bytes | None,
) -> Row:
    if not key:
        raise no_key(name)
    # NULL is read as the JSON null: not a request.
    data = request or b"null" if not too_long else b""
    text = label.decode(errors="backslashreplace") if label else ""
    return Row(Position(name, key=key), data, oversized=bool(too_long), label=text)


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
