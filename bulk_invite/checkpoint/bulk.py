"""Many rows in one statement: they are handed over as one JSON text and unpacked by the database itself.

Why not `executemany`: the driver gives Python's lock away for every row, and while the event loop is busy it
waits up to five milliseconds to get it back; a batch would take as many of those as it has rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson
from sqlalchemy import ColumnElement, Insert, Table, bindparam, func, insert, select

_PARAMETER: Final = "bulk"

EACH: Final = func.json_each(bindparam(_PARAMETER)).table_valued("value").alias("each_row")
"""The rows of a batch, in an UPDATE ... FROM or a SELECT."""


def field(name: str) -> ColumnElement[Any]:
    """A member of a row of the batch."""
    return func.json_extract(EACH.c.value, f"$.{name}")


def insert_each(table: Table, *columns: str) -> Insert:
    """Insert the rows of a batch; they have a member for each of the columns."""
    return insert(table).from_select(columns, select(*map(field, columns)).select_from(EACH))


def parameters(rows: Iterable[Mapping[str, object]]) -> dict[str, str]:
    """The parameters of a statement over a batch.

    SQLite ends a JSON text at U+0000, so no text of a row may hold it; the validator lets no such token pass.
    """
    return {_PARAMETER: orjson.dumps(list(rows)).decode()}
