"""Statements as text, which run on SQLAlchemy's connections and on SQLite's own driver.

`status` of a file uses only these: SQLAlchemy takes longer to import than all its statements to run (0.17 of
0.4 s).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from sqlalchemy import Connection


class Query(Protocol):
    """Runs a statement inside the current transaction. values: of its parameters, such as `:since`."""

    def __call__(self, statement: str, /, **values: object) -> Sequence[Sequence[Any]]:
        """Return all rows."""


def query_of(connection: Connection) -> Query:
    from sqlalchemy import text  # noqa: PLC0415 - imported before, with the connection

    def query(statement: str, /, **values: object) -> Sequence[Sequence[Any]]:
        return connection.execute(text(statement), values).all()

    return query


def query_of_file(driver: sqlite3.Connection) -> Query:
    def query(statement: str, /, **values: object) -> Sequence[Sequence[Any]]:
        return driver.execute(statement, values).fetchall()

    return query


def driver_of(connection: Connection) -> sqlite3.Connection:
    """The driver's connection behind one of SQLAlchemy's, to a file."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)  # noqa: S101 - for the type checker
    return driver
