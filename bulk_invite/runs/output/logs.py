"""structlog, set up once: events on standard error, for people or as JSON lines.

Nothing here has to remove sensitive members, because no event is ever given one: events carry positions,
tokens, codes and paths. What a row can still bring in (a client token, a file name) is escaped.
"""

from __future__ import annotations

import logging
import re
import sys
from contextlib import suppress
from typing import Any, Final, Literal, TextIO, cast

import structlog
from structlog.typing import EventDict, Processor

from bulk_invite.domain.urls import origins_only
from bulk_invite.runs.output.log_file import LogFile
from bulk_invite.runs.settings.model import Settings

_BEYOND_ASCII: Final = re.compile(r"[^\0-~]")
_SDK: Final = ("aiobotocore", "botocore")
_open: list[LogFile] = []


def configure_logs(settings: Settings) -> None:
    """Begin the log, or go on with it as it is configured by now. Raises ControlError."""
    file = None
    if settings.log_file is not None:
        file = LogFile(settings.log_file, settings.log_file_size, settings.log_files)
    configure(settings.log_format, settings.log_level, file)
    for each in _open:
        each.close()
    _open[:] = [] if file is None else [file]


def configure(
    log_format: Literal["auto", "console", "json"], level: str, file: LogFile | None = None
) -> None:
    """Send every event of `level` and above to standard error, and to a file if there is one."""
    as_console = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=24, sort_keys=False)
        if as_console
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _escape_control_characters,
            *([] if file is None else [file]),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=lambda *_: structlog.WriteLogger(cast("TextIO", _StandardError())),
        cache_logger_on_first_use=False,
    )
    for name in _SDK:
        sdk = logging.getLogger(name)
        sdk.handlers, sdk.propagate = [_SdkWarnings(logging.WARNING)], False
    others = logging.getLogger()
    if not any(isinstance(each, _OtherWarnings) for each in others.handlers):
        others.addHandler(_OtherWarnings(logging.WARNING))


class _SdkWarnings(logging.Handler):
    """What the SDK warns of, such as credentials that it cannot renew yet: an event, no traceback."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger().warning("sdk.warning", reason=origins_only(record.getMessage()))


class _OtherWarnings(logging.Handler):
    """What any other library warns of, such as a driver: without what it puts in, which may be of a row.

    Python itself would write that to standard error, with tracebacks.
    """

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        kind = {} if error is None else {"kind": type(error).__name__}
        reason = str(record.msg).partition("\n")[0]
        structlog.get_logger().warning("library.warning", library=record.name, reason=reason, **kind)


class _StandardError:
    """Whatever standard error is at the moment: a progress bar puts its own in that place."""

    def write(self, text: str, /) -> int:
        # Nobody may be reading any more, or the disk of a log file be full: no reason to stop sending.
        with suppress(OSError):
            return sys.stderr.write(text)
        return 0

    def flush(self) -> None:
        with suppress(OSError):
            sys.stderr.flush()


def _escape_control_characters(_logger: object, _method: str, event: EventDict) -> EventDict:
    return {name: escaped(value) for name, value in event.items()}


def escaped(value: Any) -> Any:
    """A text whose unprintable characters cannot reach a terminal; anything else as it is."""
    if not isinstance(value, str) or value.isprintable():
        return value
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in value)


def escaped_json(text: str) -> str:
    """JSON that means the same, of which nothing unprintable can reach a terminal.

    JSON itself asks for escapes up to U+001F only: terminals obey some characters beyond it too.
    """
    return text if text.isprintable() else _BEYOND_ASCII.sub(_json_escape, text)


def _json_escape(found: re.Match[str]) -> str:
    character = found[0]
    if character.isprintable():
        return character
    return "".join(f"\\u{unit}" for unit in character.encode("utf-16-be").hex(" ", 2).split())
