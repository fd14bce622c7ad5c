"""The work of `send`: checks the sources, asks before the live catalog, and starts the run."""

from __future__ import annotations

import time
from collections.abc import Sequence

import structlog
import typer

from bulk_invite.cli.confirmation import confirm
from bulk_invite.delivery.intake.source import Source
from bulk_invite.domain.errors import (
    EXIT_ATTENTION,
    EXIT_STOPPED,
    BulkInviteError,
    SourceError,
    StoppedError,
)
from bulk_invite.runs.output import logs
from bulk_invite.runs.output.dry_run_result import show_dry_run, show_part
from bulk_invite.runs.output.logs import configure_logs
from bulk_invite.runs.output.summary import Summary
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.wiring.open_files import raise_file_limit
from bulk_invite.runs.wiring.pacing import limits_of
from bulk_invite.runs.wiring.sources import open_outcomes, open_sources, require_databases
from bulk_invite.runs.wiring.validator import make_validator
from bulk_invite.validation import RowValidator

_log = structlog.get_logger()


def send_rows(sources: Sequence[str], settings: Settings) -> None:
    """Raises typer.Exit with the exit code, and BulkInviteError."""
    configure_logs(settings)
    if settings.write_back is not None:
        require_databases(sources)
    validator = make_validator(settings)
    resolved = open_sources(sources, settings)
    if settings.dry_run:
        _warn_of_outcomes(sources, resolved, settings)
        raise typer.Exit(settings.exit_code(_dry_run(resolved, validator, settings)))
    limits_of(settings)  # reports impossible limits before asking for confirmation
    raise_file_limit(settings)
    outcomes = open_outcomes(sources, resolved, settings)
    confirmed = confirm(settings, sources, resolved, validator)
    # Importing the SDK takes most of a second: --help and usage errors should not wait for it.
    from bulk_invite.runs.send import Run  # noqa: PLC0415

    raise typer.Exit(settings.exit_code(Run(settings, resolved, validator, outcomes, confirmed).run()))


def _warn_of_outcomes(names: Sequence[str], sources: Sequence[Source], settings: Settings) -> None:
    """Warn if the run could not start because of the table of --write-back. Raises UsageError."""
    try:
        open_outcomes(names, sources, settings)
    except SourceError as error:
        _log.warning("write_back.not_ready", table=settings.write_back, reason=str(error))


def _dry_run(sources: Sequence[Source], validator: RowValidator, settings: Settings) -> int:
    """Show what a run would do; return the exit code. Raises BulkInviteError after what was read so far."""
    # SQLAlchemy takes a tenth of a second to import.
    from bulk_invite.runs.dry_run import DryRun  # noqa: PLC0415
    from bulk_invite.runs.read_ahead import read_ahead  # noqa: PLC0415

    began, reading = time.monotonic(), DryRun(sources, validator, settings)
    error: BulkInviteError | None = None
    try:
        if read_ahead(reading, settings) is not None:
            error = StoppedError("Run the same command again; it starts from the beginning.")
    except BulkInviteError as raised:
        error = raised
    counts, as_json = reading.counts, settings.json_output
    logs.log_counted_rows()
    summary = Summary.of_run(counts, time.monotonic() - began)
    if reading.forecast is not None:
        show_dry_run(summary, reading.forecast, as_json=as_json, now=time.time())
        return EXIT_ATTENTION if summary.rejected or summary.failed else 0
    assert error is not None  # noqa: S101 - for the type checker
    if counts.rows or isinstance(error, StoppedError):
        show_part(summary, reading.total.unread(counts.rows, 0), error, as_json=as_json)
    if isinstance(error, StoppedError):
        return EXIT_STOPPED
    raise error
