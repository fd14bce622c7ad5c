"""Where a checkpoint is, by the name that the operator gives it."""

from __future__ import annotations

from pathlib import Path

from bulk_invite.checkpoint.database import Database
from bulk_invite.checkpoint.sqlite import SqliteFile


def database_at(place: str | Path, schema: str) -> Database:
    """The file of that path, or a schema of the database with that URL; files have none.

    Raises UsageError where the URL cannot be read.
    """
    if isinstance(place, Path) or "://" not in place:
        return SqliteFile(Path(place))
    # The driver takes a while to import, and most checkpoints are files.
    from bulk_invite.checkpoint.postgres import PostgresSchema  # noqa: PLC0415

    return PostgresSchema(place, schema)
