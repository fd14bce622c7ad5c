"""The log in a file as well: JSON lines; when it is large a new one is begun, and the oldest goes."""

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
    """A processor of structlog that passes on what it has written.

    size: bytes from which a new file is begun; files: how many are kept, from 2 on. Raises ControlError where
    it cannot be written at all; later on a full disk is no reason to stop sending, and is told once.
    """

    def __init__(self, path: Path, size: int, files: int) -> None:
        try:
            self._file = _Rotating(path, maxBytes=size, backupCount=files - 1, encoding="utf-8")
        except OSError as error:
            raise ControlError(
                f"The log file {path} cannot be written: {error.strerror or type(error).__name__}.",
                hint="Name a file in a folder that exists and can be written to with --log-file.",
            ) from error

    def __call__(self, logger: object, method: str, event: EventDict) -> EventDict:
        line = str(_to_json(logger, method, dict(event)))
        self._file.handle(logging.makeLogRecord({"msg": line}))
        return event

    def close(self) -> None:
        with suppress(OSError):  # what is not on the disk yet does not fit there
            self._file.close()


class _Rotating(RotatingFileHandler):
    """Made readable by its owner only; what it cannot write is told on standard error, once."""

    _told = False

    def _open(self) -> TextIOWrapper:
        # One that was there before keeps its mode: by a link, it may be anybody's file.
        fd = os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        return os.fdopen(fd, "a", encoding=self.encoding)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802, ARG002 - so the library calls it
        error = sys.exc_info()[1]
        if not self._told:
            self._told = True
            reason = error.strerror if isinstance(error, OSError) else type(error).__name__
            sys.stderr.write(f"bulk-invite: The log file {self.baseFilename} cannot be written: {reason}.\n")
