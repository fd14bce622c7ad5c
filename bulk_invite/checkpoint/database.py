"""Opening the SQLite file, and turning what its driver says into sentences."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, create_engine, event, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from bulk_invite.checkpoint.schema import APPLICATION_ID, VERSION, about
from bulk_invite.errors import CheckpointError

_BUSY_TIMEOUT: Final = 10.0
"""Seconds to wait for SQLite's own locks; readers hold them for moments only."""

_RESTORE: Final = "Restore it from a copy; starting over with an empty one would send again."

_HINTS: Final = (
    ("disk is full", "Make room on that disk and run the same command again; what is settled stays settled."),
    ("disk i/o error", "Check that disk and run the same command again; what is settled stays settled."),
    ("readonly", "Make the file and its folder writable, or name another one with --checkpoint."),
    ("read-only", "Make the file and its folder writable, or name another one with --checkpoint."),
    ("unable to open", "Make sure that the folder exists and is writable, or name another --checkpoint."),
    (
        "not a database",
        (
            "Name the right file with --checkpoint; this one is left as it is. If it was your checkpoint it "
            "is damaged: restore a copy, for a new one would send again."
        ),
    ),
    ("malformed", _RESTORE),
    ("could not decode", _RESTORE),
    ("locked", "Another program holds the file; end it and run the same command again."),
)


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Raise every failure of the database as a `CheckpointError` that says what to do.

    The driver's error is cut off (`from None`): its text may carry the parameters of a statement.
    """
    try:
        yield
    except (DBAPIError, sqlite3.Error) as error:
        said = " ".join(str(error.orig if isinstance(error, DBAPIError) else error).split())
        hint = next((hint for key, hint in _HINTS if key in said.lower()), "Nothing was changed by it.")
        raise CheckpointError(f"The checkpoint {path} cannot be used: {said}.", hint=hint) from None
    except (ValueError, KeyError):
        # SQLite checks the form of a file, not the values: a state that is none, text that is not UTF-8.
        raise CheckpointError(
            f"The checkpoint {path} is damaged: it holds values that no sender writes.", hint=_RESTORE
        ) from None


def writing_engine(path: Path) -> Engine:
    """An engine for the one writer: WAL, and every commit is on the disk before it returns."""

    def configure(connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")

    _create_private(path)
    _check_kind(path)  # before the journal mode is set: a database of something else stays as it is
    return _engine(f"file:{_quoted(path)}?mode=rw", configure, begin="BEGIN IMMEDIATE")


def reading_engine(path: Path) -> Engine:
    """An engine that cannot write, also while a run is writing."""

    def configure(connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA query_only = ON")

    _require_both(path)
    if not path.is_file():
        raise CheckpointError(
            f"There is no checkpoint at {path}.", hint="Name it with --checkpoint, or send something first."
        )
    # A reader may have to recover the write-ahead log after a crash, which takes write access.
    mode = "rw" if os.access(path, os.W_OK) else "ro"
    return _engine(f"file:{_quoted(path)}?mode={mode}", configure, begin="BEGIN")


def _check_kind(path: Path) -> None:
    engine = reading_engine(path)
    try:
        with engine.begin() as connection:
            read_about(connection, path)
    finally:
        engine.dispose()


def read_about(connection: Connection, path: Path) -> dict[str, str]:
    """The `about` table of a checkpoint; {} for a database that is still empty.

    Raises CheckpointError for a database of something else or of a newer program.
    """
    tables = connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar_one()
    if not tables:
        return {}
    if connection.exec_driver_sql("PRAGMA application_id").scalar_one() != APPLICATION_ID:
        raise CheckpointError(
            f"{path} is a database of another program, not a checkpoint.",
            hint="Name the right file with --checkpoint; this one is left as it is.",
        )
    known: dict[str, str] = {row.key: row.value for row in connection.execute(select(about))}
    if (version := int(known["version"])) > VERSION:
        raise CheckpointError(
            f"The checkpoint {path} has version {version}; this program knows versions up to {VERSION}.",
            hint="Use the newer bulk-invite that wrote it.",
        )
    return known


def require_catalog(path: Path, catalog: str, wanted: str) -> None:
    """Raise CheckpointError where a checkpoint of one catalog is wanted for another."""
    if catalog != wanted:
        raise CheckpointError(
            f"The checkpoint {path} belongs to catalog {catalog}, not {wanted}.",
            hint="Name another file with --checkpoint, or the other --catalog.",
        )


def _engine(uri: str, configure: Callable[[sqlite3.Connection], None], *, begin: str) -> Engine:
    def connect() -> sqlite3.Connection:
        # Calls come from worker threads, one at a time. isolation_level None: BEGIN is ours (below),
        # because sqlite3's implicit transactions leave DDL and reads outside of them.
        connection = sqlite3.connect(
            uri, uri=True, timeout=_BUSY_TIMEOUT, isolation_level=None, check_same_thread=False
        )
        configure(connection)
        return connection

    engine = create_engine(
        "sqlite://", creator=connect, poolclass=QueuePool, pool_size=1, max_overflow=0, hide_parameters=True
    )

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _create_private(path: Path) -> None:
    """Create the file readable by its owner only; SQLite gives its companions the same mode."""
    _require_both(path)
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise CheckpointError(
            f"The checkpoint {path} cannot be opened: {error.strerror}.",
            hint="Make sure that the folder exists and is writable, or name another file with --checkpoint.",
        ) from error


def _require_both(path: Path) -> None:
    """Raise CheckpointError for an empty file, or none, beside the log of what was in it.

    SQLite would throw the log away, and all would be sent again.
    """
    log = path.with_name(f"{path.name}-wal")
    if (not path.exists() or path.stat().st_size == 0) and log.exists() and log.stat().st_size:
        raise CheckpointError(
            f"The checkpoint {path} is empty or gone, but {log.name} beside it is not.",
            hint=f"{_RESTORE} The two belong together.",
        )


def _quoted(path: Path) -> str:
    return path.absolute().as_uri().removeprefix("file://")
