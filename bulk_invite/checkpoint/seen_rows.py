"""Find rows of sources that repeat each other, without a checkpoint and in flat memory.

The rows lie in a database without a name, which SQLite keeps in memory up to a limit, then in a file that no
other program can open, and deletes at the end. It holds hashes of 64 bits, with the random key that Python
has in each process: among ten million rows, two different ones share a hash once in 300,000 validations.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Container, Sequence
from contextlib import closing
from types import TracebackType
from typing import Any, Final, Self

from bulk_invite.domain.errors import TemporaryFilesError
from bulk_invite.domain.rows import Invitation, Position
from bulk_invite.domain.same_receiver import Earlier, receiver_of

_CACHE_KIB: Final = 16 * 1024
_OPTIONS: Final = ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{_CACHE_KIB}")
_TABLES: Final = (
    "CREATE TABLE first_rows (receiver INTEGER PRIMARY KEY, source INT, line INT, key TEXT, token INT)",
    "CREATE TABLE later_rows (token INTEGER PRIMARY KEY, source INT, line INT, key TEXT)",
)
_ADD: Final = "INSERT OR IGNORE INTO first_rows VALUES (?, ?, ?, ?, ?)"
_FIND: Final = "SELECT * FROM first_rows WHERE receiver IN (SELECT value FROM json_each(?))"
_ADD_LATER: Final = "INSERT OR IGNORE INTO later_rows VALUES (?, ?, ?, ?)"
_FIND_LATER: Final = "SELECT source, line, key FROM later_rows WHERE token = ?"

_Stored = tuple[int, int, int, str, int]


class SeenRows:
    """The rows of one validation. Use it as a context manager. Rows without an account are not compared."""

    def __init__(self, campaign: str) -> None:
        self._campaign = campaign
        self._sources: dict[str, int] = {}
        self._database = sqlite3.connect("", isolation_level=None)
        for option in _OPTIONS:
            self._database.execute(f"PRAGMA {option}")
        for table in _TABLES:
            self._database.execute(table)
        self._database.execute("BEGIN")  # one transaction: nothing of it is to be kept

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def add(self, rows: Sequence[Invitation], refused: Container[str] = ()) -> list[Earlier | None]:
        """Note rows, and return for each the earlier row that it repeats.

        refused: tokens of rows that the service has refused: only the same row repeats them. Raises
        TemporaryFilesError.
        """
        try:
            return self._added(rows, refused)
        except sqlite3.Error as error:
            raise TemporaryFilesError(str(error)) from error

    def _added(self, rows: Sequence[Invitation], refused: Container[str]) -> list[Earlier | None]:
        stored = [self._stored(row, apart=row.client_token in refused) for row in rows]
        first: dict[int, _Stored] = {}
        for each in stored:
            if each is not None:
                first.setdefault(each[0], each)
        with closing(self._database.cursor()) as cursor:
            cursor.executemany(_ADD, sorted(first.values()))  # neighbors lie on the same page
            if cursor.rowcount == len(stored):
                return [None] * len(rows)
        found = self._database.execute(_FIND, (json.dumps(list(first)),))
        known: dict[int, _Stored] = {each[0]: each for each in found}
        return [None if each is None else self._earlier(each, known[each[0]]) for each in stored]

    def _stored(self, row: Invitation, *, apart: bool) -> _Stored | None:
        receiver = receiver_of(row, self._campaign)
        if receiver is None:
            return None
        if apart:
            receiver += f"\0{row.client_token}".encode("utf-8", "surrogatepass")
        position = row.position
        source = self._sources.setdefault(position.source, len(self._sources))
        return hash(receiver), source, position.line, position.key, hash(row.client_token)

    def _earlier(self, row: _Stored, first: _Stored) -> Earlier | None:
        if row == first:
            return None
        _, *first_at, token = first
        if row[-1] == token:
            return Earlier(self._position(first_at), has_same_token=True)
        _, *at, token = row
        if self._database.execute(_ADD_LATER, (token, *at)).rowcount:
            return Earlier(self._position(first_at), has_same_token=False)
        (later_at,) = self._database.execute(_FIND_LATER, (token,))
        return Earlier(self._position(later_at), has_same_token=True)

    def _position(self, at: Sequence[Any]) -> Position:
        source, line, key = at
        return Position(list(self._sources)[source], line, key)
