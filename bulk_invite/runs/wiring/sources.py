"""The sources that an operator names: files, globs, standard input and databases; some can be followed."""

from __future__ import annotations

import glob
import os
import random
import stat
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bulk_invite.delivery.intake.source import FollowedSource, Source
from bulk_invite.delivery.write_back import Target
from bulk_invite.domain.backoff import UNREACHABLE
from bulk_invite.domain.errors import UsageError
from bulk_invite.domain.member_path import is_path
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.settings.value_types import is_database, may_be_address
from bulk_invite.sources.directory import FollowedDirectory
from bulk_invite.sources.file import resolve
from bulk_invite.sources.file_errors import printable
from bulk_invite.sources.ndjson import STDIN, NdjsonSource
from bulk_invite.sources.pipe import Pipe

if TYPE_CHECKING:
    from bulk_invite.sources.postgres.checks import Examined
    from bulk_invite.sources.postgres.outcomes_table import OutcomeTable
    from bulk_invite.sources.postgres.selection import Selection
    from bulk_invite.sources.postgres.source import PostgresSource


def shown(name: str) -> str:
    """The name of a source as it is shown: the URL of a database may hold a password."""
    return "a database" if is_database(name) else name


def open_sources(names: Sequence[str], settings: Settings) -> list[Source]:
    """Find and check the sources, in the order of their names.

    Raises UsageError for what cannot be meant, SourceError for what cannot be read.
    """
    _check(names, settings)
    sources: list[Source] = []
    for name in names:
        sources += [_database(name, settings)] if is_database(name) else resolve([name])
    return sources


def open_followed(names: Sequence[str], settings: Settings, pipes: dict[str, Pipe]) -> list[FollowedSource]:
    """Find and check sources that can be followed, in the order of their names.

    pipes: those that are open already, by name; more are added.
    Raises UsageError for what cannot be meant, SourceError for what cannot be read, `retryable` if it
    may be there later.
    """
    _check(names, settings)
    # Before any connection is made: retrying does not help a source that cannot be followed.
    for name in names:
        if not is_database(name) and not _can_be_followed(name):
            raise UsageError(
                f"{printable(name)} cannot be followed: it is a regular file.",
                hint="Use send for files; serve follows directories, FIFOs, standard input and databases.",
                topic="serve",
            )
    return [_followed(name, settings, pipes) for name in names]


def _followed(name: str, settings: Settings, pipes: dict[str, Pipe]) -> FollowedSource:
    if is_database(name):
        return _database(name, settings)
    if name != STDIN and not _is_fifo(name):
        return FollowedDirectory(name, poll=settings.poll_interval)
    if name not in pipes:
        pipes[name] = Pipe(NdjsonSource(name))
    pipes[name].poll = settings.poll_interval
    return pipes[name]


def _can_be_followed(name: str) -> bool:
    if name == STDIN or os.path.isdir(name) or _is_fifo(name):  # noqa: PTH112 - names stay as they are
        return True
    # A path that does not exist may be a directory that is not mounted yet.
    return not os.path.lexists(name) and not glob.has_magic(name)


def _is_fifo(name: str) -> bool:
    try:
        return stat.S_ISFIFO(os.stat(name).st_mode)  # noqa: PTH116 - likewise
    except (OSError, ValueError):
        return False


def _check(names: Sequence[str], settings: Settings) -> None:
    for name in names:
        if may_be_address(name) and not os.path.lexists(name):
            raise UsageError(
                "A source is neither a file nor a PostgreSQL URL (not shown: it may contain a password).",
                hint="Write postgresql://USER@HOST/DATABASE; put the password into PGPASSWORD or ~/.pgpass.",
                topic="postgresql",
            )
    if settings.key and is_path(settings.key) and not settings.tokens_from_keys:
        raise UsageError(
            f"--key {settings.key} has no effect without --token-from key.",
            hint="Add --token-from key, so that an edited row stays the same invitation, or remove --key.",
            topic="rows",
        )
    if sum(name == STDIN for name in names) > 1:
        raise UsageError(
            "Standard input (-) is given twice.", hint="Give it once: it can be read only once.", topic="rows"
        )


def open_outcomes(
    names: Sequence[str], sources: Sequence[Source | FollowedSource], settings: Settings
) -> list[Target]:
    """The tables that receive the outcomes of the rows, one for each source.

    Raises UsageError for what cannot be meant, SourceError for what cannot be written to.
    """
    table = settings.write_back
    if table is None:
        return []
    # A database is one source, where the name of a file may stand for several.
    require_databases(names)
    pairs = dict.fromkeys((source.name, url) for url, source in zip(names, sources, strict=True))
    tables = {name: outcome_table(url, table, settings) for name, url in pairs}
    for each in tables.values():
        each.check()
    return [Target(name, each) for name, each in tables.items()]


def require_databases(names: Sequence[str]) -> None:
    """Raise UsageError unless every source is a database."""
    if not all(map(is_database, names)):
        raise UsageError(
            "--write-back needs database sources.",
            hint="Remove --write-back; for files, use --results and bulk-invite export.",
            topic="results",
        )


def outcome_table(url: str, table: str, settings: Settings) -> OutcomeTable:
    # As below.
    from bulk_invite.sources.postgres.outcomes_table import OutcomeTable  # noqa: PLC0415

    return OutcomeTable(url, table, _selection(settings), settings.campaign, UNREACHABLE, random.random)


def examine_database(url: str, settings: Settings, seconds: float) -> Examined:
    """See `sources.postgres.checks.examine`."""
    # As below.
    from bulk_invite.sources.postgres.checks import examine  # noqa: PLC0415

    return examine(url, _selection(settings), seconds)


def _database(url: str, settings: Settings) -> PostgresSource:
    # psycopg takes a while to import, and most sources are files.
    from bulk_invite.sources.postgres.source import PostgresSource  # noqa: PLC0415

    return PostgresSource(
        url,
        _selection(settings),
        UNREACHABLE,
        random.random,
        poll=settings.poll_interval,
        channel=settings.notify_channel,
    )


def _selection(settings: Settings) -> Selection:
    from bulk_invite.sources.postgres.selection import Selection  # noqa: PLC0415
    from bulk_invite.sources.postgres.session_settings import SessionSettings  # noqa: PLC0415

    return Selection(
        settings.table,
        settings.query,
        settings.key_column,
        settings.request_column,
        settings.columns,
        settings.constants,
        SessionSettings.of(settings.session_settings),
        settings.label_column,
    )
