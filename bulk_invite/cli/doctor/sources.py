"""The sources: whether they exist and whether their first row is valid; nothing more is read."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from contextlib import closing

from bulk_invite.cli.doctor.check import Found, ok, warning
from bulk_invite.cli.doctor.filesystem import size_text
from bulk_invite.delivery.intake.source import Source
from bulk_invite.domain.rows import Rejection, Row
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.settings.value_types import is_database, may_be_address
from bulk_invite.runs.wiring.sources import (
    examine_database,
    open_sources,
    outcome_table,
    require_databases,
)
from bulk_invite.runs.wiring.validator import make_validator
from bulk_invite.sources.directory import FollowedDirectory
from bulk_invite.sources.file_errors import printable
from bulk_invite.sources.ndjson import STDIN


def shown_name(source: str) -> str:
    """A source as it may be shown: a URL, even a mistyped one, may contain a password."""
    return "a database" if is_database(source) or may_be_address(source) else printable(source)


def check_source(name: str, settings: Settings, seconds: float) -> Found:
    """seconds: time limit of each database statement."""
    if is_database(name):
        return _look_at_database(name, settings, seconds)
    if name == STDIN:
        return ok("Standard input; nothing was read")
    kind = _kind(name)
    if stat.S_ISFIFO(kind):
        open_sources([name], settings)
        return ok("A readable FIFO; not opened, because that would consume rows")
    if stat.S_ISDIR(kind):
        FollowedDirectory(name)
        return ok("A directory, for serve; its files were not read")
    return _look_at_files(open_sources([name], settings), settings)


def check_write_back(names: Sequence[str], table: str, settings: Settings) -> Found:
    """Whether outcomes can be written back."""
    require_databases(names)
    for name in names:
        outcome_table(name, table, settings).check()
    return ok(f"Table {table} exists and is writable")


def _kind(name: str) -> int:
    try:
        return os.stat(name).st_mode  # noqa: PTH116 - names that are not UTF-8 stay as they are
    except (OSError, ValueError):
        return 0  # a glob, or an error that the source itself reports


def _look_at_files(sources: Sequence[Source], settings: Settings) -> Found:
    size = size_text(sum(source.size or 0 for source in sources))
    text = f"{len(sources)} files, {size}" if len(sources) > 1 else size
    with closing(sources[0].batches(max_rows=1)) as batches:
        first = next(batches, None)
    return _with_first(text, first[0] if first else None, settings)


def _look_at_database(name: str, settings: Settings, seconds: float) -> Found:
    examined = examine_database(name, settings, seconds)
    found = _with_first(f"{examined.name}, {examined.server}", examined.first, settings)
    if examined.unique:
        return found
    text = f"{found.found}; checking that the key is unique takes longer than {seconds:g} s"
    return warning(text, "Create a unique index on the key, and make its column NOT NULL.")


def _with_first(text: str, row: Row | None, settings: Settings) -> Found:
    if row is None:
        return warning(f"{text}, no rows", "Check that this is the right source.")
    checked = make_validator(settings).check(row)
    if isinstance(checked, Rejection):
        codes = ", ".join(dict.fromkeys(error.code for error in checked.errors))
        return warning(
            f"{text}; the first row, {row.position}, is not valid ({codes})",
            "Run bulk-invite validate to see what is wrong.",
        )
    return ok(f"{text}; the first row, {row.position}, is valid")
