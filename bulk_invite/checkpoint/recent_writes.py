"""Recent writes to a checkpoint, kept in memory because the database may come back without them.

A promoted standby lacks what had not reached it, and an operator may restore an older file. The missing
writes are repeated unchanged.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from sqlalchemy import Connection, exists, func, insert, select

from bulk_invite.checkpoint.tables import record_events, stored_rows
from bulk_invite.checkpoint.tables.schema import invitations, log, runs
from bulk_invite.checkpoint.tables.stored_rows import StoredRow
from bulk_invite.checkpoint.tables.values import Generation
from bulk_invite.domain.events import Event, Sent
from bulk_invite.domain.rows import Invitation

_MOST: Final = 20_000
"""Number of events and of rows kept: some ten megabytes, and a whole day at a daily quota of 10,000."""

Batch = tuple[int, Sequence[Event]]
"""The run and the events of one transaction."""


class RecentWrites:
    """The recent writes of this process, however often it reopens the checkpoint.

    last: the generation that the checkpoint ended with. most: number of events and of rows kept.
    """

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self.last: Generation | None = None
        self._rows: OrderedDict[str, StoredRow] = OrderedDict()
        self._batches: deque[Batch] = deque()
        self._events = 0

    def admitted(self, rows: Iterable[Invitation], receivers: Mapping[str, str], campaign: str) -> None:
        """Remember rows that are about to be called, in case they are missing later.

        receivers: hashes by token.
        """
        for row in rows:
            values = stored_rows.values_of(row, receivers.get(row.client_token, ""), campaign)
            self._rows[row.client_token] = values
            self._rows.move_to_end(row.client_token)
            if len(self._rows) > self._most:
                self._rows.popitem(last=False)

    def wrote(self, generation: Generation, run: int, events: Sequence[Event]) -> None:
        """Note a durable transaction."""
        self.last = generation
        if events:
            self._batches.append((run, events))
            self._events += len(events)
        while self._events > self._most:
            self._events -= len(self._batches.popleft()[1])

    def missing(self, connection: Connection) -> list[Batch]:
        """Return the batches that the checkpoint lacks, oldest first."""
        lacking: list[Batch] = []
        for batch in reversed(self._batches):
            if _is_there(connection, batch[1][0]):
                break
            lacking.append(batch)
        return lacking[::-1]

    def write_back(self, connection: Connection, batches: Sequence[Batch], change: int) -> list[Event]:
        """Repeat batches together with their rows; return the events that could be written."""
        known = self._with_rows(connection, batches, change)
        written: list[Event] = []
        for run, events in batches:
            there = [event for event in events if event.client_token in known]
            if there and record_events.record(connection, there, run=run, change=change) is not None:
                written += there
        return written

    def _with_rows(self, connection: Connection, batches: Sequence[Batch], change: int) -> set[str]:
        """Restore the missing rows of batches; return the tokens of all rows that exist now."""
        tokens = {event.client_token for _, events in batches for event in events}
        run = batches[0][0]
        _require_run(connection, run, batches[0][1][0].at)
        there = select(invitations.c.client_token).where(invitations.c.client_token.in_(tokens))
        known = set(connection.execute(there).scalars())
        new = [token for token in sorted(tokens - known) if token in self._rows]
        stored_rows.note_rows(connection, [self._rows[token] for token in new], run=run, change=change)
        return known.union(new)


def calls_of(events: Iterable[Event]) -> int:
    return sum(isinstance(event, Sent) for event in events)


def _is_there(connection: Connection, event: Event) -> bool:
    """Whether the log contains an event; the first event of a transaction stands for all of them."""
    kind = "sent" if isinstance(event, Sent) else "answered"
    of_event = (log.c.at == event.at, log.c.client_token == event.client_token, log.c.event == kind)
    return bool(connection.execute(select(exists().where(*of_event))).scalar_one())


def _require_run(connection: Connection, run: int, at: float) -> None:
    last = connection.execute(select(func.max(runs.c.run))).scalar_one() or 0
    if run > last:
        connection.execute(insert(runs).values(run=run, started=at, last_event=at))
