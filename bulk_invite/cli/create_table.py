"""The work of `init-db`: creates the table that `--write-back` fills."""

from __future__ import annotations

import sys

from bulk_invite.domain.errors import UsageError
from bulk_invite.domain.texts import escaped
from bulk_invite.runs.output import logs
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.wiring.sources import outcome_table, require_databases


def create_table(source: str, settings: Settings, *, print_only: bool) -> None:
    """Raises UsageError and SourceError."""
    logs.configure_logs(settings, to_file=False)
    if settings.write_back is None:
        raise UsageError(
            "No table is named.", hint="Name the table to create with --write-back TABLE.", topic="postgresql"
        )
    require_databases([source])
    table = outcome_table(source, settings.write_back, settings)
    if print_only:
        sys.stdout.write(table.statements())
        return
    created = table.create()
    table.check()
    verb = "created" if created else "already exists"
    text = f"Table {settings.write_back} {verb}; it is writable."
    if not table.add_label():
        text += " It has no column for labels: its owner can add one with this command."
    sys.stdout.write(escaped(text) + "\n")
