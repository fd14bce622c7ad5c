"""What a checkpoint requires of its database. There are two implementations: SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from bulk_invite.checkpoint.storage.last_transaction import LastTransaction
from bulk_invite.checkpoint.tables.query import Query
from bulk_invite.checkpoint.tables.values import VERSION
from bulk_invite.domain.errors import CheckpointError, EmptyCheckpointError
from bulk_invite.domain.holder import Holder
from bulk_invite.domain.records import Owner

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

RESTORE: Final = "Restore it from a copy; starting over with an empty one would send every invitation again."


def damaged(name: str) -> CheckpointError:
    """For values that the database accepts but no sender writes, such as an unknown state."""
    return CheckpointError(
        f"The checkpoint {name} is damaged: it contains values that no sender writes.", hint=RESTORE
    )


def empty(name: str) -> EmptyCheckpointError:
    return EmptyCheckpointError(
        f"The checkpoint {name} is empty.",
        hint=("Check --checkpoint (and --checkpoint-schema for a database), or run bulk-invite send first."),
    )


class Database(Protocol):
    """An SQLite file, or a schema of a PostgreSQL database."""

    timing: Callable[[], AbstractContextManager[None]]
    """Limit the duration of a transaction: it fails if it takes far too long."""

    @property
    def name(self) -> str:
        """Display name; never a URL, which may contain a password."""

    def exists(self) -> bool:
        """Whether there is a checkpoint; an empty one does not count."""

    def translated(self) -> AbstractContextManager[None]:
        """Translate every failure of the database into a `CheckpointError` with a hint."""

    def held(self) -> AbstractContextManager[Engine]:
        """The engine of the only writer, which holds the lock until the end of the block.

        Every commit is on disk when it returns. Raises CheckpointHeldError while another sender has the lock.
        """

    def record_location(self, engine: Engine) -> None:
        """Record its location in it, so that an incomplete move is noticed."""

    def require_in_place(self, connection: Connection) -> None:
        """Raise CheckpointError if the checkpoint's name no longer leads to what is committed.

        Very cheap; `prove` checks the rest.
        """

    def prove(self, connection: Connection) -> None:
        """Raise CheckpointError if the lock of `held`, or what it protects, is no longer ours.

        connection: of the engine of `held`, outside a transaction.
        """

    def last_transaction(self) -> LastTransaction:
        """Knowledge of its last transaction from outside the checkpoint."""

    def reading(self) -> Engine:
        """An engine that cannot write; works during a run."""

    def require_ours(self, query: Query) -> bool:
        """Whether there is content. Raises CheckpointError if the database belongs to another program."""

    def incomplete(self, query: Query) -> str:
        """Why commits are missing here, or "": they may be stored elsewhere."""

    def mark_as_ours(self, connection: Connection) -> None:
        """Mark the database as a checkpoint, for anyone who inspects it."""

    def require_sound(self, connection: Connection) -> None:
        """Raise CheckpointError if it is damaged."""

    def reserve(self, connection: Connection, owner: Owner, catalog: str) -> None:
        """Keep other checkpoints in the same database from sending for the same account and catalog.

        Raises CheckpointHeldError if one already does.
        """

    def has_sender(self) -> bool | None:
        """Whether a sender holds it now; None if unknown."""

    def holder(self) -> Holder | None:
        """That sender, as far as it is known."""

    def check_writable(self) -> None:
        """Raise CheckpointError if a sender could not write to it. Changes nothing.

        Must not be called while there is a sender.
        """

    def describe(self, connection: Connection) -> str:
        """Describe the database for the operator."""

    def copy_to(self, connection: Connection, path: Path) -> None:
        """Copy the whole checkpoint into a new SQLite file."""


def read_about(database: Database, query: Query) -> dict[str, str]:
    """Read the `about` table of a checkpoint; {} if the database is empty.

    Raises CheckpointError for a database of another program, and for another version.
    """
    if not database.require_ours(query):
        return {}
    known = {str(key): str(value) for key, value in query("SELECT key, value FROM about")}
    if (version := int(known["version"])) != VERSION:
        raise CheckpointError(
            f"The checkpoint {database.name} has version {version}; this program reads only version "
            f"{VERSION}.",
            hint=(
                "Continue with the bulk-invite version that wrote it. A new checkpoint would send every row "
                "again."
            ),
        )
    return known


def require_catalog(database: Database, catalog: str, wanted: str) -> None:
    """Raise CheckpointError if the checkpoint belongs to another catalog."""
    if catalog != wanted:
        raise CheckpointError(
            f"The checkpoint {database.name} belongs to catalog {catalog}, not {wanted}.",
            hint=(
                "Name another checkpoint with --checkpoint (and --checkpoint-schema for a database), or use "
                f"--catalog {catalog}."
            ),
        )
