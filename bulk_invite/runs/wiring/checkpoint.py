"""The checkpoint as the settings name it.

SQLAlchemy takes a tenth of a second to import: --help, mistakes and commands without a checkpoint do not wait
for it.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from bulk_invite.domain.errors import (
    CheckpointError,
    CheckpointHeldError,
    EmptyCheckpointError,
)
from bulk_invite.domain.holder import Holder
from bulk_invite.runs.settings.model import Settings
from bulk_invite.sources.interruptible_wait import wait

if TYPE_CHECKING:
    from bulk_invite.checkpoint.file_figures import FileFigures
    from bulk_invite.checkpoint.reader import CheckpointReader
    from bulk_invite.checkpoint.recent_writes import RecentWrites
    from bulk_invite.checkpoint.storage.base import Database
    from bulk_invite.checkpoint.writer import CheckpointWriter

LATEST_FIRST: Final = (
    "Restore the latest checkpoint, if there is a newer one. If not, send as usual: open rows are looked up "
    "before they are sent."
)
"""What to do about a checkpoint that is older than the last call, before a run."""

_LOOK: Final = 1.0
"""Seconds between two attempts of a standby. The lock of a dead sender is free immediately, or within some
ten seconds if its machine died."""


def database_of(settings: Settings) -> Database:
    from bulk_invite.checkpoint.open import database_at  # noqa: PLC0415

    return database_at(settings.checkpoint, settings.checkpoint_schema)


def checkpoint_option(checkpoint: str) -> str:
    """The option that names a checkpoint, for a command to copy; "" for the default one."""
    if checkpoint == Settings.model_fields["checkpoint"].default:
        return ""
    is_url = "://" in checkpoint  # it may contain a password
    return f" --checkpoint {'URL' if is_url else shlex.quote(checkpoint)}"


def open_reader(settings: Settings, set_up_log: Callable[[], None] = lambda: None) -> CheckpointReader:
    """Raises CheckpointError where there is none. set_up_log: called before a warning."""
    from bulk_invite.checkpoint.reader import CheckpointReader  # noqa: PLC0415

    reader = CheckpointReader(settings.checkpoint, settings.checkpoint_schema)
    warn_if_incomplete(reader, set_up_log)
    return reader


def open_figures(settings: Settings) -> CheckpointReader | FileFigures:
    """As `open_reader`, without its warning and only for figures: of a file, they do not need SQLAlchemy."""
    from bulk_invite.checkpoint.file_figures import figures_at  # noqa: PLC0415

    return figures_at(settings.checkpoint, settings.checkpoint_schema)


def warn_if_incomplete(reader: CheckpointReader | FileFigures, set_up_log: Callable[[], None]) -> None:
    """Warn of commits that are stored elsewhere."""
    if reader.incomplete:
        set_up_log()
        from bulk_invite.runs.wiring.checkpoint_warnings import warn_of_missing  # noqa: PLC0415 - as below

        warn_of_missing(reader.incomplete)


def warn_if_stale(
    reader: CheckpointReader | FileFigures, set_up_log: Callable[[], None] = lambda: None
) -> None:
    """Warn, as a run would, of calls that the checkpoint lacks: its figures are out of date."""
    if (gap := reader.older()) is not None:
        set_up_log()
        from bulk_invite.runs.wiring.checkpoint_warnings import warn_of_gap  # noqa: PLC0415 - as below

        warn_of_gap(gap, next=LATEST_FIRST)


def open_reader_of_any(settings: Settings) -> CheckpointReader | None:
    """None where there is no checkpoint yet, or one whose creation was interrupted: a run completes it."""
    if not database_of(settings).exists():
        return None
    try:
        return open_reader(settings)
    except EmptyCheckpointError:
        return None


def open_writer(
    settings: Settings,
    stop: Callable[[], bool] = lambda: False,
    waits: Callable[[str, Holder | None], None] = lambda *_: None,
    recent_writes: RecentWrites | None = None,
) -> CheckpointWriter:
    """Open the checkpoint to write; with `wait_for_lock`, wait until no other sender holds it.

    recent_writes: what this process has written before. waits: gets the reason for waiting, and the other
    sender if that is the reason. stop: polled while waiting; true raises that reason. Raises CheckpointError.
    """
    from bulk_invite.checkpoint.writer import CheckpointWriter  # noqa: PLC0415

    location, schema = settings.checkpoint, settings.checkpoint_schema
    reported = ""
    while True:
        try:
            return CheckpointWriter.open(
                location, catalog=settings.catalog, schema=schema, recent_writes=recent_writes
            )
        except CheckpointError as error:
            # A standby survives transient failures of its database, too.
            if not (settings.wait_for_lock and error.retryable) or stop():
                raise
            holder = None
            if isinstance(error, CheckpointHeldError):
                holder = error.holder or Holder("another sender")
            reason = str(error) if holder is None else f"standing by for {holder}"
            if reported != reason:
                reported = reason
                waits(reason, holder)
                # Their log takes a tenth of a second to import, and most runs need not wait.
                from bulk_invite.runs.wiring.checkpoint_warnings import report_wait  # noqa: PLC0415

                report_wait(error, holder)
        wait(_LOOK, stop)


def require_checkpoint(settings: Settings) -> None:
    """Raise CheckpointError where there is none yet."""
    database = database_of(settings)
    if not database.exists():
        raise no_checkpoint(database.name)


def no_checkpoint(name: str) -> CheckpointError:
    return CheckpointError(
        f"There is no checkpoint at {name}.", hint="Name it with --checkpoint, or send something first."
    )
