"""From older versions of the checkpoint to this one, each step in the transaction that opens it."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, update

from bulk_invite.checkpoint.schema import VERSION, about, unsent_rows

_COPY: Final = (
    "INSERT INTO unsent_rows (source, line, row_key, run, state, client_token, errors)"
    " SELECT source, line, '', run, state, client_token, errors FROM unsent_rows_1"
)

_STEPS: Final[dict[int, tuple[str, ...]]] = {
    1: (
        "ALTER TABLE invitations ADD COLUMN row_key TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE unsent_rows RENAME TO unsent_rows_1",
        "CREATE",
        _COPY,
        "DROP TABLE unsent_rows_1",
    ),
}
"""What leads from a version to the next one. CREATE: `unsent_rows`, whose primary key has changed."""


def migrate(connection: Connection, version: int) -> None:
    """Bring the tables from a version up to this program's."""
    for each in range(version, VERSION):
        for statement in _STEPS[each]:
            if statement == "CREATE":
                unsent_rows.create(connection)
            else:
                connection.exec_driver_sql(statement)
    if version < VERSION:
        connection.execute(update(about).where(about.c.key == "version").values(value=str(VERSION)))
