"""Databases that were read completely: a run that is repeated need not read what has not changed since.

Invariant: every row that existed when such a read began was read by `first_run` or a later run. So if the
source has as many unchanged rows as are known since then, none of them was changed or deleted.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, select, union

from bulk_invite.checkpoint.tables.schema import finished_reads, invitations, unsent_rows


@dataclass(frozen=True, slots=True)
class FinishedRead:
    """mark: in the notation of the source. basis: see `ReadPrefixes`."""

    source: str
    campaign: str
    mark: str
    basis: str
    first_run: int


def stored(connection: Connection, source: str, campaign: str) -> FinishedRead | None:
    found = connection.execute(select(finished_reads).where(_of(source, campaign))).first()
    return None if found is None else FinishedRead(**found._asdict())


def note(connection: Connection, read: FinishedRead) -> None:
    connection.execute(delete(finished_reads).where(_of(read.source, read.campaign)))
    values = {"mark": read.mark, "basis": read.basis, "first_run": read.first_run}
    connection.execute(insert(finished_reads).values(source=read.source, campaign=read.campaign, **values))


def forget(connection: Connection, source: str, campaign: str) -> None:
    connection.execute(delete(finished_reads).where(_of(source, campaign)))


def count_known(connection: Connection, read: FinishedRead) -> int:
    """Return the number of rows, by key, that were read since."""
    both = union(
        *(
            select(table.c.row_key).where(
                table.c.source == read.source,
                table.c.campaign == read.campaign,
                table.c.run >= read.first_run,
            )
            for table in (invitations, unsent_rows)
        )
    )
    return int(connection.execute(select(func.count()).select_from(both.subquery())).scalar_one())


def _of(source: str, campaign: str) -> ColumnElement[bool]:
    return and_(finished_reads.c.source == source, finished_reads.c.campaign == campaign)
