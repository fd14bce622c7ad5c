"""The checkpoint as its one writer uses it: synchronous, every method one durable transaction.

Invariants: a row is in doubt from before its first byte leaves until an answer is on the disk; a token never
goes with two bodies; one writer at a time. When a commit fails the writer must not be used again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import Connection, Engine, delete, func, insert, select

from bulk_invite.checkpoint.latest_check import Lineage
from bulk_invite.checkpoint.open import database_at
from bulk_invite.checkpoint.recent_writes import Recollection
from bulk_invite.checkpoint.storage.base import Database, make, read_about, require_catalog
from bulk_invite.checkpoint.tables import (
    admit_rows,
    changed_rows,
    doubtful_rows,
    owner_row,
    pacing_memory,
    read_position,
    recorded_events,
    token_basis,
)
from bulk_invite.checkpoint.tables.gaps import Gap, Suspicion
from bulk_invite.checkpoint.tables.schema import runs, unsent_rows
from bulk_invite.domain.admissions import Admission, SkippedRow, ToSend
from bulk_invite.domain.errors import CheckpointError
from bulk_invite.domain.events import Event
from bulk_invite.domain.findings import DoubtfulRow, SettledRow
from bulk_invite.domain.records import Change, Owner, PacingMemory, Record, SourceCursor
from bulk_invite.domain.rows import Invitation, Position, Rejection
from bulk_invite.domain.text_settings import TextSettings


class CheckpointWriter:
    """Open with `CheckpointWriter.open`, then `claim`, then `begin_run`."""

    def __init__(self, database: Database, engine: Engine, lineage: Lineage) -> None:
        self._database = database
        self._engine = engine
        self._lineage = lineage
        self._undo = ExitStack()
        self._run = 0
        self._gone: CheckpointError | None = None
        self._changes = 0
        self._catalog = ""

    @classmethod
    def open(
        cls, place: str | Path, *, catalog: str, schema: str = "", recollection: Recollection | None = None
    ) -> CheckpointWriter:
        """Open or create the checkpoint for a catalog.

        place: a file, or the URL of a database, where it stands in `schema`. recollection: what this program
        knows of it from before.
        Raises CheckpointHeldError when another sender holds it; CheckpointError when it is damaged, not
        writable, of another catalog, of another version, or not a checkpoint.
        """
        database = database_at(place, schema)
        with ExitStack() as undo:
            engine = undo.enter_context(database.held())
            origin = database.origin()
            undo.callback(origin.close)
            lineage = Lineage(database.name, origin, recollection or Recollection())
            writer = cls(database, engine, lineage)
            with database.translated():
                writer._prepare(catalog)
            writer._undo = undo.pop_all()
        return writer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo.close()

    @property
    def name(self) -> str:
        """What the checkpoint is called where it is told of."""
        return self._database.name

    @property
    def suspicion(self) -> Suspicion | None:
        """When rows may have been called without being known to; of the run."""
        return self._lineage.suspicion

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        if self._gone is not None:  # what was saved of it must stay the newest
            raise self._gone
        with self._database.translated(), self._database.timing():
            with self._engine.begin() as connection:
                yield connection
            # What is on the disk is of use only where it is found again.
            try:
                self._database.require_in_place(self._engine)
            except CheckpointError as error:
                self._gone = error
                raise

    @contextmanager
    def _generation(self, events: Sequence[Event] = ()) -> Iterator[Connection]:
        """A transaction that counts as the checkpoint's next one."""
        with self._transaction() as connection:
            self._lineage.enter(connection, self._next_change())
            yield connection
            self._lineage.advance(connection, events)
        self._lineage.keep(self._run, events)

    def _next_change(self) -> int:
        """Of this transaction; they grow from one to the next, and from run to run."""
        self._changes += 1
        return (self._run << 32) + self._changes

    def claim(self, owner: Owner) -> None:
        """Bind the checkpoint to whoever sends first; raise CheckpointError for anybody else after that.

        Somebody unknown binds it to nobody, and may not use one that is bound.
        """
        with self._transaction() as connection:
            known = read_about(self._database, connection)
            if (first := owner_row.merged(known, owner, self.name)) is not None:
                self._database.reserve(connection, first, self._catalog)
                owner_row.note(connection, known, first)

    def require_tokens(self, source: str, campaign: str, token_from: str, forms: TextSettings) -> None:
        """See `binding.require_tokens`."""
        with self._transaction() as connection:
            known = read_about(self._database, connection)
        token_basis.require_tokens(known, source, campaign, token_from, forms)

    def bind_tokens(self, source: str, campaign: str, token_from: str, forms: TextSettings) -> None:
        """Note what the tokens of a source's rows are made from; raise UsageError where it was another."""
        with self._transaction() as connection:
            known = read_about(self._database, connection)
            token_basis.require_tokens(known, source, campaign, token_from, forms)
            token_basis.note_tokens(connection, known, source, campaign, token_from, forms)

    def known_keys(self, source: str, campaign: str, limit: int) -> list[str]:
        """See `reading.known_keys`."""
        with self._transaction() as connection:
            return read_position.known_keys(connection, source, campaign, limit)

    def begin_run(self, now: float, *, look_up_first: bool | None = None) -> list[Gap]:
        """Start counting duplicates and time afresh; `now` in epoch seconds. Says where calls may be missing.

        look_up_first: whether rows are taken for such that may have been called (True: all that are open,
        False: none). None: where calls may be missing.
        """
        with self._generation() as connection:
            # By ourselves: what counts runs in a database may itself be older than the last one.
            self._run = 1 + (connection.execute(select(func.max(runs.c.run))).scalar_one() or 0)
            connection.execute(insert(runs).values(run=self._run, started=now, last_event=now))
            return self._lineage.begin_run(connection, now, look_up_first=look_up_first)

    def has_created(self) -> bool:
        """Whether any invitation was ever created from this checkpoint."""
        with self._transaction() as connection:
            return doubtful_rows.has_created(connection)

    def admit(
        self,
        batch: Sequence[Invitation | Rejection],
        *,
        campaign: str,
        retry_failed: bool,
        reached: Position | SourceCursor | None = None,
        follows: bool = False,
    ) -> list[Admission]:
        """Look every row of a batch up and note the new ones; the answers are in the order of the batch.

        reached: how far its source is read by that, where a reading or a following can go on from it.
        follows: see `admission.admit`.
        """
        with self._generation() as connection:
            if reached is not None:
                read_position.note(connection, reached, campaign)
            admitted = admit_rows.admit(
                connection,
                batch,
                run=self._run,
                change=self._next_change(),
                campaign=campaign,
                retry_failed=retry_failed,
                follows=follows,
                suspicion=self._lineage.suspicion,
            )
        to_send = (each.invitation for each in admitted if isinstance(each, ToSend))
        self._lineage.admitted(to_send, campaign)
        return admitted

    def end_source(self, source: str, campaign: str) -> None:
        """Forget rejected rows and duplicates that a source, now read to its end, has no more."""
        stale = delete(unsent_rows).where(unsent_rows.c.source == source, unsent_rows.c.run < self._run)
        with self._transaction() as connection:
            read_position.forget(connection, source, campaign)
            connection.execute(stale)

    def watermark(self, source: str, campaign: str) -> str | None:
        """The key up to which a reading that was broken off has come."""
        with self._transaction() as connection:
            return read_position.watermark(connection, source, campaign)

    def mark(self, source: str, campaign: str) -> str | None:
        """How far the following of a source has come, in its own words."""
        with self._transaction() as connection:
            return read_position.mark(connection, source, campaign)

    def open_keys(
        self, source: str, campaign: str, after: str, limit: int, *, to_send: bool = False
    ) -> list[str]:
        """See `reading.open_keys`."""
        with self._transaction() as connection:
            return read_position.open_keys(connection, source, campaign, after, limit, to_send=to_send)

    def arrived(self, source: str, campaign: str, after: str, limit: int) -> list[SkippedRow]:
        """See `reading.arrived`."""
        with self._transaction() as connection:
            return read_position.arrived(connection, source, campaign, after, limit)

    def changes(self, source: str, campaign: str, after: Change, limit: int) -> tuple[Change, list[Record]]:
        """See `changes.changes`."""
        with self._transaction() as connection:
            return changed_rows.changes(connection, source, campaign, after, limit)

    def remember(self, memory: PacingMemory) -> None:
        """Keep what the pacing knows for another run, and for `status`."""
        with self._transaction() as connection:
            pacing_memory.remember(connection, memory)

    def recall(self) -> PacingMemory | None:
        """What the pacing of an earlier run knew."""
        with self._transaction() as connection:
            return pacing_memory.recall(connection)

    def count_calls(self, now: float, *, grace: float, into: Callable[[float], None]) -> None:
        """Hand over when each call of the last day was answered, oldest first (see `pacing.calls_of_day`)."""
        with self._transaction() as connection:
            for time in pacing_memory.calls_of_day(connection, now, grace=grace):
                into(time)
        for _ in range(self._lineage.lost):
            into(now)

    def rows_of(self, engagements: Sequence[str]) -> tuple[list[DoubtfulRow], list[SettledRow]]:
        """The rows in doubt, and those with an invitation, of some engagements."""
        with self._transaction() as connection:
            return doubtful_rows.rows_of(connection, engagements)

    def in_doubt(self, after: str, limit: int) -> list[tuple[DoubtfulRow, Position, str]]:
        """Rows in doubt with their positions and campaigns (see `lookup.in_doubt`)."""
        with self._transaction() as connection:
            return doubtful_rows.in_doubt(connection, after, limit)

    def count_in_doubt(self) -> int:
        """How many rows are in doubt."""
        with self._transaction() as connection:
            return doubtful_rows.count_in_doubt(connection)

    def record(self, events: Sequence[Event]) -> frozenset[str]:
        """Commit events of different rows in one transaction; they are on the disk when this returns.

        The tokens of rows whose Id another row has already: their `instead` is written.
        """
        with self._generation(events) as connection:
            of_others = recorded_events.record(connection, events, run=self._run, change=self._next_change())
            if of_others is None:
                raise CheckpointError(
                    f"The checkpoint {self.name} was changed from outside: rows of this run are gone.",
                    hint="Restore it from a copy; do not start over, that would send again.",
                )
        return of_others

    def prove(self) -> None:
        """Raise CheckpointError where the lock, or what is written to, is not ours any more.

        Costs some system calls in a file, and one question to the server in a database.
        """
        with self._database.translated(), self._database.timing():
            self._database.prove(self._engine)

    def _prepare(self, catalog: str) -> None:
        self._catalog = catalog
        with self._engine.begin() as connection:
            known = read_about(self._database, connection)
            if not known:
                make(self._database, connection, catalog)
                self._lineage.begin(connection)
            else:
                require_catalog(self._database, known["catalog"], catalog)
                self._database.require_sound(connection)
                self._lineage.examine(connection)
        self._database.settle(self._engine)
