"""The beginnings of files that runs have read, and which of their lines must be read again.

Invariant: a prefix is committed together with the rows of its lines. So if the file still begins with the
same bytes, a line need not be read again if a row that was stored at it since the prefix was begun is
settled. Every other line of the prefix is read again like a new one: open rows, rejected rows, duplicates,
blank lines, and rows that were read from another file since then.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, or_, select, update

from bulk_invite.checkpoint.tables import indexes
from bulk_invite.checkpoint.tables.batch_sql import BY_PAGE
from bulk_invite.checkpoint.tables.schema import invitations, prefixes
from bulk_invite.checkpoint.tables.stored_rows import Known
from bulk_invite.domain.admissions import SkippedRow
from bulk_invite.domain.records import Prefix, PrefixRows
from bulk_invite.domain.rows import Position
from bulk_invite.domain.verdicts import State

_FEW: Final = 8
"""Files for each of which all rows of the checkpoint are read: for a large file, that is fastest. The rows of
more files are found by an index: the time for 400 files of 500 rows falls from 23 to 2 seconds."""

_MOST_RANGES: Final = 200_000
"""Ranges of lines that are kept in memory, some 150 bytes each; with more of them, all is read again."""


@dataclass(frozen=True, slots=True)
class StoredPrefix:
    """first_run: the run that began to read it; rows that were stored at its lines before are gone."""

    prefix: Prefix
    campaign: str
    basis: str
    first_run: int


class Recognized:
    """The prefixes that a file still begins with in this run, with the states that are settled in it.

    returned: files with rows of results. They are read completely every time: what such a row says of another
    one changes that one (see returned_rows.py).
    """

    def __init__(self) -> None:
        self._found: dict[str, tuple[StoredPrefix, Collection[State]]] = {}
        self.returned: set[str] = set()
        self._keyed: dict[str, tuple[str, int]] = {}

    def add(self, found: StoredPrefix, settled: Collection[State]) -> None:
        self._found[found.prefix.source] = found, settled

    def add_keyed(self, source: str, campaign: str, first_run: int) -> None:
        """Of a database, all rows with an invitation that no run before `first_run` has read last."""
        self._keyed[source] = campaign, first_run

    def of(self, source: str) -> StoredPrefix:
        return self._found[source][0]

    def count_as_read(self, entries: Iterable[Known], run: int) -> None:
        """Note the current run in the entries of rows that it skips: they are read."""
        if self._found:
            self._count_lines(entries, run)
        if self._keyed:
            self._count_keys(entries, run)

    def _count_keys(self, entries: Iterable[Known], run: int) -> None:
        for entry in entries:
            campaign, first_run = self._keyed.get(entry.position.source, (None, 0))
            is_skipped = entry.campaign == campaign and entry.run >= first_run
            if is_skipped and entry.state is State.CREATED:
                entry.run = run

    def _count_lines(self, entries: Iterable[Known], run: int) -> None:
        for entry in entries:
            found, settled = self._found.get(entry.position.source, (None, ()))
            if (
                found is not None
                and entry.state in settled
                and entry.campaign == found.campaign
                and entry.run >= found.first_run
                and entry.position.line <= found.prefix.lines
            ):
                entry.run = run


def stored(connection: Connection, source: str, campaign: str) -> StoredPrefix | None:
    found = connection.execute(select(prefixes).where(_of(source, campaign))).first()
    if found is None:
        return None
    prefix = Prefix(found.source, found.size, found.lines, found.digest)
    return StoredPrefix(prefix, found.campaign, found.basis, found.first_run)


def note(connection: Connection, prefix: Prefix, campaign: str, basis: str, *, run: int) -> None:
    """Store how far a file is read. run: the current one, which has begun a prefix that is not stored."""
    values = {"size": prefix.size, "lines": prefix.lines, "digest": prefix.digest, "basis": basis}
    longer = update(prefixes).where(_of(prefix.source, campaign)).values(values)
    if not connection.execute(longer).rowcount:
        new = {"source": prefix.source, "campaign": campaign, "first_run": run}
        connection.execute(insert(prefixes).values({**new, **values}))


def forget(connection: Connection, source: str, campaign: str) -> None:
    connection.execute(delete(prefixes).where(_of(source, campaign)))


def rows_of(connection: Connection, of: StoredPrefix, settled: Collection[State]) -> PrefixRows | None:
    """Find the lines whose rows are settled; None if there are too many others.

    settled: the states in which a row need not be read again.
    """
    lines, ranges, failed, last = of.prefix.lines, _Ranges(), 0, 0
    _require_index(connection)
    if (created := _count_if_all_created(connection, of)) is not None:
        return PrefixRows(of.prefix, created, 0, ())
    with connection.execute(_notable(of), execution_options=BY_PAGE) as notable:
        for line, state, before in notable:
            ranges.add(before + 1, line - 1)
            last = line
            if state != State.CREATED.value and State(state) in settled:
                failed += 1
            elif state != State.CREATED.value:
                ranges.add(line, line)
            # Two rows at one line would mean that the invariant does not hold.
            if line == before or len(ranges.all) > _MOST_RANGES:
                return None
    if last < lines:
        highest = select(func.max(invitations.c.line)).where(_at_lines(of))
        ranges.add((connection.execute(highest).scalar_one() or 0) + 1, lines)
    return PrefixRows(of.prefix, lines - failed - ranges.lines, failed, ranges.all)


def created_rows(
    connection: Connection, of: StoredPrefix, after: str, limit: int, *, run: int
) -> list[SkippedRow]:
    """Return rows with an invitation, in the order of their tokens, after a given token.

    run: the current one; the rows that it has read are not returned.
    """
    names = ("line", "client_token", "invitation_id", "arn", "label")
    wanted = (
        select(*(invitations.c[name] for name in names))
        .where(
            invitations.c.client_token > after,
            invitations.c.state == State.CREATED.value,
            invitations.c.run < run,
            _at_lines(of),
        )
        .order_by(invitations.c.client_token)
        .limit(limit)
    )
    source = of.prefix.source
    return [SkippedRow(Position(source, line), *values) for line, *values in connection.execute(wanted)]


def _require_index(connection: Connection) -> None:
    files = select(prefixes.c.source).limit(_FEW + 1).subquery()
    if connection.execute(select(func.count()).select_from(files)).scalar_one() > _FEW:
        indexes.require(connection, "invitations_by_source")


def _count_if_all_created(connection: Connection, of: StoredPrefix) -> int | None:
    """The number of lines if each has one row with an invitation; in half the time of `_notable`."""
    line, lines = invitations.c.line, of.prefix.lines
    wanted = select(func.count(), func.count(line.distinct())).where(
        _at_lines(of), invitations.c.state == State.CREATED.value
    )
    return lines if tuple(connection.execute(wanted).one()) == (lines, lines) else None


class _Ranges:
    """Ranges of lines in ascending order. lines: the number of all lines in them."""

    def __init__(self) -> None:
        self.all: list[tuple[int, int]] = []
        self.lines = 0

    def add(self, first: int, last: int) -> None:
        """Add a range, which is empty if it ends before it begins."""
        if last < first:
            return
        self.lines += last - first + 1
        if self.all and self.all[-1][1] == first - 1:
            first, _ = self.all.pop()
        self.all.append((first, last))


def _notable(of: StoredPrefix) -> Any:
    """The rows at its lines that are not created, follow a gap, or are at its last line; in their order.

    `before` is the line of the row before. A million rows take a second: the database compares them.
    """
    line, state = invitations.c.line, invitations.c.state
    before = func.coalesce(func.lag(line).over(order_by=line), 0).label("before")
    each = select(line, state, before).where(_at_lines(of)).subquery()
    is_notable = or_(
        each.c.state != State.CREATED.value,
        each.c.line != each.c.before + 1,
        each.c.line == of.prefix.lines,
    )
    return select(each).where(is_notable).order_by(each.c.line)


def _at_lines(of: StoredPrefix) -> ColumnElement[bool]:
    return and_(
        invitations.c.source == of.prefix.source,
        invitations.c.campaign == of.campaign,
        invitations.c.run >= of.first_run,
        invitations.c.line <= of.prefix.lines,
    )


def _of(source: str, campaign: str) -> ColumnElement[bool]:
    return and_(prefixes.c.source == source, prefixes.c.campaign == campaign)
