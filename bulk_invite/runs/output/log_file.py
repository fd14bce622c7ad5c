"""A rotating log file of JSON lines, written in addition to standard error."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path

import structlog
from structlog.typing import EventDict

from bulk_invite.domain.errors import ControlError

_to_json = structlog.processors.JSONRenderer()


class LogFile:
    """A structlog processor that writes each event and passes it on.

    size: bytes at which the file is rotated. files: number of files kept, at least 2. Raises ControlError
    where the file cannot be opened. Later write errors do not stop the run; the first one is reported.
    """

    def __init__(self, path: Path, size: int, files: int) -> None:
        try:
            self._file = _Rotating(path, maxBytes=size, backupCount=files - 1, encoding="utf-8")
        except OSError as error:
            raise ControlError(
                f"The log file {path} cannot be written: {error.strerror or type(error).__name__}.",
                hint="Choose a file in an existing, writable directory with --log-file.",
            ) from error

    def __call__(self, logger: object, method: str, event: EventDict) -> EventDict:
        line = str(_to_json(logger, method, dict(event)))
        self._file.handle(logging.makeLogRecord({"msg": line}))
        return event

    def close(self) -> None:
        with suppress(OSError):  # the rest does not fit on the disk
            self._file.close()


class _Rotating(RotatingFileHandler):
    """Creates files with mode 0600, and reports the first write error on standard error."""

    _reported = False

    def _open(self) -> TextIOWrapper:
        # An existing file keeps its mode: through a link, it may belong to another user.
        fd = os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        return os.fdopen(fd, "a", encoding=self.encoding)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802, ARG002 - named by the library
        error = sys.exc_info()[1]
        if not self._reported:
            self._reported = True
            reason = error.strerror if isinstance(error, OSError) else type(error).__name__
            sys.stderr.write(f"bulk-invite: The log file {self.baseFilename} cannot be written: {reason}.\n")
