"""A database of the user: a table of rows to send, and one of their outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from database import Database
from rows import make_rows

from bulk_invite.domain.backoff import Backoff
from bulk_invite.sources.postgres.outcomes_table import OutcomeTable
from bulk_invite.sources.postgres.selection import Selection

READ = ("--table", "invitations", "--key", "id")


def filled(db: Database, count: int, *, blanks: int = 0) -> list[Any]:
    """A table `invitations` of valid rows, with keys from 1 on, that the role may read.

    blanks: their number after each request, so that fewer rows are read at once.
    """
    made = make_rows(count)
    # jsonb would not keep them.
    db.run(
        f"CREATE TABLE invitations (id bigint PRIMARY KEY, request {'json' if blanks else 'jsonb'} NOT NULL)"
    )
    db.run(f"GRANT SELECT ON invitations TO {db.role}")
    insert(db, made, key=1, blanks=blanks)
    return made


def insert(db: Database, rows: Sequence[Any], *, key: int, blanks: int = 0) -> None:
    """More rows, with keys upwards from one, in one transaction."""
    with db.connection() as connection, connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO invitations VALUES (%s, %s)",
            [
                (number, orjson.dumps(row).decode() + " " * blanks)
                for number, row in enumerate(rows, start=key)
            ],
        )


def with_outcomes(db: Database) -> None:
    """A table `outcomes` that the role may write to."""
    selection = Selection("invitations", None, "id")
    assert OutcomeTable(db.url, "outcomes", selection, "", Backoff(1, 1), lambda: 1.0).create()
    db.run(f"GRANT SELECT, INSERT, UPDATE ON outcomes TO {db.role}")
