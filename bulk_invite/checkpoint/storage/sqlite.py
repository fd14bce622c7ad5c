"""A checkpoint in an SQLite file, and its driver's errors as sentences."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bulk_invite.checkpoint.storage import saved_copy
from bulk_invite.checkpoint.storage.base import RESTORE, damaged, read_about
from bulk_invite.checkpoint.storage.file_identity import require_no_mount, require_one_name
from bulk_invite.checkpoint.storage.file_location import location_of, record_location, require_log_here
from bulk_invite.checkpoint.storage.file_lock import SenderLock
from bulk_invite.checkpoint.storage.last_transaction import LastTransactionFile, beside
from bulk_invite.checkpoint.storage.read_only_copy import BUSY_TIMEOUT, open_to_look
from bulk_invite.checkpoint.storage.sqlite_checks import (
    create_private,
    require_folder,
    require_room,
    require_whole,
    require_writable,
)
from bulk_invite.checkpoint.tables.query import Query, driver_of, query_of_file
from bulk_invite.domain.errors import CheckpointError
from bulk_invite.domain.holder import Holder
from bulk_invite.domain.records import Owner

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine
    from sqlalchemy.exc import DBAPIError

_TRY: Final = 1.0
"""Seconds to wait for locks when only testing whether a sender could write."""

APPLICATION_ID: Final = 0x62_69_6E_76
"""SQLite's own identification of a file's type (PRAGMA application_id): "binv"."""

_HINTS: Final = (
    ("disk is full", "Free space on that disk and run the same command again; settled rows stay settled."),
    ("disk i/o error", "Check that disk and run the same command again; settled rows stay settled."),
    ("readonly", "Make the file and its directory writable, or name another one with --checkpoint."),
    ("read-only", "Make the file and its directory writable, or name another one with --checkpoint."),
    ("unable to open", "Make sure that the directory exists and is writable, or name another --checkpoint."),
    (
        "not a database",
        (
            "Name the right file with --checkpoint; this one is left unchanged. If it was your checkpoint, "
            "it is damaged: restore a copy, because a new one would send every invitation again."
        ),
    ),
    ("malformed", RESTORE),
    ("could not decode", RESTORE),
    ("locked", "Another program has locked the file; end it and run the same command again."),
)

_PASSING: Final = ("disk is full", "database is locked")


class SqliteFile:
    """A checkpoint in its own file; the operating system releases its locks."""

    def __init__(self, path: Path) -> None:
        # SQLite's log lies beside the file itself, whichever symbolic links lead to it.
        self._path = Path(os.path.realpath(path))
        self.name = str(path)
        self._hold = SenderLock(self._path, path.absolute(), self.name)
        self.timing: Callable[[], AbstractContextManager[None]] = nullcontext  # a disk cannot be disconnected

    def exists(self) -> bool:
        return self._path.exists() and self._path.stat().st_size > 0

    @contextmanager
    def translated(self) -> Iterator[None]:
        # Drop the driver's error (`from None`): its text may contain parameters of a statement.
        try:
            yield
        except CheckpointError:
            raise
        except _database_errors() as error:
            said = " ".join(str(getattr(error, "orig", error)).split())
            hint = next((hint for key, hint in _HINTS if key in said.lower()), "Nothing was changed.")
            raise CheckpointError(
                f"The checkpoint {self.name} cannot be used: {said}.",
                hint=hint,
                retryable=any(key in said.lower() for key in _PASSING),
            ) from None
        except (ValueError, KeyError):
            raise damaged(self.name) from None

    @contextmanager
    def held(self) -> Iterator[Engine]:
        require_folder(self._path, self.name)  # FileLock would create it
        with ExitStack() as undo:
            undo.enter_context(self._hold.locked())
            engine = self._writing()
            undo.callback(engine.dispose)
            undo.callback(self._hold.release)
            with self.translated(), engine.begin():
                pass  # the first transaction has created all files
            self._hold.watch()
            yield engine

    def record_location(self, engine: Engine) -> None:
        with engine.begin() as connection:
            if not record_location(query_of_file(driver_of(connection)), self._path):
                return
        # Write it to the file, not to the log: it is what reveals that the log was left behind.
        with closing(engine.raw_connection()) as raw:
            busy, *_ = raw.cursor().execute("PRAGMA wal_checkpoint(FULL)").fetchone()
        if busy:
            raise CheckpointError(
                f"The checkpoint {self.name} is being read by another program while it has to be rewritten.",
                hint="Run the same command again when that program has ended.",
                retryable=True,
            )

    def prove(self, connection: Connection) -> None:
        self.require_in_place(connection)

    def require_in_place(self, connection: Connection) -> None:
        if not self._hold.is_in_place():
            raise self._hold.lost(driver_of(connection))

    def reading(self) -> Engine:
        from bulk_invite.checkpoint.storage.sqlite_engine import engine_of  # noqa: PLC0415 - imports SQLAlchemy

        self._require_file()
        return engine_of(partial(open_to_look, self._path, self.name), begin="BEGIN")

    def looking(self) -> sqlite3.Connection:
        """A connection that cannot write, without SQLAlchemy; works during a run."""
        self._require_file()
        return open_to_look(self._path, self.name)

    def _require_file(self) -> None:
        require_no_mount(self._path, self.name)
        require_whole(self._path, self.name)
        if not self._path.is_file():
            raise CheckpointError(
                f"There is no checkpoint at {self.name}.",
                hint="Name it with --checkpoint, or run bulk-invite send first.",
            )

    def require_ours(self, query: Query) -> bool:
        if query("SELECT count(*) FROM sqlite_master")[0][0] == 0:
            return False
        if query("PRAGMA application_id")[0][0] != APPLICATION_ID:
            raise CheckpointError(
                f"{self.name} is a database of another program, not a checkpoint.",
                hint="Name the right file with --checkpoint; this one is left unchanged.",
            )
        require_log_here(location_of(query), self._path, self.name, only_same=True)
        return True

    def incomplete(self, query: Query) -> str:
        try:
            require_log_here(location_of(query), self._path, self.name)
        except CheckpointError as error:
            return str(error)
        return ""

    def mark_as_ours(self, connection: Connection) -> None:
        connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")

    def require_sound(self, connection: Connection) -> None:
        if (health := connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()) != "ok":
            raise CheckpointError(
                f"The checkpoint {self.name} is damaged: {' '.join(health.split())}.", hint=RESTORE
            )

    def reserve(self, connection: Connection, owner: Owner, catalog: str) -> None:
        """Not possible: a file does not know of other files."""

    def has_sender(self) -> bool | None:
        return self._hold.is_taken()

    def holder(self) -> Holder:
        return self._hold.holder()

    def check_writable(self) -> None:
        require_folder(self._path, self.name)
        require_no_mount(self._path, self.name)
        require_whole(self._path, self.name)
        # The lock file and SQLite's companion files are created in that directory.
        own = (self._hold.lock_file, self._path, beside(self._path.resolve()))
        require_writable((self._path.parent, *own), self.name)
        if not self.exists():
            require_room(self._path.parent, self.name)
            return
        self._look()
        uri = f"file:{self._quoted()}?mode=rw"
        with (
            self.translated(),
            closing(sqlite3.connect(uri, _TRY, uri=True, isolation_level=None)) as connection,
        ):
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")

    def last_transaction(self) -> LastTransactionFile:
        return LastTransactionFile(beside(self._path.resolve()))

    def describe(self, connection: Connection) -> str:
        return f"journal mode {connection.exec_driver_sql('PRAGMA journal_mode').scalar_one()}"

    def copy_to(self, connection: Connection, path: Path) -> None:
        saved_copy.copy(driver_of(connection), path)

    def _writing(self) -> Engine:
        from bulk_invite.checkpoint.storage.sqlite_engine import engine_of  # noqa: PLC0415 - imports SQLAlchemy

        def connect() -> sqlite3.Connection:
            # Worker threads call one at a time. isolation_level None: we issue BEGIN ourselves (below),
            # because sqlite3's implicit transactions exclude DDL and reads.
            connection = sqlite3.connect(
                f"file:{self._quoted()}?mode=rw",
                uri=True,
                timeout=BUSY_TIMEOUT,
                isolation_level=None,
                check_same_thread=False,
            )
            with ExitStack() as undo:
                undo.callback(connection.close)
                self._hold.lock_itself()
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute("PRAGMA foreign_keys = ON")
                undo.pop_all()
            return connection

        require_whole(self._path, self.name)
        create_private(self._path, self.name)
        self._hold.expect()
        # Check before setting the journal mode: a database of another program must stay unchanged.
        self._look()
        return engine_of(connect, begin="BEGIN IMMEDIATE")

    def _look(self) -> None:
        """Raise CheckpointError if it is not a checkpoint, or its log is beside another name."""
        require_one_name(self._path, self.name)
        with self.translated(), closing(self.looking()) as driver:
            driver.execute("BEGIN")
            query = query_of_file(driver)
            if read_about(self, query):
                require_log_here(location_of(query), self._path, self.name)
                saved_copy.require_newest(self._path, self.name)

    def _quoted(self) -> str:
        return self._path.as_uri().removeprefix("file://")


def _database_errors() -> tuple[type[DBAPIError], type[sqlite3.Error]]:
    """SQLAlchemy is imported only where there is an error: `status` does without."""
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415

    return DBAPIError, sqlite3.Error
