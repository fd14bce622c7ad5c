"""Write many rows with one statement: the rows are passed as one JSON text, which the database unpacks.

Why not `executemany`: SQLite's driver releases the GIL for every row, and while the event loop is busy it
waits up to five milliseconds to get it back, for each row of a batch. Over a network, each row would cost a
round trip.

The rows are lists, not objects: SQLite finds a member by its position in half the time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

import orjson
from sqlalchemy import (
    ClauseElement,
    Column,
    ColumnElement,
    Connection,
    Dialect,
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

BY_PAGE: Final = {"yield_per": 1000}
"""Rows are fetched a thousand at a time: memory does not grow with their number.

Options for one statement, not for its connection: there they would apply to all that follow.
"""

CHANGE: Final = bindparam("change", type_=BigInteger())
"""The number of the transaction, stored with each row that it changes."""


class _Extracted(FunctionElement[Any]):
    """A member of a row, as text or as its JSON type."""

    inherit_cache = True
    type = NullType()


@compiles(_Extracted, "sqlite")
def _by_sqlite(extracted: _Extracted, compiler: SQLCompiler, **options: Any) -> str:
    value, at = (compiler.process(clause, **options) for clause in extracted.clauses)
    return f"json_extract({value}, '$[{at}]')"


@compiles(_Extracted, "postgresql")
def _by_postgres(extracted: _Extracted, compiler: SQLCompiler, **options: Any) -> str:
    value, at = (compiler.process(clause, **options) for clause in extracted.clauses)
    return f"{value} ->> {at}"


class Members:
    """The members of a batch's rows, by name; each row is a sequence in this order."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def field(self, name: str, type_: Any) -> ColumnElement[Any]:
        """Select a member, with a type."""
        at = self.names.index(name)
        return cast(_Extracted(EACH.c.value, literal_column(str(at))), type_)

    def of(self, column: Column[Any]) -> ColumnElement[Any]:
        """Select the member named like a column."""
        return self.field(column.name, column.type)

    def insert_into(self, table: Table, **more: ColumnElement[Any]) -> Insert:
        """Insert the rows of a batch, which have a member for each column. more: values shared by all."""
        values = [self.of(table.c[name]) for name in self.names]
        return insert(table).from_select(
            [*self.names, *more], select(*values, *more.values()).select_from(EACH)
        )


def parameters(rows: Iterable[Sequence[object]], **more: object) -> dict[str, object]:
    """Build the parameters of a statement over a batch.

    Both databases truncate or refuse text at U+0000, so no text of a row may contain it; the validator
    rejects such tokens.
    """
    return {_PARAMETER: orjson.dumps({str(at): row for at, row in enumerate(rows)}).decode(), **more}


class Cursor(Protocol):
    """The result of a statement, as both drivers return it."""

    @property
    def rowcount(self) -> int: ...

    def __iter__(self) -> Iterator[Any]: ...


class _Compiled(NamedTuple):
    """constants: values that the statement itself has. order: of all values, if they have no names."""

    text: str
    constants: Mapping[str, Any]
    order: Sequence[str] | None


class Prepared:
    """A statement that never changes: compiled once for each database, executed by the driver itself.

    For statements that many transactions execute: SQLAlchemy takes 30 us for each execution, and 70 us more
    if a statement is built anew; this takes 4 us. Values are passed and returned as the driver has them.
    """

    def __init__(self, statement: ClauseElement) -> None:
        self.statement = statement
        self._compiled: dict[str, _Compiled] = {}

    def run(self, connection: Connection, values: Mapping[str, object]) -> Cursor:
        """Execute it within the transaction of a connection. Raises the driver's own errors."""
        dialect = connection.dialect
        text, constants, order = self._compiled.get(dialect.name) or self._compile(dialect)
        named = {**constants, **values}
        driver: Any = connection.connection.driver_connection
        cursor: Cursor = driver.execute(text, named if order is None else [named[name] for name in order])
        return cursor

    def _compile(self, dialect: Dialect) -> _Compiled:
        compiled = self.statement.compile(dialect=dialect)
        assert isinstance(compiled, SQLCompiler)  # noqa: S101 - for the type checker
        # For a value that is not passed, `params` has None: the driver shall refuse it instead.
        missing = {name for name, bound in compiled.binds.items() if bound.required}
        constants = {name: value for name, value in compiled.params.items() if name not in missing}
        made = self._compiled[dialect.name] = _Compiled(compiled.string, constants, compiled.positiontup)
        return made
