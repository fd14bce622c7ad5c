"""`report`: its options and its help."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from bulk_invite.cli.options.command_options import with_settings
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.settings.options import CHECKPOINT_SETTINGS

REPORT_EXAMPLES: Final = """
Examples:

\b
  bulk-invite report
  bulk-invite report --html backfill.html
  bulk-invite report --checkpoint spring.db --json
"""


@with_settings(*CHECKPOINT_SETTINGS, "json_output")
def report(
    *,
    html: Annotated[
        str | None,
        typer.Option(
            "--html",
            metavar="FILE",
            help="Write an HTML page that only you can read; - for standard output.",
        ),
    ] = None,
    settings: Settings,
) -> None:
    """Report the outcome of every row and audit the checkpoint.

    The audit checks that each row was sent exactly once. The report can be made during a run, too.

    Exit codes: 0 all audit checks pass (the report says whether rows are still open); 1 an audit check fails;
    2 usage or configuration error; 4 the checkpoint is missing or cannot be read.
    """
    from bulk_invite.cli.report.make_report import make_report  # noqa: PLC0415 - only the work needs it

    make_report(settings, html)
