"""A table that was read completely: which of its rows no transaction has written since then.

As for the passes of a follower (see xmin_passes.py), `since` is the oldest transaction that was running
before the first row was read: the read has seen everything that earlier transactions wrote.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from bulk_invite.sources.postgres.selection import ResolvedSelection
from bulk_invite.sources.postgres.xmin_passes import Horizon, Progress, look


class HorizonOfRead:
    """Looks at the server whenever a read begins, or goes on over another connection."""

    def __init__(
        self, found: ResolvedSelection, since: int | None = None, first: Horizon | None = None
    ) -> None:
        """since: read only what this transaction or a later one has written; None: everything.

        first: the server before its unchanged rows were counted, so that the next run notices what was
        changed between that and this read.
        """
        self._found = found
        self._since = since
        self._first = first
        self._is_one_server = True

    def begin(
        self, connection: psycopg.Connection[Any], after: str | None
    ) -> tuple[ResolvedSelection, str | None]:
        """Which rows to read, and after which key."""
        horizon = look(connection, self._found.relation)
        first = self._first = self._first or horizon
        same = (horizon.started, horizon.tables) == (first.started, first.tables)
        self._is_one_server = self._is_one_server and same
        if self._since is None or not self._is_one_server:
            return self._found, after  # another server may count its transactions differently
        return self._found.since(self._since), after

    @property
    def mark(self) -> str | None:
        """What a later read compares with; None if xmin does not show what is new."""
        first = self._first
        if first is None or not first.tables or not self._is_one_server:
            return None
        return Progress(first.oldest, started=first.started, tables=first.tables).mark


def count_unchanged(
    connection: psycopg.Connection[Any], found: ResolvedSelection, progress: Progress
) -> tuple[int, Horizon] | None:
    """The number of rows that were written before `since`, and the server before they were counted.

    None if this server does not show that.
    """
    horizon = look(connection, found.relation)
    if progress.since is None or not horizon.tables or not progress.fits(horizon):
        return None
    unchanged = sql.SQL(
        "SELECT count(*) FROM {origin} AS selected WHERE age(selected.xmin) > (SELECT age({xid}::xid))"
    ).format(origin=found.origin, xid=sql.Literal(str(progress.since % 2**32)))
    return int((connection.execute(unchanged).fetchone() or (0,))[0]), horizon
