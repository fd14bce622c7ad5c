"""The health file: a run renews it periodically with its readiness.

The renewal runs on the event loop. If the loop hangs, the file becomes stale, and its readers
(`bulk-invite health`, a probe of an orchestrator) notice.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import anyio
import structlog

from bulk_invite.domain.errors import ControlError
from bulk_invite.monitoring.health_view import HealthView, read, reason_of, serialized
from bulk_invite.monitoring.replace_file import replace_file

_log = structlog.get_logger()


class HealthFile:
    """Renews the file at `path`. every: seconds between two renewals."""

    def __init__(self, path: Path, *, every: float = 2.0) -> None:
        self._path = path
        self._every = every
        # A dedicated thread: otherwise slow work elsewhere could delay the renewal.
        self._threads = anyio.CapacityLimiter(1)
        self._is_there = False
        self._is_failing = False

    async def keep(self, view: Callable[[], HealthView]) -> None:
        """Renew the file until cancelled, then remove it.

        Raises ControlError where the first write fails. Later failures are retried and do not end the run;
        readers see the file become stale.
        """
        try:
            await self._in_thread(self._begin, view())
            while True:
                await anyio.sleep(self._every)
                await self._in_thread(self._renew, view())
        finally:
            if self._is_there:
                with suppress(OSError):  # it becomes stale anyway
                    self._path.unlink()

    async def _in_thread(self, write: Callable[[HealthView], None], view: HealthView) -> None:
        # Cancellation waits for the thread, so that it cannot restore the file after its removal.
        await anyio.to_thread.run_sync(write, view, limiter=self._threads)

    def _begin(self, view: HealthView) -> None:
        try:
            # The file will be replaced and finally removed: never do that to another file or a device.
            if self._path.exists() and not _is_one(self._path) and not _is_empty(self._path):
                raise ControlError(
                    f"{self._path} exists and is not a health file; it was not overwritten.",
                    hint="Choose another file with --health-file.",
                )
            self._replace(view)
        except OSError as error:
            raise ControlError(
                f"The health file {self._path} cannot be written: {reason_of(error)}.",
                hint="Choose a file in an existing, writable directory with --health-file.",
            ) from error

    def _renew(self, view: HealthView) -> None:
        try:
            self._replace(view)
        except OSError as error:
            if not self._is_failing:
                _log.warning("health.file_write_failed", path=str(self._path), reason=reason_of(error))
            self._is_failing = True
        else:
            self._is_failing = False

    def _replace(self, view: HealthView) -> None:
        # Readable for probes of other users; not durable: after a crash of the machine it is stale anyway.
        replace_file(self._path, serialized(view), mode=0o644, durable=False)
        self._is_there = True


def _is_one(path: Path) -> bool:
    try:
        read(path)
    except ControlError:
        return False
    return True


def _is_empty(path: Path) -> bool:
    return path.is_file() and not path.stat().st_size
