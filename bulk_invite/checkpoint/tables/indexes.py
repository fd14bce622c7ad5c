"""Indexes that are made when they are first asked for: every row pays for them, and most runs do without."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, inspect

_INDEXES: Final = {
    "invitations_by_key": ("invitations", "(source, row_key)"),
    "invitations_by_engagement": ("invitations", "(engagement, state)"),
    "invitations_by_change": ("invitations", "(source, changed)"),
    "invitations_by_id": ("invitations", "(invitation_id) WHERE invitation_id <> ''"),
    "unsent_rows_by_change": ("unsent_rows", "(source, changed)"),
}
"""Their tables and columns."""


def require(connection: Connection, *names: str) -> None:
    """Make indexes that are not there yet.

    PostgreSQL locks a table against its own cleaning before it looks whether an index is there, so that is
    asked here, once for each connection.
    """
    known: set[str] = connection.info.setdefault("indexes", set())
    for name in names:
        if name in known:
            continue
        table, columns = _INDEXES[name]
        if not inspect(connection).has_index(table, name):
            connection.exec_driver_sql(f"CREATE INDEX {name} ON {table} {columns}")
        known.add(name)
