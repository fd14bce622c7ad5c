"""The sources: whether they are there, and whether their first row is valid. No more is read of them."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from contextlib import closing

from bulk_invite.cli.doctor.check import Found, ok, warning
from bulk_invite.cli.doctor.filesystem import size_text
from bulk_invite.domain.rows import Rejection, Row
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.settings.value_types import is_database, may_be_address
from bulk_invite.runs.wiring.sources import (
    Source,
    examine_database,
    open_sources,
    outcome_table,
    require_databases,
)
from bulk_invite.runs.wiring.validator import make_validator
from bulk_invite.sources.directory import FollowedDirectory
from bulk_invite.sources.file_errors import printable
from bulk_invite.sources.ndjson import STDIN


def told_name(source: str) -> str:
    """A source as it may be told, also where it is a mistyped address with a password in it."""
    return "a database" if is_database(source) or may_be_address(source) else printable(source)


def look_at_source(name: str, settings: Settings, seconds: float) -> Found:
    """seconds: for each statement of a database."""
    if is_database(name):
        return _look_at_database(name, settings, seconds)
    if name == STDIN:
        return ok("Standard input; nothing was read of it")
    kind = _kind(name)
    if stat.S_ISFIFO(kind):
        open_sources([name], settings)
        return ok("A FIFO that may be read; it was not opened, for that would take rows from it")
    if stat.S_ISDIR(kind):
        FollowedDirectory(name)
        return ok("A directory, for serve; its files were not looked at")
    return _look_at_files(open_sources([name], settings), settings)


def look_at_outcomes(names: Sequence[str], table: str, settings: Settings) -> Found:
    """Whether what becomes of the rows can be written back."""
    require_databases(names)
    for name in names:
        outcome_table(name, table, settings).check()
    return ok(f"Table {table} is there and can be written to")


def _kind(name: str) -> int:
    try:
        return os.stat(name).st_mode  # noqa: PTH116 - names that are not UTF-8 stay as they are
    except (OSError, ValueError):
        return 0  # a glob, or what the source itself says is wrong


def _look_at_files(sources: Sequence[Source], settings: Settings) -> Found:
    size = size_text(sum(source.size or 0 for source in sources))
    told = f"{len(sources)} files, {size}" if len(sources) > 1 else size
    with closing(sources[0].batches(max_rows=1)) as batches:
        first = next(batches, None)
    return _with_first(told, first[0] if first else None, settings)


def _look_at_database(name: str, settings: Settings, seconds: float) -> Found:
    seen = examine_database(name, settings, seconds)
    found = _with_first(f"{seen.name}, {seen.server}", seen.first, settings)
    if seen.unique:
        return found
    told = f"{found.found}; whether the key is unique takes longer to see than {seconds:g} s"
    return warning(told, "Make a unique index on it, on a column that is NOT NULL.")


def _with_first(told: str, row: Row | None, settings: Settings) -> Found:
    if row is None:
        return warning(f"{told}, no row in it", "Look whether it is the right one.")
    checked = make_validator(settings).check(row)
    if isinstance(checked, Rejection):
        codes = ", ".join(dict.fromkeys(error.code for error in checked.errors))
        return warning(
            f"{told}; the first row, {row.position}, is not valid ({codes})",
            "bulk-invite validate says what is wrong.",
        )
    return ok(f"{told}; the first row, {row.position}, is valid")
