"""Read-only access to a checkpoint, possible while a run is writing to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from bulk_invite.checkpoint.older import find_gap
from bulk_invite.checkpoint.open import database_at
from bulk_invite.checkpoint.storage.base import empty, read_about
from bulk_invite.checkpoint.tables import (
    all_rows,
    earlier_rows,
    figures,
    generation,
    indexes,
    owner_row,
    problems,
    read_position,
    twins,
)
from bulk_invite.checkpoint.tables.query import query_of
from bulk_invite.checkpoint.tables.values import RECEIVER_KEY, Gap
from bulk_invite.domain.records import Failure, Overview, Owner, Problem, Record
from bulk_invite.domain.rows import Invitation
from bulk_invite.domain.same_receiver import Recorded
from bulk_invite.domain.verdicts import State

if TYPE_CHECKING:
    from bulk_invite.checkpoint.audit.result import Proof


class CheckpointReader:
    """A read-only view of a checkpoint. Raises CheckpointError if there is none or it cannot be read.

    incomplete: why commits are missing here, or "".
    """

    def __init__(self, place: str | Path, schema: str = "") -> None:
        """place, schema: see `CheckpointWriter.open`."""
        self._database = database_at(place, schema)
        self.incomplete = ""
        with ExitStack() as undo, self._database.translated():
            self._engine = self._database.reading()
            undo.callback(self._engine.dispose)
            with self._engine.begin() as connection:
                self._about = read_about(self._database, query_of(connection))
                if self._about:
                    self.incomplete = self._database.incomplete(query_of(connection))
            if not self._about:
                raise empty(self._database.name)
            undo.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._engine.dispose()

    @property
    def name(self) -> str:
        """Display name of the checkpoint."""
        return self._database.name

    @property
    def catalog(self) -> str:
        return self._about["catalog"]

    @property
    def version(self) -> int:
        return int(self._about["version"])

    @property
    def owner(self) -> Owner | None:
        """The owner it is bound to, or None."""
        return figures.owner_of(self._about)

    def require_owner(self, owner: Owner) -> None:
        """Raise CheckpointError for any other owner than the one it is bound to."""
        owner_row.merged(self._about, owner, self.name)

    def describe(self) -> str:
        """Describe the database for the operator."""
        with self._database.translated(), self._engine.begin() as connection:
            return self._database.describe(connection)

    def overview(self, now: float) -> Overview:
        """Return the totals of the whole checkpoint; `now` in epoch seconds."""
        with self._database.translated(), self._engine.begin() as connection:
            active = self._database.has_sender()
            return figures.overview(query_of(connection), self._about, now, active=active)

    def states(self) -> dict[State, int]:
        """Count rows by state."""
        with self._database.translated(), self._engine.begin() as connection:
            return figures.states(query_of(connection))

    def engagements_to_send(self) -> int:
        """See `all_rows.engagements_to_send`."""
        with self._database.translated(), self._engine.begin() as connection:
            return all_rows.engagements_to_send(connection)

    def known_rows(self, source: str, campaign: str) -> int:
        """See `read_position.known_rows`."""
        with self._database.translated(), self._engine.begin() as connection:
            return read_position.known_rows(connection, source, campaign)

    @property
    def compares_fast(self) -> bool:
        """Whether `recorded` uses an index: a run creates it when it compares rows."""
        with self._database.translated(), self._engine.begin() as connection:
            return indexes.exists(connection, twins.INDEX)

    def copy_to_compare(self, path: Path) -> None:
        """Copy the whole checkpoint into a new file, in which `recorded` is fast."""
        self.copy_to(path)
        with self._database.translated():
            indexes.add_to_file(path, twins.INDEX)

    def recorded(self, batch: Sequence[Invitation], campaign: str) -> dict[str, Recorded]:
        """See `earlier_rows.look_up`. Each batch is a short transaction: a long one would hold up senders."""
        with self._database.translated(), self._engine.begin() as connection:
            hashed = twins.ReceiverHash(bytes.fromhex(self._about[RECEIVER_KEY]))
            return earlier_rows.look_up(connection, batch, hashed, campaign)

    def problems(self) -> list[Problem]:
        """See `problems.problems`."""
        with self._database.translated(), self._engine.begin() as connection:
            return problems.problems(connection)

    def last_failures(self, limit: int) -> list[Failure]:
        """See `problems.last_failures`."""
        with self._database.translated(), self._engine.begin() as connection:
            return problems.last_failures(connection, limit)

    def proof(self, now: float) -> Proof:
        """Collect everything that a report shows; `now` in epoch seconds.

        Takes over a minute for a million rows.
        """
        from bulk_invite.checkpoint.audit import collect  # noqa: PLC0415 - of all readers, the report's only

        beside = self._database.last_transaction().known()  # read this first: a run may be writing both
        with self._database.translated(), self._engine.begin() as connection:
            return collect.proof(
                connection,
                now=now,
                name=self.name,
                about=self._about,
                owner=self.owner,
                active=self._database.has_sender(),
                is_older=generation.is_behind(connection, beside),
            )

    def older(self) -> Gap | None:
        """Return a gap that no sender has noticed yet, or None."""
        last_transaction = self._database.last_transaction()
        beside = last_transaction.known()
        with self._database.translated(), self._engine.begin() as connection:
            kept = figures.generation(query_of(connection))
            evidence = partial(last_transaction.copy_evidence, connection)
            return find_gap(last_transaction.beside, beside, kept, evidence)

    def risk(self) -> str:
        """What committed data may be lost, or ""."""
        with self._database.translated(), self._engine.begin() as connection:
            return self._database.last_transaction().risk(connection)

    def records(self, states: Sequence[State]) -> Iterator[Record]:
        """Iterate over the rows in the given states (all if empty) by source and line, in constant memory."""
        with self._database.translated(), self._engine.begin() as connection:
            yield from all_rows.records(connection, states or list(State))

    def copy_to(self, path: Path) -> None:
        """Copy the whole checkpoint into a new file."""
        with self._database.translated(), self._engine.connect() as connection:
            self._database.copy_to(connection, path)
