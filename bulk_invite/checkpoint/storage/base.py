"""What a checkpoint needs of the database that it stands in; two kinds have it, each in its own way."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, Protocol

from sqlalchemy import Connection, Engine, insert, select

from bulk_invite.checkpoint.storage.last_transaction import Origin
from bulk_invite.checkpoint.tables.schema import VERSION, about, metadata
from bulk_invite.domain.errors import CheckpointError
from bulk_invite.domain.records import Owner

RESTORE: Final = "Restore it from a copy; starting over with an empty one would send again."


def damaged(name: str) -> CheckpointError:
    """A database checks the form of what it holds, not the values: a state that is none."""
    return CheckpointError(
        f"The checkpoint {name} is damaged: it holds values that no sender writes.", hint=RESTORE
    )


class Database(Protocol):
    """An SQLite file, or a schema of a PostgreSQL."""

    timing: Callable[[], AbstractContextManager[None]]
    """Around a transaction of the writer: it ends with an error where it takes far too long."""

    @property
    def name(self) -> str:
        """What the operator is told: never an address, which may hold a password."""

    def exists(self) -> bool:
        """Whether a checkpoint is there; an empty one counts as none."""

    def translated(self) -> AbstractContextManager[None]:
        """Raise every failure of the database as a `CheckpointError` that says what to do."""

    def held(self) -> AbstractContextManager[Engine]:
        """The engine of the one writer, with the lock that makes it the only one, until the end of the block.

        Every commit is on the disk when it returns. Raises CheckpointHeldError while another has the lock.
        """

    def settle(self, engine: Engine) -> None:
        """Note in it where it stands, so that a move that leaves something behind is noticed."""

    def require_in_place(self, engine: Engine) -> None:
        """Raise CheckpointError where what is committed is not found again by the name of the checkpoint.

        Costs next to nothing; see `prove` for the rest.
        """

    def prove(self, engine: Engine) -> None:
        """Raise CheckpointError where the lock of `held`, or what it is for, is not ours any more.

        engine: the one of `held`, outside of a transaction.
        """

    def origin(self) -> Origin:
        """What tells it from its copies."""

    def reading(self) -> Engine:
        """An engine that cannot write, also while a run is writing."""

    def require_ours(self, connection: Connection) -> bool:
        """Whether there is anything yet. Raises CheckpointError for a database of something else."""

    def tell_incomplete(self, connection: Connection) -> None:
        """Log a warning where what is read lacks commits that stand elsewhere."""

    def mark_as_ours(self, connection: Connection) -> None:
        """Say what this is, where one looks into it without knowing."""

    def require_sound(self, connection: Connection) -> None:
        """Raise CheckpointError where it is damaged."""

    def reserve(self, connection: Connection, owner: Owner, catalog: str) -> None:
        """Keep other checkpoints in the same database from sending for the same account and catalog.

        Raises CheckpointHeldError where one is doing that.
        """

    def has_sender(self) -> bool | None:
        """Whether a sender holds it at this moment; None where it cannot be known."""

    def holder(self) -> str:
        """Who that sender is, as far as it can be told."""

    def try_out(self) -> None:
        """Raise CheckpointError where a sender could not write to it. Nothing is changed.

        Not while there is a sender.
        """

    def describe(self, connection: Connection) -> str:
        """What it stands in, for the operator."""

    def copy_to(self, connection: Connection, path: Path) -> None:
        """Copy the whole checkpoint into a new SQLite file."""


def read_about(database: Database, connection: Connection) -> dict[str, str]:
    """The `about` table of a checkpoint; {} for a database that is still empty.

    Raises CheckpointError for a database of something else and for another version.
    """
    if not database.require_ours(connection):
        return {}
    known: dict[str, str] = {row.key: row.value for row in connection.execute(select(about))}
    if (version := int(known["version"])) != VERSION:
        raise CheckpointError(
            f"The checkpoint {database.name} has version {version}; this program reads only version "
            f"{VERSION}.",
            hint="Go on with the bulk-invite that wrote it. A new checkpoint would send every row again.",
        )
    return known


def make(database: Database, connection: Connection, catalog: str) -> None:
    """Make the tables of a new checkpoint."""
    metadata.create_all(connection)
    database.mark_as_ours(connection)
    rows = {"version": str(VERSION), "catalog": catalog}
    connection.execute(insert(about), [{"key": k, "value": v} for k, v in rows.items()])


def require_catalog(database: Database, catalog: str, wanted: str) -> None:
    """Raise CheckpointError where a checkpoint of one catalog is wanted for another."""
    if catalog != wanted:
        raise CheckpointError(
            f"The checkpoint {database.name} belongs to catalog {catalog}, not {wanted}.",
            hint="Name another one with --checkpoint (in a database with --checkpoint-schema), or the other "
            "--catalog.",
        )
