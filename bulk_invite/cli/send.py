"""`send`: its options and its help."""

from __future__ import annotations

from typing import Final

from bulk_invite.cli.options.command_options import Sources, with_settings
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.settings.options import SEND

SEND_EXAMPLES: Final = """
Examples:

\b
  bulk-invite send invitations.ndjson
  bulk-invite send 'exports/*.ndjson.gz' --rate 5 --results out
  bulk-invite send invitations.ndjson --catalog AWS --limit 20
  crm-export | bulk-invite send - --campaign spring
  bulk-invite send postgresql://crm@db.example.com/crm \\
    --table invitations --key id --write-back outcomes
"""


@with_settings(*SEND)
def send(
    sources: Sources,
    *,
    settings: Settings,
) -> None:
    """Send one invitation for every row of the sources, exactly once.

    If a run is stopped or killed, run the same command again: it continues where it left off. The first
    SIGINT or SIGTERM finishes the calls in flight and stops; the second aborts them.

    Exit codes: 0 every row has its invitation; 1 some rows are rejected, failed, deferred or in doubt;
    2 usage or configuration error; 3 stopped by --max-failures; 4 cannot start or continue; 75 stopped by a
    signal, run the same command to continue; 130 second interrupt.
    """
    from bulk_invite.cli.send_rows import send_rows  # noqa: PLC0415 - only the work needs it

    send_rows(sources, settings)
