"""Indexes that are created on first use: every row pays for them, and most runs do not need them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, inspect

_INDEXES: Final = {
    "invitations_by_key": ("invitations", "(source, row_key)"),
    "invitations_by_source": ("invitations", "(source, client_token)"),
    "invitations_by_engagement": ("invitations", "(engagement, state)"),
    "invitations_by_change": ("invitations", "(source, changed)"),
    "invitations_by_id": ("invitations", "(invitation_id) WHERE invitation_id <> ''"),
    "invitations_by_receiver": ("invitations", "(receiver) WHERE receiver <> ''"),
    "unsent_rows_by_change": ("unsent_rows", "(source, changed)"),
}
"""Table and columns of each index."""


def require(connection: Connection, *names: str) -> None:
    """Create the indexes that do not exist yet.

    PostgreSQL locks a table against autovacuum before it checks whether an index exists, so the check is made
    here, once per connection.
    """
    known: set[str] = connection.info.setdefault("indexes", set())
    for name in names:
        if name in known:
            continue
        if not exists(connection, name):
            connection.exec_driver_sql(_statement(name))
        known.add(name)


def exists(connection: Connection, name: str) -> bool:
    """Whether the index exists, for readers: they cannot create it."""
    return inspect(connection).has_index(_INDEXES[name][0], name)


def add_to_file(path: Path, name: str) -> None:
    """Create the index in a file that no other program uses. Raises sqlite3.Error."""
    with closing(sqlite3.connect(path)) as file:
        file.execute(_statement(name))


def _statement(name: str) -> str:
    table, columns = _INDEXES[name]
    return f"CREATE INDEX {name} ON {table} {columns}"
