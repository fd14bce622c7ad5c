"""Many rows in one statement: they are handed over as one JSON text and unpacked by the database itself.

Why not `executemany`: SQLite's driver gives Python's lock away for every row, and while the event loop is
busy it waits up to five milliseconds to get it back; a batch would take as many of those as it has rows. Over
a network it would be as many round trips.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson
from sqlalchemy import (
    Column,
    ColumnElement,
    Insert,
    Table,
    bindparam,
    cast,
    func,
    insert,
    literal_column,
    select,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import BigInteger, NullType

_PARAMETER: Final = "rows"

EACH: Final = (
    # Both kinds of database have a json_each, of an object's members. Without a type the text is JSON to it.
    func.json_each(bindparam(_PARAMETER, type_=NullType())).table_valued("key", "value").alias("each_row")
)
"""The rows of a batch, in an UPDATE ... FROM or a SELECT."""

PAGE: Final = 1000
"""Rows fetched at a time, so that a million rows need no more memory than a thousand."""

CHANGE: Final = bindparam("change", type_=BigInteger())
"""The number of the transaction, in statements that note with a row when it was changed."""


class _Extracted(FunctionElement[Any]):
    """A member of a row, as text or as what JSON says it is."""

    inherit_cache = True
    type = NullType()


@compiles(_Extracted, "sqlite")
def _by_sqlite(extracted: _Extracted, compiler: SQLCompiler, **options: Any) -> str:
    value, path, _ = extracted.clauses
    return f"json_extract({compiler.process(value, **options)}, {compiler.process(path, **options)})"


@compiles(_Extracted, "postgresql")
def _by_postgres(extracted: _Extracted, compiler: SQLCompiler, **options: Any) -> str:
    value, _, name = extracted.clauses
    return f"{compiler.process(value, **options)} ->> {compiler.process(name, **options)}"


def field(name: str, type_: Any) -> ColumnElement[Any]:
    """A member of a row of the batch, of a type."""
    extracted = _Extracted(EACH.c.value, literal_column(f"'$.{name}'"), literal_column(f"'{name}'"))
    return cast(extracted, type_)


def field_for(column: Column[Any]) -> ColumnElement[Any]:
    """The member that has a column's name."""
    return field(column.name, column.type)


def insert_each(table: Table, *columns: str, **more: ColumnElement[Any]) -> Insert:
    """Insert the rows of a batch, which have a member for each of the columns. more: the same in all."""
    values = [field_for(table.c[name]) for name in columns]
    return insert(table).from_select([*columns, *more], select(*values, *more.values()).select_from(EACH))


def parameters(rows: Iterable[Mapping[str, object]], **more: object) -> dict[str, object]:
    """The parameters of a statement over a batch.

    Both kinds of database end or refuse a text at U+0000, so no text of a row may hold it; the validator lets
    no such token pass.
    """
    return {_PARAMETER: orjson.dumps({str(at): row for at, row in enumerate(rows)}).decode(), **more}
