"""The health file: a run renews it periodically with its readiness.

The renewal runs on the event loop. If the loop hangs, the file becomes stale, and its readers
(`bulk-invite health`, a probe of an orchestrator) notice.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final

import anyio
import orjson
import structlog

from bulk_invite.domain.clock import utc_text
from bulk_invite.domain.errors import ControlError
from bulk_invite.monitoring.health import HealthView
from bulk_invite.monitoring.replace_file import replace_file

_log = structlog.get_logger()

LIVE_FOR: Final = 15.0
"""Seconds after which a file that was not renewed is stale."""

_LARGEST: Final = 64 * 1024


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
                f"The health file {self._path} cannot be written: {_reason(error)}.",
                hint="Choose a file in an existing, writable directory with --health-file.",
            ) from error

    def _renew(self, view: HealthView) -> None:
        try:
            self._replace(view)
        except OSError as error:
            if not self._is_failing:
                _log.warning("health.file_write_failed", path=str(self._path), reason=_reason(error))
            self._is_failing = True
        else:
            self._is_failing = False

    def _replace(self, view: HealthView) -> None:
        # Readable for probes of other users; not durable: after a crash of the machine it is stale anyway.
        replace_file(self._path, _serialized(view), mode=0o644, durable=False)
        self._is_there = True


def read(path: Path) -> HealthView:
    """Read a health file. Raises ControlError where there is none."""
    try:
        if not path.is_file():  # opening a pipe would block
            raise ControlError(f"There is no health file {path}: no run is updating it.")
        with path.open("rb") as file:
            return _parsed(file.read(_LARGEST))
    except OSError as error:
        raise ControlError(f"The health file {path} cannot be read: {_reason(error)}.") from error
    except ValueError as error:
        raise ControlError(f"{path} is not a health file.") from error


def _is_one(path: Path) -> bool:
    try:
        read(path)
    except ControlError:
        return False
    return True


def _is_empty(path: Path) -> bool:
    return path.is_file() and not path.stat().st_size


def is_live(view: HealthView, now: float) -> bool:
    """Whether the file was renewed recently. A time in the future does not count: the clock was set back."""
    return abs(now - view.at) < LIVE_FOR


def _serialized(view: HealthView) -> bytes:
    values = {
        "ready": view.ready,
        "at": utc_text(view.at),
        "live_until": utc_text(view.at + LIVE_FOR),
        "reasons": view.reasons,
    }
    return orjson.dumps(values, option=orjson.OPT_APPEND_NEWLINE)


def _parsed(text: bytes) -> HealthView:
    match orjson.loads(text):
        case {"ready": bool(ready), "at": str(at), "reasons": dict(reasons)}:
            said = {str(part): str(reason) for part, reason in reasons.items()}
            return HealthView(ready, said, datetime.fromisoformat(at).timestamp())
        case _:
            raise ValueError("other members")


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__
