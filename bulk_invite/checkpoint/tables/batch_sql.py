"""Write many rows with one statement: the rows are passed as one JSON text, which the database unpacks.

Why not `executemany`: SQLite's driver releases the GIL for every row, and while the event loop is busy it
waits up to five milliseconds to get it back, for each row of a batch. Over a network, each row would cost a
round trip.
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
    # Both databases have json_each for the members of an object. Without a type, the text is JSON to it.
    func.json_each(bindparam(_PARAMETER, type_=NullType())).table_valued("key", "value").alias("each_row")
)
"""The rows of a batch, in an UPDATE ... FROM or a SELECT."""

PAGE: Final = 1000
"""Rows fetched at a time: memory does not grow with the number of rows."""

CHANGE: Final = bindparam("change", type_=BigInteger())
"""The number of the transaction, stored with each row that it changes."""


class _Extracted(FunctionElement[Any]):
    """A member of a row, as text or as its JSON type."""

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
    """Select a member of a batch row, with a type."""
    extracted = _Extracted(EACH.c.value, literal_column(f"'$.{name}'"), literal_column(f"'{name}'"))
    return cast(extracted, type_)


def field_for(column: Column[Any]) -> ColumnElement[Any]:
    """Select the member named like a column."""
    return field(column.name, column.type)


def insert_each(table: Table, *columns: str, **more: ColumnElement[Any]) -> Insert:
    """Insert the rows of a batch, which have a member for each column. more: values shared by all rows."""
    values = [field_for(table.c[name]) for name in columns]
    return insert(table).from_select([*columns, *more], select(*values, *more.values()).select_from(EACH))


def parameters(rows: Iterable[Mapping[str, object]], **more: object) -> dict[str, object]:
    """Build the parameters of a statement over a batch.

    Both databases truncate or refuse text at U+0000, so no text of a row may contain it; the validator
    rejects such tokens.
    """
    return {_PARAMETER: orjson.dumps({str(at): row for at, row in enumerate(rows)}).decode(), **more}
