"""The tables of a new checkpoint."""

from __future__ import annotations

from secrets import token_hex

from sqlalchemy import Connection, insert

from bulk_invite.checkpoint.storage.base import Database
from bulk_invite.checkpoint.tables.schema import about, metadata
from bulk_invite.checkpoint.tables.values import RECEIVER_KEY, VERSION


def make(database: Database, connection: Connection, catalog: str) -> dict[str, str]:
    """Create the tables of a new checkpoint; return its `about` table."""
    metadata.create_all(connection)
    database.mark_as_ours(connection)
    rows = {"version": str(VERSION), "catalog": catalog, RECEIVER_KEY: token_hex(32)}
    connection.execute(insert(about), [{"key": k, "value": v} for k, v in rows.items()])
    return rows
