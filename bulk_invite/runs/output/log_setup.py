"""The log as the settings ask for it."""

from __future__ import annotations

from bulk_invite.runs.output import logs
from bulk_invite.runs.output.log_file import LogFile
from bulk_invite.runs.settings.model import Settings

_open: list[LogFile] = []


def configure_logs(settings: Settings) -> None:
    """Begin the log, or go on with it as it is configured by now. Raises ControlError."""
    file = None
    if settings.log_file is not None:
        file = LogFile(settings.log_file, settings.log_file_size, settings.log_files)
    logs.configure(settings.log_format, settings.log_level, file)
    for each in _open:
        each.close()
    _open[:] = [] if file is None else [file]
