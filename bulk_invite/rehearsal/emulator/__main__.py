"""`python -m bulk_invite.rehearsal.emulator`: the emulator as a separate command."""

from __future__ import annotations

import sys

import typer

from bulk_invite.domain.errors import BulkInviteError
from bulk_invite.rehearsal.emulator.command import EMULATOR_EXAMPLES, emulator

app = typer.Typer(add_completion=False, context_settings={"help_option_names": ["-h", "--help"]})
app.command(epilog=EMULATOR_EXAMPLES)(emulator)

if __name__ == "__main__":
    try:
        app()
    except BulkInviteError as error:
        sys.stderr.write(f"bulk-invite: {error}\n")
        sys.exit(error.exit_code)
