"""From older versions of the checkpoint to this one, each step in the transaction that opens it."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, update

from bulk_invite.checkpoint.tables.schema import VERSION, about

_STEPS: Final[dict[int, tuple[str, ...]]] = {
    1: (  # of which there are files only: databases came later
        "ALTER TABLE invitations ADD COLUMN row_key TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE unsent_rows RENAME TO unsent_rows_1",
        # Its primary key has changed.
        """CREATE TABLE unsent_rows (
            source TEXT NOT NULL, line INTEGER NOT NULL, row_key TEXT NOT NULL DEFAULT '',
            run INTEGER NOT NULL REFERENCES runs (run), state TEXT NOT NULL, client_token TEXT NOT NULL,
            errors TEXT NOT NULL, PRIMARY KEY (source, line, row_key)) WITHOUT ROWID""",
        """INSERT INTO unsent_rows (source, line, row_key, run, state, client_token, errors)
            SELECT source, line, '', run, state, client_token, errors FROM unsent_rows_1""",
        "DROP TABLE unsent_rows_1",
    ),
    2: (
        "ALTER TABLE invitations ADD COLUMN changed BIGINT NOT NULL DEFAULT 0",
        "ALTER TABLE unsent_rows ADD COLUMN changed BIGINT NOT NULL DEFAULT 0",
    ),
}
"""What leads from a version to the next one."""


def migrate(connection: Connection, version: int) -> None:
    """Bring the tables from a version up to this program's."""
    for each in range(version, VERSION):
        for statement in _STEPS[each]:
            connection.exec_driver_sql(statement)
    if version < VERSION:
        connection.execute(update(about).where(about.c.key == "version").values(value=str(VERSION)))
