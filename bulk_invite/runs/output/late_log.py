"""The log of a command that hardly ever logs, set up before its first event: structlog imports long."""

from __future__ import annotations

import logging

from bulk_invite.runs.settings.model import Settings


class LateLog(logging.Handler):
    """Sets up the log as the settings have it, by itself for the first warning of a library."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(logging.WARNING)
        self._settings = settings
        logging.getLogger().addHandler(self)

    def set_up(self) -> None:
        """To be called before any other event. Does nothing the second time."""
        others = logging.getLogger()
        if self in others.handlers:
            others.removeHandler(self)
            from bulk_invite.runs.output import logs  # noqa: PLC0415 - a fifth of the start of `status`

            logs.configure(self._settings.log_format, self._settings.log_level)

    def emit(self, record: logging.LogRecord) -> None:
        self.set_up()
        logging.getLogger().handle(record)
