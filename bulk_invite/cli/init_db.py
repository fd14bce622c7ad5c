"""`init-db`: creates the table that `--write-back` fills."""

from __future__ import annotations

import sys
from typing import Annotated, Final

import typer

from bulk_invite.cli.options.command_options import with_settings
from bulk_invite.domain.errors import UsageError
from bulk_invite.domain.texts import escaped
from bulk_invite.runs.output import logs
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.settings.options import LOG_SETTINGS
from bulk_invite.runs.wiring.sources import SELECTION_SETTINGS, outcome_table, require_databases

INIT_DB_EXAMPLES: Final = """
Examples:

\b
  bulk-invite init-db postgresql://crm@db.example.com/crm \\
    --table invitations --key id --write-back outcomes

The SQL, for a database administrator:

\b
  bulk-invite init-db postgresql://crm@db.example.com/crm \\
    --table invitations --key id --write-back outcomes --print > outcomes.sql
"""


@with_settings(
    "write_back",
    *SELECTION_SETTINGS,
    "label",
    *LOG_SETTINGS,
    common=("table", "query", "key", "write_back"),
)
def init_db(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="Database URL: postgresql://...")],
    *,
    settings: Settings,
    print_: Annotated[
        bool,
        typer.Option("--print", help="Print the SQL instead of running it, with the grants that send needs."),
    ] = False,
) -> None:
    """Create the table for --write-back in a database.

    The key of the table has the same type as the key of the source. An existing table is checked, and gets
    the column for labels if it lacks one.

    Exit codes: 0 the table exists and can be written to (with --print: printed); 2 usage or configuration
    error; 4 the table cannot be created or written to.
    """
    logs.configure_logs(settings, to_file=False)
    if settings.write_back is None:
        raise UsageError(
            "No table is named.", hint="Name the table to create with --write-back TABLE.", topic="postgresql"
        )
    require_databases([source])
    table = outcome_table(source, settings.write_back, settings)
    if print_:
        sys.stdout.write(table.statements())
        return
    created = table.create()
    table.check()
    verb = "created" if created else "already exists"
    text = f"Table {settings.write_back} {verb}; it is writable."
    if not table.add_label():
        text += " It has no column for labels: its owner can add one with this command."
    sys.stdout.write(escaped(text) + "\n")
