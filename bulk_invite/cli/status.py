"""`status` and `export`: their options and their help."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import typer

from bulk_invite.cli.options.command_options import with_settings
from bulk_invite.domain.verdicts import State
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.settings.options import CHECKPOINT_SETTINGS

STATUS_EXAMPLES: Final = """
Examples:

\b
  bulk-invite status
  bulk-invite status --checkpoint spring.db --json
  bulk-invite status --watch --every 5s
"""

EXPORT_EXAMPLES: Final = """
Examples:

\b
  bulk-invite export --state failed
  bulk-invite export --state in_doubt --state deferred \\
    --format csv > open.csv
"""


@with_settings(*CHECKPOINT_SETTINGS, "json_output")
def status(
    *,
    watch: Annotated[
        bool, typer.Option("--watch", help="Refresh until Ctrl-C; with --json, print one line each time.")
    ] = False,
    every: Annotated[
        str, typer.Option("--every", metavar="DURATION", help="Refresh interval of --watch.")
    ] = "2s",
    settings: Settings,
) -> None:
    """Show the counts of a checkpoint, also during a run.

    The counts cover the whole checkpoint. The command also shows what is known about the quotas of the
    account. A run saves its rate, its estimates and the time left every ten seconds, so these may be up to
    ten seconds old; the live page (--listen) has the current values.

    Exit codes: 0 shown; 2 usage or configuration error; 4 the checkpoint is missing or cannot be read.
    """
    from bulk_invite.cli.show_status import show_status  # noqa: PLC0415 - only the work needs it

    show_status(settings, every, watch=watch)


@with_settings(*CHECKPOINT_SETTINGS)
def export(
    *,
    state: Annotated[
        list[State] | None,
        typer.Option(
            "--state", metavar="STATE", help=f"Only rows in this state, repeatable: {', '.join(State)}."
        ),
    ] = None,
    output_format: Annotated[
        Literal["ndjson", "csv"],
        typer.Option("--format", metavar="ndjson|csv", help="Output format; CSV has a header."),
    ] = "ndjson",
    settings: Settings,
) -> None:
    """Write the rows of a checkpoint to standard output.

    The output has states, positions and Ids, but no sensitive field of a row.

    Exit codes: 0 written; 2 usage or configuration error; 4 the checkpoint is missing or cannot be read.
    """
    from bulk_invite.cli.export_rows import export_rows  # noqa: PLC0415 - only the work needs it

    export_rows(settings, state or [], output_format)
