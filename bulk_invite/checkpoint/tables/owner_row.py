"""The owner of a checkpoint, stored in its `about` table: its first sender."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, bindparam, insert, update

from bulk_invite.checkpoint.tables.schema import about
from bulk_invite.domain.errors import CheckpointError
from bulk_invite.domain.records import Owner


def merged(known: Mapping[str, str], owner: Owner, name: str) -> Owner | None:
    """Return the best known owner, or None; raise CheckpointError for any other owner.

    known: the `about` table. name: display name of the checkpoint.
    """
    if "key_hash" not in known:
        return owner if owner.is_known else None
    first = Owner(known["account"], known["key_hash"])
    if not first.is_same_as(owner):
        raise CheckpointError(
            f"The checkpoint {name} belongs to {first}; the credentials are of {owner}.",
            hint="Use the credentials of that account, or another checkpoint with --checkpoint.",
        )
    # A key may have been rotated, and STS may answer this time.
    return Owner(owner.account or first.account, owner.key_hash)


def note(connection: Connection, known: Mapping[str, str], owner: Owner) -> None:
    rows = [{"name": "account", "new": owner.account}, {"name": "key_hash", "new": owner.key_hash}]
    if "key_hash" in known:
        statement = update(about).where(about.c.key == bindparam("name"))
        connection.execute(statement.values(value=bindparam("new")), rows)
    else:
        connection.execute(insert(about), [{"key": r["name"], "value": r["new"]} for r in rows])
