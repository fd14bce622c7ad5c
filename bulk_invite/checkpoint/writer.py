"""The checkpoint of the one sender: synchronous, each method one durable transaction.

Invariants: a row is in doubt from before its first byte leaves until an answer is on disk; a token never has
two bodies; there is one writer at a time. After a failed commit, the writer must not be used again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import Engine, delete, func, insert, select

from bulk_invite.checkpoint.latest_check import Lineage
from bulk_invite.checkpoint.open import database_at
from bulk_invite.checkpoint.read_prefixes import ReadPrefixes
from bulk_invite.checkpoint.recent_writes import RecentWrites
from bulk_invite.checkpoint.storage.base import Database, read_about, require_catalog
from bulk_invite.checkpoint.storage.new_checkpoint import make
from bulk_invite.checkpoint.tables import (
    admit_rows,
    changed_rows,
    doubtful_rows,
    figures,
    owner_row,
    pacing_state,
    read_position,
    record_events,
    twins,
)
from bulk_invite.checkpoint.tables.decide_row import Terms
from bulk_invite.checkpoint.tables.query import query_of
from bulk_invite.checkpoint.tables.schema import runs, unsent_rows
from bulk_invite.checkpoint.tables.values import RECEIVER_KEY, Gap, UncertainPeriod
from bulk_invite.checkpoint.token_bindings import TokenBindings
from bulk_invite.checkpoint.transactions import Transactions
from bulk_invite.domain.admissions import Admission, SkippedRow, ToSend
from bulk_invite.domain.errors import CheckpointError
from bulk_invite.domain.events import Event
from bulk_invite.domain.findings import DoubtfulRow, SettledRow
from bulk_invite.domain.records import Change, Owner, PacingState, Prefix, Record, SourceCursor
from bulk_invite.domain.rows import Invitation, Position, Rejection
from bulk_invite.domain.same_receiver import OnSameReceiver


class CheckpointWriter:
    """Call `CheckpointWriter.open`, then `claim`, then `begin_run`."""

    def __init__(self, database: Database, engine: Engine, lineage: Lineage) -> None:
        self._database = database
        self._engine = engine
        self._lineage = lineage
        self._transactions = Transactions(database, engine, lineage)
        self.prefixes = ReadPrefixes(self._transactions)
        self.tokens = TokenBindings(database, self._transactions)
        self._undo = ExitStack()
        self._catalog = ""
        self._on_same_receiver = OnSameReceiver.WARN
        self._receiver_hash = twins.ReceiverHash(b"")

    @classmethod
    def open(
        cls, place: str | Path, *, catalog: str, schema: str = "", recent_writes: RecentWrites | None = None
    ) -> CheckpointWriter:
        """Open or create the checkpoint of a catalog.

        place: a file, or the URL of a database that holds the checkpoint in `schema`. recent_writes: what
        this process wrote to it before. Raises CheckpointHeldError if another sender holds it;
        CheckpointError if it is damaged, not writable, of another catalog or version, or not a checkpoint.
        """
        database = database_at(place, schema)
        with ExitStack() as undo:
            engine = undo.enter_context(database.held())
            last_transaction = database.last_transaction()
            undo.callback(last_transaction.close)
            lineage = Lineage(database.name, last_transaction, recent_writes or RecentWrites())
            writer = cls(database, engine, lineage)
            undo.callback(writer._transactions.close)
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
        """Display name of the checkpoint."""
        return self._database.name

    @property
    def uncertain_period(self) -> UncertainPeriod | None:
        """The period in which rows may have been called without a record, as of this run."""
        return self._lineage.uncertain_period

    def claim(self, owner: Owner) -> None:
        """Bind the checkpoint to its first sender; raise CheckpointError for any other one.

        An unknown owner does not bind it, and may not use a bound one.
        """
        with self._transactions.begin() as connection:
            known = read_about(self._database, query_of(connection))
            if (first := owner_row.merged(known, owner, self.name)) is not None:
                self._database.reserve(connection, first, self._catalog)
                owner_row.note(connection, known, first)

    def begin_run(
        self,
        now: float,
        *,
        look_up_first: bool | None = None,
        on_same_receiver: OnSameReceiver = OnSameReceiver.WARN,
        basis: str = "",
    ) -> list[Gap]:
        """Start a run and return the gaps that end with it; `now` in epoch seconds.

        Duplicates and elapsed time count per run. look_up_first: which open rows are treated as possibly
        called: True: all, False: none, None: those that a gap may concern. basis: see `ReadPrefixes`.
        """
        self._on_same_receiver = on_same_receiver
        self.prefixes.begin_run(basis)
        with self._transactions.begin_generation() as connection:
            # Not from a sequence of the database: that may itself be older than the last run.
            self._transactions.run = 1 + (connection.execute(select(func.max(runs.c.run))).scalar_one() or 0)
            connection.execute(insert(runs).values(run=self._transactions.run, started=now, last_event=now))
            return self._lineage.begin_run(connection, now, look_up_first=look_up_first)

    def has_created(self) -> bool:
        """Whether this checkpoint has ever created an invitation."""
        with self._transactions.begin() as connection:
            return doubtful_rows.has_created(connection)

    def admit(
        self,
        batch: Sequence[Invitation | Rejection],
        *,
        campaign: str,
        retry_failed: bool,
        reached: Position | SourceCursor | Prefix | None = None,
        follows: bool = False,
    ) -> list[Admission]:
        """Look up every row of a batch and store the new ones; return the answers in the order of the batch.

        reached: how far the source is read with this batch, if reading can resume there. follows: see
        `admit_rows.admit`.
        """
        terms = Terms(retry_failed, self._on_same_receiver, self._lineage.uncertain_period)
        with self._transactions.begin_generation() as connection:
            self.prefixes.enter(connection, batch, campaign)
            admissions, receivers = admit_rows.admit(
                connection,
                batch,
                self.prefixes.recognized,
                self._receiver_hash,
                terms,
                run=self._transactions.run,
                change=self._transactions.next_change(),
                campaign=campaign,
                follows=follows,
            )
            if reached is not None:
                self.prefixes.note(connection, reached, campaign)
        to_send = (each.invitation for each in admissions if isinstance(each, ToSend))
        self._lineage.admitted(to_send, receivers, campaign)
        return admissions

    def end_source(self, source: str, campaign: str) -> None:
        """Delete rejected rows and duplicates that a fully read source no longer contains."""
        stale = delete(unsent_rows).where(
            unsent_rows.c.source == source, unsent_rows.c.run < self._transactions.run
        )
        with self._transactions.begin() as connection:
            read_position.forget(connection, source, campaign)
            connection.execute(stale)

    def watermark(self, source: str, campaign: str) -> str | None:
        """See `read_position.watermark`."""
        with self._transactions.begin() as connection:
            return read_position.watermark(connection, source, campaign)

    def source_cursor(self, source: str, campaign: str) -> str | None:
        """See `read_position.source_cursor`."""
        with self._transactions.begin() as connection:
            return read_position.source_cursor(connection, source, campaign)

    def open_keys(
        self, source: str, campaign: str, after: str, limit: int, *, to_send: bool = False
    ) -> list[str]:
        """See `read_position.open_keys`."""
        with self._transactions.begin() as connection:
            first_run = self.prefixes.first_run(source)
            return read_position.open_keys(
                connection, source, campaign, after, limit, to_send=to_send, first_run=first_run
            )

    def created_rows(self, source: str, campaign: str, after: str, limit: int) -> list[SkippedRow]:
        """See `read_position.created_rows`."""
        with self._transactions.begin() as connection:
            runs = range(self.prefixes.first_run(source), self._transactions.run)
            return read_position.created_rows(connection, source, campaign, after, limit, runs=runs)

    def count_created(self, source: str, campaign: str) -> int:
        """See `read_position.count_created`."""
        with self._transactions.begin() as connection:
            return read_position.count_created(connection, source, campaign, self.prefixes.first_run(source))

    def changes(self, source: str, campaign: str, after: Change, limit: int) -> tuple[Change, list[Record]]:
        """See `changed_rows.changes`."""
        with self._transactions.begin() as connection:
            return changed_rows.changes(connection, source, campaign, after, limit)

    def save_pacing(self, memory: PacingState) -> None:
        """Save the pacing state for the next run and for `status`."""
        with self._transactions.begin() as connection:
            pacing_state.save(connection, memory)

    def load_pacing(self) -> PacingState | None:
        """Load the pacing state that an earlier run saved."""
        with self._transactions.begin() as connection:
            return figures.pacing(query_of(connection))

    def count_calls(self, now: float, *, grace: float, into: Callable[[float], None]) -> None:
        """Pass on the times of the last day's calls, oldest first (see `pacing_state.calls_of_day`)."""
        with self._transactions.begin() as connection:
            for time in pacing_state.calls_of_day(connection, now, grace=grace):
                into(time)
        for _ in range(self._lineage.lost):
            into(now)

    def rows_of(self, engagements: Sequence[str]) -> tuple[list[DoubtfulRow], list[SettledRow]]:
        """Return the rows in doubt, and those with an invitation, of some engagements."""
        with self._transactions.begin() as connection:
            return doubtful_rows.rows_of(connection, engagements)

    def in_doubt(self, after: str, limit: int) -> list[tuple[DoubtfulRow, Position, str]]:
        """Rows in doubt with their positions and campaigns (see `doubtful_rows.in_doubt`)."""
        with self._transactions.begin() as connection:
            return doubtful_rows.in_doubt(connection, after, limit)

    def count_in_doubt(self) -> int:
        with self._transactions.begin() as connection:
            return doubtful_rows.count_in_doubt(connection)

    def record(self, events: Sequence[Event]) -> frozenset[str]:
        """Commit events of different rows in one transaction; they are on disk when this returns.

        Returns the tokens of rows whose Id belongs to another row; for them, `instead` is written.
        """
        with self._transactions.begin_generation(events) as connection:
            of_others = record_events.record(
                connection, events, run=self._transactions.run, change=self._transactions.next_change()
            )
            if of_others is None:
                raise CheckpointError(
                    f"The checkpoint {self.name} was changed by another program: rows of this run are "
                    "missing.",
                    hint="Restore it from a copy; starting over would send every invitation again.",
                )
        return of_others

    def prove(self) -> None:
        """Raise CheckpointError if the lock or the storage is lost; takes some system calls or one query."""
        self._transactions.prove()

    def _prepare(self, catalog: str) -> None:
        self._catalog = catalog
        with self._engine.begin() as connection:
            known = read_about(self._database, query_of(connection))
            if not known:
                known = make(self._database, connection, catalog)
                self._lineage.begin(connection)
            else:
                require_catalog(self._database, known["catalog"], catalog)
                self._database.require_sound(connection)
                self._lineage.examine(connection)
        self._receiver_hash = twins.ReceiverHash(bytes.fromhex(known[RECEIVER_KEY]))
        self._database.record_location(self._engine)
