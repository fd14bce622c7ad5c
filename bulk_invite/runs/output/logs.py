"""Logging setup: events on standard error, as console text or JSON lines.

Events never contain sensitive members, so nothing is filtered here: they carry positions, tokens, codes and
paths. Values that come from a row (a client token, a file name) are escaped.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final, Literal, TextIO, cast

import structlog
from structlog.typing import EventDict, Processor

from bulk_invite.domain.errors import UsageError
from bulk_invite.domain.texts import escaped
from bulk_invite.domain.urls import origins_only
from bulk_invite.runs.output.log_file import LogFile
from bulk_invite.runs.output.row_lines import RowLines, terminal_filters
from bulk_invite.runs.settings.model import Settings

_SDK: Final = ("aiobotocore", "botocore")
_open: list[LogFile] = []
_rows: list[RowLines] = []


def configure_logs(settings: Settings, *, to_file: bool = True) -> None:
    """Set up logging, or reconfigure it. Raises ControlError and UsageError.

    to_file: write the log file, too, if there is one.
    """
    if settings.quiet and settings.verbose:
        raise UsageError(
            "--quiet and --verbose contradict each other.",
            hint="Use one of them; --no-quiet and --no-verbose switch off what the environment or the "
            "configuration file sets.",
            topic="options",
        )
    file = None
    if to_file and settings.log_file is not None:
        file = LogFile(settings.log_file, settings.log_file_size, settings.log_files)
    filters = terminal_filters(settings, is_console=_is_console(settings.log_format))
    _rows[:] = [each for each in filters if isinstance(each, RowLines)]
    configure(settings.log_format, settings.log_level, file, filters)
    for each in _open:
        each.close()
    _open[:] = [] if file is None else [file]


def log_counted_rows(*, result_has_codes: bool = False) -> None:
    """At the end of a run: log the rows that a terminal did not get in full, by code.

    result_has_codes: the result of this command has them, too.
    """
    for each in _rows:
        each.log_counts(result_has_codes=result_has_codes)


@contextmanager
def without_rows() -> Iterator[None]:
    """Drop events about rows within the block: rows that are read twice are logged once."""
    processors = structlog.get_config()["processors"]
    structlog.configure(processors=[_without_rows, *processors])
    try:
        yield
    finally:
        structlog.configure(processors=processors)


def _without_rows(_logger: object, _method: str, event: EventDict) -> EventDict:
    if str(event["event"]).startswith("row."):
        raise structlog.DropEvent
    return event


def _is_console(log_format: Literal["auto", "console", "json"]) -> bool:
    return log_format == "console" or (log_format == "auto" and sys.stderr.isatty())


def configure(
    log_format: Literal["auto", "console", "json"],
    level: str,
    file: LogFile | None = None,
    filters: Sequence[Processor] = (),
) -> None:
    """Write events of `level` and above to standard error and to `file`.

    filters: processors of what goes to standard error only.
    """
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=24, sort_keys=False)
        if _is_console(log_format)
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _escape_control_characters,
            *([] if file is None else [file]),
            *filters,
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
    """Turns warnings of the SDK, such as a failed renewal of credentials, into events without tracebacks."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger().warning("sdk.warning", reason=origins_only(record.getMessage()))


class _OtherWarnings(logging.Handler):
    """Turns warnings of other libraries into events, without their arguments: those may be values of a row.

    By default, Python would write them to standard error with tracebacks.
    """

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        kind = {} if error is None else {"kind": type(error).__name__}
        reason = str(record.msg).partition("\n")[0]
        structlog.get_logger().warning("library.warning", library=record.name, reason=reason, **kind)


class _StandardError:
    """The current `sys.stderr`: a progress bar replaces it while it is shown."""

    def write(self, text: str, /) -> int:
        # A closed pipe or a full disk is no reason to stop sending.
        with suppress(OSError):
            return sys.stderr.write(text)
        return 0

    def flush(self) -> None:
        with suppress(OSError):
            sys.stderr.flush()


def _escape_control_characters(_logger: object, _method: str, event: EventDict) -> EventDict:
    return {name: escaped(value) if isinstance(value, str) else value for name, value in event.items()}
