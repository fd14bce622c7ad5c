"""`init-db`: its options and its help."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from bulk_invite.cli.options.command_options import with_settings
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.settings.options import LOG_SETTINGS, SELECTION_SETTINGS

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
    from bulk_invite.cli.create_table import create_table  # noqa: PLC0415 - only the work needs it

    create_table(source, settings, print_only=print_)
