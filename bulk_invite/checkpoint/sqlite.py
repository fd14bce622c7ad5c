"""A checkpoint in an SQLite file, and what its driver says as sentences."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from bulk_invite.checkpoint.database import RESTORE, damaged, read_about
from bulk_invite.checkpoint.file_examination import holder_told, require_writable
from bulk_invite.checkpoint.identity import Files
from bulk_invite.errors import CheckpointError, CheckpointHeldError
from bulk_invite.journal import Owner

_BUSY_TIMEOUT: Final = 10.0
"""Seconds to wait for SQLite's own locks; readers hold them for moments only."""

_PATIENCE: Final = 1.0
"""Seconds to wait for the lock: `status` takes it for an instant to see whether a sender is alive."""

APPLICATION_ID: Final = 0x62_69_6E_76
"""SQLite's own mark for "what kind of file is this" (PRAGMA application_id): "binv"."""

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
    ("malformed", RESTORE),
    ("could not decode", RESTORE),
    ("locked", "Another program holds the file; end it and run the same command again."),
)

_PASSING: Final = ("disk is full", "database is locked")


class SqliteFile:
    """A checkpoint in a file of its own; the lock is a file beside it, which the system frees."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = str(path)
        self.timing: Callable[[], AbstractContextManager[None]] = nullcontext  # a disk cannot be torn from
        self._files = Files(())

    def exists(self) -> bool:
        return self._path.exists() and self._path.stat().st_size > 0

    @contextmanager
    def translated(self) -> Iterator[None]:
        # The driver's error is cut off (`from None`): its text may carry the parameters of a statement.
        try:
            yield
        except (DBAPIError, sqlite3.Error) as error:
            said = " ".join(str(error.orig if isinstance(error, DBAPIError) else error).split())
            hint = next((hint for key, hint in _HINTS if key in said.lower()), "Nothing was changed by it.")
            raise CheckpointError(
                f"The checkpoint {self.name} cannot be used: {said}.",
                hint=hint,
                heals=any(key in said.lower() for key in _PASSING),
            ) from None
        except (ValueError, KeyError):
            raise damaged(self.name) from None

    @contextmanager
    def held(self) -> Iterator[Engine]:
        self._require_folder()  # FileLock would make it
        lock = self._lock()
        try:
            lock.acquire(timeout=_PATIENCE)
        except Timeout:
            raise CheckpointHeldError(self.name) from None
        except OSError as error:
            raise CheckpointError(
                f"The lock file beside the checkpoint {self.name} cannot be written: {error.strerror}.",
                hint="Make sure that the folder exists and is writable, or name another --checkpoint.",
            ) from error
        with ExitStack() as undo:
            undo.callback(lock.release)
            engine = self._writing()
            undo.callback(engine.dispose)
            with self.translated(), engine.begin():
                pass  # the log is made by the first transaction
            self._files = Files((self._path, self._log(), Path(lock.lock_file)))
            yield engine

    def prove(self, engine: Engine) -> None:
        del engine
        for path in self._files.changed():
            raise CheckpointError(
                f"The checkpoint {self.name} is not what it was: {path} was moved, removed or replaced.",
                hint="Put it back as it was and run the same command again; do not start over, that would "
                "send again.",
            )

    def reading(self) -> Engine:
        def configure(connection: sqlite3.Connection) -> None:
            connection.execute("PRAGMA query_only = ON")

        self._require_both()
        if not self._path.is_file():
            raise CheckpointError(
                f"There is no checkpoint at {self.name}.",
                hint="Name it with --checkpoint, or send something first.",
            )
        # A reader may have to recover the write-ahead log after a crash, which takes write access.
        mode = "rw" if os.access(self._path, os.W_OK) else "ro"
        return _engine(f"file:{self._quoted()}?mode={mode}", configure, begin="BEGIN")

    def require_ours(self, connection: Connection) -> bool:
        if not connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar_one():
            return False
        if connection.exec_driver_sql("PRAGMA application_id").scalar_one() != APPLICATION_ID:
            raise CheckpointError(
                f"{self.name} is a database of another program, not a checkpoint.",
                hint="Name the right file with --checkpoint; this one is left as it is.",
            )
        return True

    def mark_as_ours(self, connection: Connection) -> None:
        connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")

    def require_sound(self, connection: Connection) -> None:
        if (health := connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()) != "ok":
            raise CheckpointError(
                f"The checkpoint {self.name} is damaged: {' '.join(health.split())}.", hint=RESTORE
            )

    def reserve(self, connection: Connection, owner: Owner, catalog: str) -> None:
        """Nobody knows of other files."""

    def has_sender(self) -> bool | None:
        lock = self._lock()
        if not Path(lock.lock_file).exists():
            return False
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return True
        except OSError:  # it is its owner's
            return None
        lock.release()
        return False

    def holder(self) -> str:
        return holder_told(Path(self._lock().lock_file))

    def try_out(self) -> None:
        self._require_folder()
        self._require_both()
        # The lock and SQLite's own companions are made in the folder.
        folder, lock = self._path.absolute().parent, Path(self._lock().lock_file)
        require_writable((folder, lock, self._path), self.name)
        if not self.exists():
            return
        uri = f"file:{self._quoted()}?mode=rw"
        with (
            self.translated(),
            closing(sqlite3.connect(uri, _PATIENCE, uri=True, isolation_level=None)) as connection,
        ):
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")

    def describe(self, connection: Connection) -> str:
        return f"journal mode {connection.exec_driver_sql('PRAGMA journal_mode').scalar_one()}"

    def copy_to(self, connection: Connection, path: Path) -> None:
        with closing(sqlite3.connect(path)) as target:
            driver = connection.connection.driver_connection
            assert isinstance(driver, sqlite3.Connection)  # noqa: S101 - tells the type checker
            driver.backup(target)

    def _lock(self) -> FileLock:
        # thread_local False: taken on one thread, given back on another.
        return FileLock(f"{self._path.resolve()}.lock", mode=0o600, thread_local=False)

    def _writing(self) -> Engine:
        def configure(connection: sqlite3.Connection) -> None:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")

        self._create_private()
        # Before the journal mode is set: a database of something else stays as it is.
        looking = self.reading()
        try:
            with self.translated(), looking.begin() as connection:
                read_about(self, connection)
        finally:
            looking.dispose()
        return _engine(f"file:{self._quoted()}?mode=rw", configure, begin="BEGIN IMMEDIATE")

    def _create_private(self) -> None:
        """Create the file readable by its owner only; SQLite gives its companions the same mode.

        One that is there is not opened: to close it would free all locks that this process has on it (POSIX
        locks are the process's, whoever took them), those of a look that goes on and of the sender after it.
        """
        self._require_both()
        try:
            with suppress(FileExistsError):
                new = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
                os.close(os.open(self._path.resolve(), new, 0o600))
            if self._path.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            if not os.access(self._path, os.R_OK | os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except OSError as error:
            raise CheckpointError(
                f"The checkpoint {self.name} cannot be opened: {error.strerror}.",
                hint="Make sure that the folder exists and is writable, or name another file with "
                "--checkpoint.",
                heals=error.errno == errno.ENOSPC,
            ) from error

    def _require_folder(self) -> None:
        if not self._path.absolute().parent.is_dir():
            raise CheckpointError(
                f"The folder of the checkpoint {self.name} does not exist.",
                hint="Make it, or name another file with --checkpoint.",
            )

    def _require_both(self) -> None:
        """Raise CheckpointError for an empty file, or none, beside the log of what was in it.

        SQLite would throw the log away, and all would be sent again.
        """
        log = self._log()
        if not self.exists() and log.exists() and log.stat().st_size:
            raise CheckpointError(
                f"The checkpoint {self.name} is empty or gone, but {log.name} beside it is not.",
                hint=f"{RESTORE} The two belong together.",
            )

    def _log(self) -> Path:
        return self._path.with_name(f"{self._path.name}-wal")

    def _quoted(self) -> str:
        return self._path.absolute().as_uri().removeprefix("file://")


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
