"""`doctor`: runs the checks and sets the exit code."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from bulk_invite.cli.options.command_options import with_settings
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.settings.options import OPTIONS

DOCTOR_EXAMPLES: Final = """
Examples:

\b
  bulk-invite doctor
  bulk-invite doctor invitations.ndjson --catalog AWS --checkpoint live.db
  bulk-invite doctor postgresql://crm@db.example.com/crm \\
    --table invitations --key id --json
"""

_LONGEST: Final = 10.0
"""Maximum seconds for one check, whatever --call-timeout is."""


@with_settings(*OPTIONS)
def doctor(
    context: typer.Context,
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SOURCE...]", help="Sources of the planned run: opened, and their first row validated."
        ),
    ] = None,
    *,
    settings: Settings,
) -> None:
    """Check everything that a run needs before it starts.

    Sends nothing and changes nothing. Use the same options as for the run. Prints one line for each check:
    ok, warning, failed or skipped, what was found, and how to fix it.

    Exit codes: 0 no check failed; 2 usage or configuration error; 4 a run would fail.
    """
    import anyio  # noqa: PLC0415 - only the work needs this and the following

    from bulk_invite.runs.output import logs, standard_output  # noqa: PLC0415

    logs.configure_logs(settings, to_file=False)
    # The SDK takes the better part of a second to import: mistakes do not wait for it.
    from bulk_invite.cli.doctor.all_checks import run_checks  # noqa: PLC0415
    from bulk_invite.cli.doctor.output import is_ok, printer, show_json, silent, summary  # noqa: PLC0415

    deadline = min(settings.call_timeout, _LONGEST)
    config = context.params.get("config")
    report = silent if settings.json_output else printer
    findings = anyio.run(
        run_checks, settings, sources or [], Path(config) if config else None, deadline, report
    )
    if settings.json_output:
        show_json(findings)
    else:
        standard_output.write(f"{summary(findings)}\n")
    raise typer.Exit(0 if is_ok(findings) else 4)
