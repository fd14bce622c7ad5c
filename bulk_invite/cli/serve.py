"""`serve`: its options and its help."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final

import typer

from bulk_invite.cli.options.command_options import with_settings
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.settings.options import SEND_ONLY, SERVE

SERVE_EXAMPLES: Final = """
Examples:

\b
  bulk-invite serve postgresql://crm@db.example.com/crm \\
    --table invitations --key id
  bulk-invite serve /incoming --checkpoint /state/bulk-invite.db \\
    --listen 0.0.0.0:8081
  bulk-invite serve postgresql://crm@db.example.com/crm \\
    --table invitations --key id --write-back outcomes \\
    --checkpoint postgresql://crm@db.example.com/crm --wait-for-lock
"""


@with_settings(*SERVE, refused=SEND_ONLY)
def serve(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="Source to follow: postgresql://..., a directory of NDJSON files, a FIFO, or -.",
        ),
    ],
    *,
    settings: Settings,
    reload: Callable[[], Settings],
) -> None:
    """Send new rows as they arrive, until stopped.

    The run survives transient failures: it waits while credentials have expired, a database or an endpoint
    is down, or a quota is used up. The first SIGINT or SIGTERM finishes the calls in flight and stops; the
    second aborts them. SIGHUP reloads the configuration file.

    Exit codes: 0 stopped, or standard input ended, with no row pending or in doubt; 75 stopped with rows
    pending or in doubt, run the same command to continue; 2 usage or configuration error; 4 cannot start or
    continue; 130 second interrupt.
    """
    from bulk_invite.cli.serve_rows import serve_rows  # noqa: PLC0415 - only the work needs it

    serve_rows(sources, settings, reload)
