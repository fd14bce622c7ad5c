"""The work of `validate`: checks rows and prints what it finds."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from threading import Event
from types import FrameType

import typer

from bulk_invite.checkpoint.seen_rows import SeenRows
from bulk_invite.cli.row_comparison import RowComparison
from bulk_invite.cli.row_findings import Findings
from bulk_invite.cli.validate import MOST_LISTED
from bulk_invite.delivery.intake.source import Source
from bulk_invite.delivery.tracking.tally import Counts
from bulk_invite.domain.errors import (
    EXIT_ATTENTION,
    EXIT_INTERRUPTED,
    EXIT_STOPPED,
    BulkInviteError,
    StoppedError,
)
from bulk_invite.domain.rows import Rejection, Row, RowError
from bulk_invite.monitoring.figures import rounded
from bulk_invite.runs.output import logs, standard_output
from bulk_invite.runs.output.next_steps import unread_clause
from bulk_invite.runs.output.reading_progress import ReadingProgress
from bulk_invite.runs.output.results_folder import Results
from bulk_invite.runs.output.row_total import RowTotal
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.wiring.earlier_rows import EarlierRows
from bulk_invite.runs.wiring.sources import open_sources
from bulk_invite.runs.wiring.validator import make_validator


def validate_rows(
    sources: Sequence[str], settings: Settings, *, summary: bool | None, is_required: bool
) -> None:
    """Raises typer.Exit with the exit code, and BulkInviteError.

    is_required: the checkpoint of earlier rows has to exist.
    """
    logs.configure(settings.log_format, settings.log_level)
    validator = make_validator(settings)
    resolved = open_sources(sources, settings)
    stopped = _stop_on_signals()
    with ExitStack() as stack:
        seen = results = None
        earlier = EarlierRows(settings, is_required=is_required)
        if settings.on_same_receiver != "send":
            seen = stack.enter_context(SeenRows(settings.campaign))
            stack.enter_context(earlier)
        comparison = RowComparison(validator, seen, earlier)
        report = _Report(resolved, comparison, settings, summary=summary)
        if settings.results is not None:
            results = Results.open(settings.results, only_rejected=True)
            stack.callback(results.abandon)
        try:
            _check(resolved, comparison, report, results, stopped.is_set)
        except BulkInviteError as error:
            report.show(error)
            raise
    if stopped.is_set():
        report.show(StoppedError("Run the same command again; it starts from the beginning."))
        raise typer.Exit(EXIT_STOPPED)
    report.show(None)
    raise typer.Exit(settings.exit_code(EXIT_ATTENTION) if report.findings.rejected else 0)


def _stop_on_signals() -> Event:
    """Have the first signal set the event, and the second one end the command."""
    stopped = Event()

    def handle(_number: int, _frame: FrameType | None) -> None:
        if stopped.is_set():
            raise typer.Exit(EXIT_INTERRUPTED)
        stopped.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handle)
    return stopped


def _check(
    sources: Sequence[Source],
    comparison: RowComparison,
    report: _Report,
    results: Results | None,
    stop: Callable[[], bool],
) -> None:
    """Check the rows up to the end or until `stop`. Raises SourceError and ResultsError."""
    for source in sources:
        for batch in source.batches(stop=stop):
            for row, checked in zip(batch, comparison.check(batch), strict=True):
                report.add(row, checked)
                if results is not None and isinstance(checked, Rejection):
                    results.rejected(row, checked.errors, checked.label)
            report.show_progress()
    if results is not None and not stop():
        results.close()


class _Report:
    """Prints problems while rows are read, unless the result is JSON, and the result at the end."""

    def __init__(
        self,
        sources: Sequence[Source],
        comparison: RowComparison,
        settings: Settings,
        *,
        summary: bool | None,
    ) -> None:
        self.findings = Findings()
        self._comparison = comparison
        self._as_json = settings.json_output
        self._began = time.monotonic()
        self._total = RowTotal(sources)
        self._progress = ReadingProgress(self._total, self._began, wanted=settings.progress != "off")
        self._with_kinds = bool(summary)
        self._room: int | None = None
        """Lines that may still be printed before problems are only counted; None for no limit."""
        if summary or (summary is None and sys.stdout.isatty()):
            self._room = 0 if summary else MOST_LISTED

    def add(self, row: Row, checked: Rejection | tuple[RowError, ...]) -> None:
        """Count a row and print its errors or warnings."""
        lines = self.findings.add(row, checked)
        if lines and not self._as_json:
            self._list(lines)

    def _list(self, lines: list[str]) -> None:
        shown = lines
        if self._room is not None:
            shown = lines[: self._room]
            self._room -= len(shown)
            if len(shown) < len(lines) and not self._with_kinds:
                self._with_kinds = True
                shown.append("From here on, problems are counted by kind (--no-summary lists them all).")
        if shown:
            self._progress.clear()
            sys.stdout.writelines(f"{line}\n" for line in shown)

    def show_progress(self) -> None:
        self._progress.show(Counts(rows=self.findings.rows), time.monotonic())

    def show(self, error: BulkInviteError | None) -> None:
        """Print the result. error: why it is not that of all rows."""
        self._progress.clear()
        counts, elapsed = self.findings.counts(), time.monotonic() - self._began
        not_read = 0 if error is None else self._total.unread(self.findings.rows, 0) or None
        if self._as_json:
            counts |= self._comparison.counts()
            members = {**counts, "not_read": not_read, **rounded({"elapsed_s": elapsed})}
            members |= self._comparison.members() | self.findings.details()
            standard_output.write_object(members, error, complete=error is None)
            return
        lines = self.findings.kind_lines() if self._with_kinds else []
        clauses = [
            f"{counts['rows']:,} rows: {counts['valid']:,} valid",
            f"{counts['rejected']:,} rejected",
            f"{counts['with_warnings']:,} valid with warnings",
            *self._comparison.clauses(),
            f"{elapsed:.1f} s",
        ]
        lines += [", ".join(clauses), *self._comparison.sentences()]
        if error is not None:
            why = "Stopped before the end. " if isinstance(error, StoppedError) else ""
            lines.append(f"{why}This is not the whole: {unread_clause(not_read)}.")
        standard_output.write("\n".join([*lines, ""]))
