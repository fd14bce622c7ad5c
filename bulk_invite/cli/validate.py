"""`validate`: its options and its help."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from bulk_invite.cli.options.command_options import Sources, with_settings
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.settings.options import CHECKPOINT_SETTINGS, SOURCE_SETTINGS

VALIDATE_EXAMPLES: Final = """
Examples:

\b
  bulk-invite validate invitations.ndjson
  bulk-invite validate 'exports/*.ndjson.zst' --json

Count the problems by kind:

\b
  bulk-invite validate invitations.ndjson --summary

Write the rows to correct to out/rejected.ndjson:

\b
  bulk-invite validate invitations.ndjson --results out

Compare the rows with those that earlier runs have sent:

\b
  bulk-invite validate april.ndjson --checkpoint spring.db
"""

MOST_LISTED: Final = 20
"""Problems that a terminal lists one by one before they are only counted."""

_Summary = Annotated[
    bool | None,
    typer.Option(
        "--summary/--no-summary",
        help="Count the problems by kind, with the first rows of each, instead of listing all. Default: on a "
        f"terminal after {MOST_LISTED} problems.",
    ),
]


@with_settings(
    "catalog",
    "campaign",
    "strict",
    "on_same_receiver",
    *CHECKPOINT_SETTINGS,
    *SOURCE_SETTINGS,
    "results",
    "service_model",
    "json_output",
    "exit_zero_on_rejected",
    "log_format",
    "log_level",
)
def validate(
    context: typer.Context,
    sources: Sources,
    *,
    summary: _Summary = None,
    settings: Settings,
) -> None:
    """Check every row of the sources, and compare them; send nothing.

    Rows that repeat another one, or have its engagement and account, get a warning; --on-same-receiver send
    turns the comparison off. Rows of earlier runs count, if the checkpoint exists. Prints one line for each
    problem, with file, line and JSON path.

    Exit codes: 0 every row is valid; 1 some rows are rejected; 2 usage or configuration error; 4 a source, or
    the checkpoint that the command line names, cannot be read; 75 stopped by a signal; 130 second interrupt.
    """
    from bulk_invite.cli.validate_rows import validate_rows  # noqa: PLC0415 - only the work needs it

    validate_rows(sources, settings, summary=summary, is_required=context.params["checkpoint"] is not None)
