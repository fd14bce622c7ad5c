"""A dry run in a thread of its own: with its progress on a terminal, and stopped at once by a signal."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from signal import Signals
from typing import Final

import anyio

from bulk_invite.domain.errors import BulkInviteError
from bulk_invite.runs.dry_run import DryRun
from bulk_invite.runs.output.reading_progress import watch_reading
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.wiring.daemon_threads import in_daemon_thread
from bulk_invite.runs.wiring.signals import until_signal
from bulk_invite.runs.wiring.temporary_folder import temporary_folder

GRACE: Final = 0.12
"""Seconds in which a dry run can cancel a statement and close its files; after that, nothing waits for it."""


async def _nothing() -> None:
    pass


def read_ahead(
    reading: DryRun, settings: Settings, first: Callable[[], Awaitable[None]] = _nothing
) -> Signals | None:
    """Run it; return the signal that has stopped it, if one has. Raises BulkInviteError.

    first: runs before it. The copy of the checkpoint is deleted in any case.
    """
    with temporary_folder() as folder:

        async def body() -> None:
            await first()
            await _read(reading, folder, settings)

        run = partial(until_signal, body, reading.stop, GRACE)
        return anyio.run(run, backend_options={"use_uvloop": True})


async def _read(reading: DryRun, folder: Path, settings: Settings) -> None:
    work = in_daemon_thread(partial(reading.run, folder))
    failure: BulkInviteError | None = None
    async with anyio.create_task_group() as group:
        if settings.shown_progress != "off":
            group.start_soon(watch_reading, reading.total, reading.counts)
        try:
            await asyncio.wrap_future(work)
        except BulkInviteError as error:  # the task group would wrap it
            failure = error
        finally:
            reading.stop()
            group.cancel_scope.cancel()
    if failure is not None:
        raise failure
