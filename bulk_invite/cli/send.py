"""`send`: checks the settings and the sources, asks before the live catalog, and starts the run."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Sequence
from threading import Event
from typing import Final

import typer
from rich.console import Console
from rich.prompt import Confirm

from bulk_invite.cli.options.command_options import Sources, with_settings
from bulk_invite.domain.errors import EXIT_ATTENTION, EXIT_STOPPED, NotConfirmedError
from bulk_invite.domain.urls import origin
from bulk_invite.runs.output import logs
from bulk_invite.runs.output.logs import configure_logs
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.settings.options import SEND
from bulk_invite.runs.wiring.checkpoint import database_of
from bulk_invite.runs.wiring.open_files import raise_file_limit
from bulk_invite.runs.wiring.pacing import limits_of
from bulk_invite.runs.wiring.sources import (
    open_outcomes,
    open_sources,
    require_databases,
    shown,
)
from bulk_invite.runs.wiring.validator import make_validator
from bulk_invite.sources.ndjson import STDIN

EXAMPLES: Final = """
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
    configure_logs(settings)
    if settings.write_back is not None:
        require_databases(sources)
    validator = make_validator(settings)
    resolved = open_sources(sources, settings)
    if settings.dry_run:
        # The dry run must delete its temporary directory. A handler that raises could be swallowed inside
        # a callback.
        stopped = Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stopped.set())
        from bulk_invite.runs.dry_run import dry_run  # noqa: PLC0415
        from bulk_invite.runs.output.summary import show_rehearsal  # noqa: PLC0415

        summary, forecast = dry_run(resolved, validator, settings, stopped.is_set)
        if stopped.is_set():
            raise typer.Exit(EXIT_STOPPED)
        show_rehearsal(summary, forecast, as_json=settings.json_output, now=time.time())
        raise typer.Exit(settings.exit_code(EXIT_ATTENTION if summary.rejected or summary.failed else 0))
    limits_of(settings)  # reports impossible limits before asking for confirmation
    raise_file_limit(settings)
    outcomes = open_outcomes(sources, resolved, settings)
    confirm(settings, sources)
    # Importing the SDK takes most of a second: --help and usage errors should not wait for it.
    from bulk_invite.runs.send import Run  # noqa: PLC0415

    raise typer.Exit(settings.exit_code(Run(settings, resolved, validator, outcomes).run()))


class _Confirmation(Confirm):
    """Understands `yes` and `no` as well as `y` and `n`, in any case."""

    validate_error_message = "[prompt.invalid]Please answer yes or no"

    def process_response(self, value: str) -> bool:
        return super().process_response({"yes": "y", "no": "n"}.get(value.strip().lower(), value))


def confirm(settings: Settings, sources: Sequence[str]) -> None:
    """Ask before sending to the live catalog: an invitation cannot be taken back.

    Raises NotConfirmedError where the answer is no, or where there is no terminal to ask on.
    """
    if settings.catalog != "AWS" or settings.yes:
        return
    if STDIN in sources or not sys.stdin.isatty():
        raise NotConfirmedError(
            "Sending to the live catalog AWS needs confirmation, and there is no terminal to ask on.",
            hint="Add --yes if you are sure: an invitation cannot be taken back.",
            topic="operations",
        )
    named = logs.escaped(", ".join(map(shown, sources)))
    catalog_at = origin(settings.endpoint_url) if settings.endpoint_url else "Partner Central"
    checkpoint = logs.escaped(database_of(settings).name)
    console = Console(stderr=True, highlight=False)
    console.print(
        f"About to send real invitations: sources {named}; catalog AWS at {catalog_at}; "
        f"checkpoint {checkpoint}; campaign {settings.campaign or 'none'}; "
        f"{f'at most {settings.limit} invitations' if settings.limit else 'every row'}.",
        markup=False,
    )
    question = "Send to the live catalog AWS? An invitation cannot be taken back."
    if not _Confirmation.ask(question, default=False, console=console):
        raise NotConfirmedError(
            "Nothing was sent: sending to the live catalog was not confirmed.", topic="operations"
        )
