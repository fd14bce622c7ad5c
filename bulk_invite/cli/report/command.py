"""`report`: results and audit of a whole checkpoint, as HTML, JSON or text."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Final

import typer

from bulk_invite.checkpoint.audit.result import Proof
from bulk_invite.cli.options.command_options import with_settings
from bulk_invite.cli.report import html_file
from bulk_invite.cli.report.as_json import members
from bulk_invite.cli.report.as_text import summary
from bulk_invite.cli.report.page import page
from bulk_invite.cli.report.wording import verdict
from bulk_invite.domain.errors import UsageError
from bulk_invite.domain.texts import escaped
from bulk_invite.runs.output import standard_output
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.wiring.checkpoint import CHECKPOINT_SETTINGS, open_reader

REPORT_EXAMPLES: Final = """
Examples:

\b
  bulk-invite report
  bulk-invite report --html backfill.html
  bulk-invite report --checkpoint spring.db --json
"""

_STANDARD_OUTPUT: Final = "-"


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
    if html == _STANDARD_OUTPUT and settings.json_output:
        raise UsageError(
            "--json and --html - both write to standard output.",
            hint="Use one of them, or --html FILE.",
            topic="results",
        )
    path = Path(html) if html not in {None, _STANDARD_OUTPUT} and html is not None else None
    if path is not None:
        html_file.check(path)
    with open_reader(settings) as checkpoint:
        proof = checkpoint.proof(time.time())
    if path is not None:
        html_file.write(path, page(proof))
    if settings.json_output:
        standard_output.write_object(members(proof), complete=not (proof.rows_open or proof.active))
    else:
        standard_output.write(_rendered(proof, html))
    if not proof.adds_up:
        raise typer.Exit(1)


def _rendered(proof: Proof, html: str | None) -> str:
    match html:
        case None:
            return summary(proof)
        case "-":
            return page(proof)
        case _:
            return f"{escaped(html)}: {verdict(proof)}\n"
