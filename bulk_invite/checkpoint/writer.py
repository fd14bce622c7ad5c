"""The checkpoint as its one writer uses it: synchronous, every method one durable transaction.

Invariants: a row is in doubt from before its first byte leaves until an answer is on the disk; a token never
goes with two bodies; one writer at a time. When a commit fails the writer must not be used again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from filelock import FileLock, Timeout
from sqlalchemy import Engine, bindparam, delete, exists, func, insert, select, update

from bulk_invite.checkpoint import admission, lookup, pacing, reading, recording
from bulk_invite.checkpoint.database import read_about, require_catalog, translated, writing_engine
from bulk_invite.checkpoint.migration import migrate
from bulk_invite.checkpoint.schema import (
    APPLICATION_ID,
    VERSION,
    about,
    invitations,
    metadata,
    runs,
    unsent_rows,
)
from bulk_invite.doubt import DoubtfulRow, SettledRow
from bulk_invite.errors import CheckpointError
from bulk_invite.invitation import Invitation, Position, Rejection
from bulk_invite.journal import Admission, Arrived, Event, Owner, PacingMemory
from bulk_invite.outcome import State

_PATIENCE: Final = 1.0
"""Seconds to wait for the lock: `status` takes it for an instant to see whether a sender is alive."""


def lock_of(path: Path) -> FileLock:
    """The lock that a sender holds as long as it lives; the system frees it when it is killed."""
    # thread_local False: taken on one thread, given back on another.
    return FileLock(f"{path.resolve()}.lock", mode=0o600, thread_local=False)


class CheckpointWriter:
    """Open with `CheckpointWriter.open`, then `claim`, then `begin_run`."""

    def __init__(self, path: Path, engine: Engine, lock: FileLock) -> None:
        self._path = path
        self._engine = engine
        self._lock = lock
        self._run = 0

    @classmethod
    def open(cls, path: Path, *, catalog: str) -> CheckpointWriter:
        """Open or create the checkpoint for a catalog.

        Raises CheckpointError when it is held by another sender, damaged, not writable, of another catalog,
        of a newer version, or not a checkpoint.
        """
        if not path.absolute().parent.is_dir():  # FileLock would make it
            raise CheckpointError(
                f"The folder of the checkpoint {path} does not exist.",
                hint="Make it, or name another file with --checkpoint.",
            )
        lock = lock_of(path)
        try:
            lock.acquire(timeout=_PATIENCE)
        except Timeout:
            raise CheckpointError(
                f"Another sender is working on the checkpoint {path}.",
                hint="Wait for it or stop it (SIGTERM), then run the same command again.",
            ) from None
        except OSError as error:
            raise CheckpointError(
                f"The lock file beside the checkpoint {path} cannot be written: {error.strerror}.",
                hint="Make sure that the folder exists and is writable, or name another --checkpoint.",
            ) from error
        with ExitStack() as undo:
            undo.callback(lock.release)
            with translated(path):
                engine = writing_engine(path)
                undo.callback(engine.dispose)
                writer = cls(path, engine, lock)
                writer._prepare(catalog)
            undo.pop_all()
        return writer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._engine.dispose()
        self._lock.release()

    def claim(self, owner: Owner) -> None:
        """Bind the checkpoint to whoever sends first; raise CheckpointError for anybody else after that.

        Somebody unknown binds it to nobody, and may not use one that is bound.
        """
        with translated(self._path), self._engine.begin() as connection:
            known = read_about(connection, self._path)
            if "key_hash" in known:
                first = Owner(known["account"], known["key_hash"])
                if not first.is_same_as(owner):
                    raise CheckpointError(
                        f"The checkpoint {self._path} belongs to {first}; the credentials are of {owner}.",
                        hint="Use the credentials of that account, or another checkpoint with --checkpoint.",
                    )
                # A key may be rotated, and STS may answer this time: keep the best that is known.
                owner = Owner(owner.account or first.account, owner.key_hash)
            elif not owner.is_known:
                return
            rows = [
                {"name": "account", "new": owner.account},
                {"name": "key_hash", "new": owner.key_hash},
            ]
            if "key_hash" in known:
                statement = update(about).where(about.c.key == bindparam("name"))
                connection.execute(statement.values(value=bindparam("new")), rows)
            else:
                connection.execute(insert(about), [{"key": r["name"], "value": r["new"]} for r in rows])

    def begin_run(self, now: float) -> None:
        """Start counting duplicates and time afresh; `now` in epoch seconds."""
        with translated(self._path), self._engine.begin() as connection:
            started = connection.execute(insert(runs).values(started=now, last_event=now))
            (self._run,) = started.inserted_primary_key or (0,)

    def has_created(self) -> bool:
        """Whether any invitation was ever created from this checkpoint."""
        created = select(exists().where(invitations.c.state == State.CREATED.value))
        with translated(self._path), self._engine.begin() as connection:
            return bool(connection.execute(created).scalar_one())

    def admit(
        self,
        batch: Sequence[Invitation | Rejection],
        *,
        campaign: str,
        retry_failed: bool,
        reached: Position | None = None,
    ) -> list[Admission]:
        """Look every row of a batch up and note the new ones; the answers are in the order of the batch.

        reached: the position up to which its source is read by that, where a reading can go on from it.
        """
        with translated(self._path), self._engine.begin() as connection:
            if reached is not None:
                reading.note(connection, reached, campaign)
            return admission.admit(
                connection, batch, run=self._run, campaign=campaign, retry_failed=retry_failed
            )

    def end_source(self, source: str, campaign: str) -> None:
        """Forget rejected rows and duplicates that a source, now read to its end, has no more."""
        stale = delete(unsent_rows).where(unsent_rows.c.source == source, unsent_rows.c.run < self._run)
        with translated(self._path), self._engine.begin() as connection:
            reading.forget(connection, source, campaign)
            connection.execute(stale)

    def watermark(self, source: str, campaign: str) -> str | None:
        """The key up to which a reading that was broken off has come."""
        with translated(self._path), self._engine.begin() as connection:
            return reading.watermark(connection, source, campaign)

    def open_keys(self, source: str, campaign: str, after: str, limit: int) -> list[str]:
        """See `reading.open_keys`."""
        with translated(self._path), self._engine.begin() as connection:
            return reading.open_keys(connection, source, campaign, after, limit)

    def arrived(self, source: str, campaign: str, after: str, limit: int) -> list[Arrived]:
        """See `reading.arrived`."""
        with translated(self._path), self._engine.begin() as connection:
            return reading.arrived(connection, source, campaign, after, limit)

    def remember(self, memory: PacingMemory) -> None:
        """Keep what the pacing knows for another run, and for `status`."""
        with translated(self._path), self._engine.begin() as connection:
            pacing.remember(connection, memory)

    def recall(self) -> PacingMemory | None:
        """What the pacing of an earlier run knew."""
        with translated(self._path), self._engine.begin() as connection:
            return pacing.recall(connection)

    def count_calls(self, now: float, *, grace: float, into: Callable[[float], None]) -> None:
        """Hand over when each call of the last day was answered, oldest first (see `pacing.calls_of_day`)."""
        with translated(self._path), self._engine.begin() as connection:
            for time in pacing.calls_of_day(connection, now, grace=grace):
                into(time)

    def rows_of(self, engagements: Sequence[str]) -> tuple[list[DoubtfulRow], list[SettledRow]]:
        """The rows in doubt, and those with an invitation, of some engagements."""
        with translated(self._path), self._engine.begin() as connection:
            return lookup.rows_of(connection, engagements)

    def in_doubt(self, after: str, limit: int) -> list[tuple[DoubtfulRow, Position, str]]:
        """Rows in doubt with their positions and campaigns (see `lookup.in_doubt`)."""
        with translated(self._path), self._engine.begin() as connection:
            return lookup.in_doubt(connection, after, limit)

    def count_in_doubt(self) -> int:
        """How many rows are in doubt."""
        count = (
            select(func.count()).select_from(invitations).where(invitations.c.state == State.IN_DOUBT.value)
        )
        with translated(self._path), self._engine.begin() as connection:
            return int(connection.execute(count).scalar_one())

    def record(self, events: Sequence[Event]) -> None:
        """Commit events of different rows in one transaction; they are on the disk when this returns."""
        with translated(self._path), self._engine.begin() as connection:
            if not recording.record(connection, events, run=self._run):
                raise CheckpointError(
                    f"The checkpoint {self._path} was changed from outside: rows of this run are gone.",
                    hint="Restore it from a copy; do not start over, that would send again.",
                )

    def _prepare(self, catalog: str) -> None:
        with self._engine.begin() as connection:
            known = read_about(connection, self._path)
            if not known:
                metadata.create_all(connection)
                connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(
                    insert(about),
                    [{"key": "version", "value": str(VERSION)}, {"key": "catalog", "value": catalog}],
                )
                return
            require_catalog(self._path, known["catalog"], catalog)
            migrate(connection, int(known["version"]))
            metadata.create_all(connection)  # what an older program did not know of
            if (health := connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()) != "ok":
                raise CheckpointError(
                    f"The checkpoint {self._path} is damaged: {' '.join(health.split())}.",
                    hint="Restore it from a copy; starting over with an empty one would send again.",
                )
