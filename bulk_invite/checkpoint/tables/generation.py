"""Which transaction a checkpoint ends with, so that one that lacks the last ones is told from the right one.

Every transaction that lets calls leave or keeps their answers raises the number by one, and only from the
number that the program wrote last: what somebody else has put in its place is noticed before the next call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Update, bindparam, insert, select, update

from bulk_invite.checkpoint.tables.schema import generation as table

Stamp = Mapping[str, Any]
"""What a database adds to a generation: columns of its table, as values or SQL."""


@dataclass(frozen=True, slots=True)
class Generation:
    """checkpoint: what tells it from all others. number: of its last transaction.

    calls: that it has let leave. at: epoch seconds of the last of them, None where none was.
    """

    checkpoint: str
    number: int
    calls: int
    at: float | None


def begin(connection: Connection) -> Generation:
    """The first one, of a new checkpoint."""
    first = Generation(uuid4().hex, 0, 0, None)
    connection.execute(insert(table).values(_values(first)))
    return first


def read(connection: Connection) -> Generation:
    """The one that a checkpoint ends with. Raises ValueError where it is missing."""
    (row,) = connection.execute(select(table.c.checkpoint, table.c.number, table.c.calls, table.c.at))
    return Generation(*row)


def skip_to(connection: Connection, kept: Generation, number: int) -> Generation:
    """Go on after a number that was used already by transactions that are missing."""
    connection.execute(update(table).values(number=number))
    return replace(kept, number=number)


def step(stamp: Stamp) -> Update:
    """The statement for `advance`. It is made once: every commit pays for it."""
    is_ours = (table.c.checkpoint == bindparam("ours"), table.c.number == bindparam("last"))
    changed: dict[str, Any] = {name: bindparam(f"new_{name}") for name in ("number", "calls", "at")}
    return update(table).where(*is_ours).values({**changed, **stamp})


def advance(
    connection: Connection, last: Generation, *, calls: int, at: float | None, step: Update
) -> Generation | None:
    """Make this transaction the next one; None where the last one was not ours. step: see there."""
    new = Generation(last.checkpoint, last.number + 1, last.calls + calls, last.at if at is None else at)
    ours = {"ours": last.checkpoint, "last": last.number}
    values = {"new_number": new.number, "new_calls": new.calls, "new_at": new.at}
    return new if connection.execute(step, ours | values).rowcount == 1 else None


def is_behind(connection: Connection, known: Generation | None) -> bool:
    """Whether a checkpoint lacks a transaction that is known of."""
    return known is not None and is_later(known, read(connection))


def is_later(known: Generation | None, kept: Generation) -> bool:
    return known is not None and known.checkpoint == kept.checkpoint and known.number > kept.number


def _values(generation: Generation) -> dict[str, object]:
    return {
        "checkpoint": generation.checkpoint,
        "number": generation.number,
        "calls": generation.calls,
        "at": generation.at,
    }
