"""`validate`: check rows."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any, Final

import orjson
import typer

from bulk_invite.cli.options.command_options import Sources, with_settings
from bulk_invite.delivery.intake.source import Source
from bulk_invite.domain.rows import Position, Rejection, Row, RowError
from bulk_invite.monitoring.figures import rounded
from bulk_invite.runs.output import logs
from bulk_invite.runs.output.results_folder import Results
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.wiring.sources import SOURCE_SETTINGS, open_sources
from bulk_invite.runs.wiring.validator import make_validator

VALIDATE_EXAMPLES: Final = """
Examples:

\b
  bulk-invite validate invitations.ndjson
  bulk-invite validate 'exports/*.ndjson.zst' --json

Write the rows to correct to out/rejected.ndjson:

\b
  bulk-invite validate invitations.ndjson --results out
"""

_LISTED: Final = 100
"""Maximum number of rows listed one by one in the JSON object."""


@with_settings(
    "catalog",
    "campaign",
    "strict",
    *SOURCE_SETTINGS,
    "results",
    "service_model",
    "json_output",
    "log_format",
    "log_level",
    common=("strict",),
)
def validate(
    sources: Sources,
    *,
    settings: Settings,
) -> None:
    """Check every row of the sources; send nothing.

    Prints one line for each problem, with file, line and JSON path.

    Exit codes: 0 every row is valid; 1 some rows are rejected; 2 usage or configuration error; 4 a source
    cannot be read.
    """
    logs.configure(settings.log_format, settings.log_level)
    resolved = open_sources(sources, settings)
    validator = make_validator(settings)
    findings = _Findings(quiet=settings.json_output)
    with ExitStack() as stack:
        results = None
        if settings.results is not None:
            results = Results.open(settings.results, only_rejected=True)
            stack.callback(results.abandon)
        stack.callback(findings.show)
        for row in _rows(resolved):
            checked = validator.check(row)
            findings.add(row, checked)
            if results is not None and isinstance(checked, Rejection):
                results.rejected(row, checked.errors)
        if results is not None:
            results.close()
    raise typer.Exit(1 if findings.rejected else 0)


def _rows(sources: Sequence[Source]) -> Iterator[Row]:
    for source in sources:
        for batch in source.batches():
            yield from batch


class _Findings:
    """Counts rows and prints what is wrong with them as they come, unless `quiet`."""

    def __init__(self, *, quiet: bool) -> None:
        self.rows = 0
        self.rejected = 0
        self._warned = 0
        self._quiet = quiet
        self._codes: Counter[str] = Counter()
        self._listed: list[dict[str, Any]] = []
        self._began = time.monotonic()

    def add(self, row: Row, checked: Rejection | tuple[RowError, ...]) -> None:
        """Count a row and print its errors or warnings."""
        self.rows += 1
        if isinstance(checked, Rejection):
            self.rejected += 1
            self._codes.update(error.code for error in checked.errors)
            self._print_or_list(row.position, checked.errors, rejected=True)
        elif checked:
            self._warned += 1
            self._print_or_list(row.position, checked, rejected=False)

    def show(self) -> None:
        elapsed = time.monotonic() - self._began
        counts = rounded(
            {
                "rows": self.rows,
                "valid": self.rows - self.rejected,
                "rejected": self.rejected,
                "with_warnings": self._warned,
                "elapsed_s": elapsed,
            }
        )
        if self._quiet:
            _print_json({**counts, "codes": dict(self._codes.most_common()), "first": self._listed})
            return
        sys.stdout.write(
            f"{self.rows:,} rows: {counts['valid']:,} valid, {self.rejected:,} rejected, "
            f"{self._warned:,} valid with warnings, {elapsed:.1f} s\n"
        )
        sys.stdout.flush()

    def _print_or_list(self, position: Position, errors: tuple[RowError, ...], *, rejected: bool) -> None:
        if not self._quiet:
            word = "" if rejected else "warning: "
            for error in errors:
                line = f"{position}: {word}{error.code} at {error.path}: {error.message}"
                sys.stdout.write(logs.escaped(line) + "\n")
        elif len(self._listed) < _LISTED:
            self._listed.append(
                {
                    "position": position.members(),
                    "rejected": rejected,
                    "errors": [
                        {"path": error.path, "code": error.code, "message": error.message} for error in errors
                    ],
                }
            )


def _print_json(value: object, option: int = 0) -> None:
    sys.stdout.write(logs.escaped_json(orjson.dumps(value, option=option).decode()) + "\n")
