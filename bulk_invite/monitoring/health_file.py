"""The health file: a run says in it, again and again, that it is there and how it is.

What renews it stands on the event loop like everything else: when the loop hangs, so does this, the file goes
stale, and whoever watches it (`bulk-invite health`, a probe of an orchestrator) knows.
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
    """Keeps the file at `path`; every: seconds between two renewals."""

    def __init__(self, path: Path, *, every: float = 2.0) -> None:
        self._path = path
        self._every = every
        # A thread of its own, lest slow work of others look like a loop that hangs.
        self._threads = anyio.CapacityLimiter(1)
        self._is_there = False
        self._is_failing = False

    async def keep(self, view: Callable[[], HealthView]) -> None:
        """Renew the file until cancelled, then take it away.

        Raises ControlError where it cannot be written at all. Later on it is tried again: a run does not
        end for this, and whoever watches the file sees it go stale.
        """
        try:
            await self._in_thread(self._begin, view())
            while True:
                await anyio.sleep(self._every)
                await self._in_thread(self._renew, view())
        finally:
            if self._is_there:
                with suppress(OSError):  # it goes stale in any case
                    self._path.unlink()

    async def _in_thread(self, write: Callable[[HealthView], None], view: HealthView) -> None:
        # A cancellation waits for the thread: it must not put the file back after it was taken away.
        await anyio.to_thread.run_sync(write, view, limiter=self._threads)

    def _begin(self, view: HealthView) -> None:
        try:
            # It will be replaced, and taken away in the end: that must befall nothing else, be it a device.
            if self._path.exists() and not _is_one(self._path) and not _is_empty(self._path):
                raise ControlError(
                    f"{self._path} is there already, and it is no health file; it was left as it is.",
                    hint="Name another file with --health-file.",
                )
            self._replace(view)
        except OSError as error:
            raise ControlError(
                f"The health file {self._path} cannot be written: {_reason(error)}.",
                hint="Name a file in a folder that exists and can be written to with --health-file.",
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
        # Also a probe of another user can read it; after a crash of the machine it would be stale anyway.
        replace_file(self._path, _told(view), mode=0o644, durable=False)
        self._is_there = True


def read(path: Path) -> HealthView:
    """What the file says. Raises ControlError where there is none."""
    try:
        if not path.is_file():  # to open a pipe would be to wait
            raise ControlError(f"There is no health file {path}: nothing runs that keeps it.")
        with path.open("rb") as file:
            return _understood(file.read(_LARGEST))
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
    """Whether what wrote it was there a moment ago. A time to come is none: a clock was set back since."""
    return abs(now - view.at) < LIVE_FOR


def _told(view: HealthView) -> bytes:
    values = {
        "ready": view.ready,
        "at": utc_text(view.at),
        "live_until": utc_text(view.at + LIVE_FOR),
        "reasons": view.reasons,
    }
    return orjson.dumps(values, option=orjson.OPT_APPEND_NEWLINE)


def _understood(text: bytes) -> HealthView:
    match orjson.loads(text):
        case {"ready": bool(ready), "at": str(at), "reasons": dict(reasons)}:
            said = {str(part): str(reason) for part, reason in reasons.items()}
            return HealthView(ready, said, datetime.fromisoformat(at).timestamp())
        case _:
            raise ValueError("other members")


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__
