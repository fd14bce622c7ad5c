"""The number of a checkpoint's last transaction, which reveals that the latest ones are missing.

Every transaction that allows calls or stores their answers increments the number, and only from the value
that this program wrote last: a replaced checkpoint is noticed before the next call.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, bindparam, insert, update

from bulk_invite.checkpoint.tables import figures
from bulk_invite.checkpoint.tables.batch_sql import Prepared
from bulk_invite.checkpoint.tables.query import query_of
from bulk_invite.checkpoint.tables.schema import generation as table
from bulk_invite.checkpoint.tables.values import Generation, Stamp, is_later


def begin(connection: Connection) -> Generation:
    """Start at zero, with a new id."""
    first = Generation(uuid4().hex, 0, 0, None)
    connection.execute(insert(table).values(_values(first)))
    return first


def skip_to(connection: Connection, kept: Generation, number: int) -> Generation:
    """Skip numbers that missing transactions have already used."""
    connection.execute(update(table).values(number=number))
    return replace(kept, number=number)


def step(stamp: Stamp) -> Prepared:
    """Build the statement for `advance`, once: every commit executes it."""
    is_ours = (table.c.checkpoint == bindparam("ours"), table.c.number == bindparam("last"))
    changed: dict[str, Any] = {name: bindparam(f"new_{name}") for name in ("number", "calls", "at")}
    return Prepared(update(table).where(*is_ours).values({**changed, **stamp}))


def advance(
    connection: Connection, last: Generation, *, calls: int, at: float | None, step: Prepared
) -> Generation | None:
    """Make this transaction the next one; None if the last one was not ours. step: see `step`."""
    new = Generation(last.checkpoint, last.number + 1, last.calls + calls, last.at if at is None else at)
    ours = {"ours": last.checkpoint, "last": last.number}
    values = {"new_number": new.number, "new_calls": new.calls, "new_at": new.at}
    return new if step.run(connection, ours | values).rowcount == 1 else None


def is_behind(connection: Connection, known: Generation | None) -> bool:
    """Whether a checkpoint lacks a known transaction."""
    return known is not None and is_later(known, figures.generation(query_of(connection)))


def _values(generation: Generation) -> dict[str, object]:
    return {
        "checkpoint": generation.checkpoint,
        "number": generation.number,
        "calls": generation.calls,
        "at": generation.at,
    }
