"""`reconcile`: its options and its help."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from bulk_invite.cli.options.command_options import with_settings
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.settings.options import CHECKPOINT_SETTINGS, LOG_SETTINGS, SOURCE_SETTINGS

RECONCILE_EXAMPLES: Final = """
Examples:

\b
  bulk-invite reconcile
  bulk-invite reconcile moved/invitations.ndjson \\
    --checkpoint spring.db --catalog AWS
"""


@with_settings(
    *CHECKPOINT_SETTINGS,
    "wait_for_lock",
    "catalog",
    *SOURCE_SETTINGS,
    "endpoint_url",
    "region",
    "profile",
    "settling_time",
    "call_timeout",
    "service_model",
    "json_output",
    "exit_zero_on_rejected",
    *LOG_SETTINGS,
)
def reconcile(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SOURCE...]",
            help="Where the rows are now. Default: the sources they were read from, if still available.",
        ),
    ] = None,
    *,
    settings: Settings,
) -> None:
    """Look up the rows in doubt in the service; send nothing.

    A row that is found becomes created. A row that has not arrived becomes pending, and the next send sends
    it; if the service refused a later attempt, it becomes failed or deferred instead.

    Exit codes: 0 no row is in doubt; 1 some rows are still in doubt; 2 usage or configuration error;
    4 cannot start or continue; 75 stopped by a signal; 130 second interrupt.
    """
    from bulk_invite.cli.reconcile_rows import reconcile_rows  # noqa: PLC0415 - only the work needs it

    reconcile_rows(sources or [], settings)
