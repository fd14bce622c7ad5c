"""The checkpoint: whether a run could use it, whom it belongs to, and whether a sender is using it now."""

from __future__ import annotations

from pathlib import Path

from bulk_invite.checkpoint.open import database_at
from bulk_invite.checkpoint.reader import CheckpointReader
from bulk_invite.checkpoint.storage.base import Database, require_catalog
from bulk_invite.checkpoint.tables.values import Gap
from bulk_invite.cli.doctor.check import Found, failed, ok, skipped, warning
from bulk_invite.cli.doctor.filesystem import kind_of, problem_of, size_text, total_size
from bulk_invite.domain.records import Owner
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.settings.value_types import is_database
from bulk_invite.runs.wiring.checkpoint import LATEST_FIRST
from bulk_invite.runs.wiring.open_files import raise_file_limit


def check_open_files(settings: Settings) -> Found:
    return ok(f"The process may open the {raise_file_limit(settings):,} files that a run needs")


class CheckpointChecks:
    """The checks of the checkpoint, which share what they learn."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._is_there = False

    @property
    def folder(self) -> Path | None:
        """The directory of the checkpoint file; None for a database."""
        place = self._settings.checkpoint
        return None if is_database(place) else Path(place).absolute().parent

    def look(self) -> Found:
        database = self._database()
        if database.exists() and database.has_sender():
            pass  # its sender proves that it is writable, and `check_writable` would wait for its lock
        else:
            database.check_writable()
        self._is_there = database.exists()
        text = self._description() if self._is_there else f"{database.name} will be created"
        if self._is_there and (risk := self._risk(text)):
            return risk
        if (folder := self.folder) is None:
            return ok(text)
        kind = kind_of(folder)
        if problem := problem_of(kind):
            return warning(
                f"{text}; it is {problem}",
                "Put it on a local disk or a volume, or use a PostgreSQL checkpoint.",
            )
        return ok(f"{text}, on {kind}" if kind else text)

    def owner(self, owner: Owner | None) -> Found:
        """owner: the sender's identity, None where it is unknown."""
        if not self._is_there:
            return ok(
                f"It will be bound to catalog {self._settings.catalog} and to the first account that sends"
            )
        with self._reader() as reader:
            require_catalog(self._database(), reader.catalog, self._settings.catalog)
            bound = reader.owner
        text = f"It belongs to catalog {self._settings.catalog}"
        if bound is None:
            return ok(f"{text}, and to no account yet")
        text = f"{text} and {bound}"
        if owner is None:
            return warning(
                f"{text}; whether these credentials match is unknown", "Fix what the account check found."
            )
        if not bound.is_same_as(owner):
            return failed(
                f"{text}; the credentials belong to {owner}",
                "Use credentials of that account, or another checkpoint (--checkpoint).",
            )
        return ok(text)

    def sender(self) -> Found:
        if not self._is_there:
            return ok("No sender is using it")
        database = self._database()
        match database.has_sender():
            case False:
                return ok("No sender is using it")
            case None:
                return skipped("Whether a sender is using it cannot be seen from this machine")
            case _:
                return warning(
                    f"Held by {database.holder() or 'a sender that ended meanwhile'}",
                    "Let it run, or stop it (SIGTERM). Another sender can wait for it (--wait-for-lock).",
                )

    def _risk(self, text: str) -> Found | None:
        """A warning about a checkpoint that is usable but may lack calls, now or after a failover."""
        with self._reader() as reader:
            older, risk = reader.older(), reader.risk()
        if older is not None:
            return warning(f"{text}; it {_missing(older)}", LATEST_FIRST)
        if risk:
            return warning(
                f"{text}; {risk}",
                "List the standbys in synchronous_standby_names. A sender looks rows up after a failover.",
            )
        return None

    def _description(self) -> str:
        with self._reader() as reader:
            text = f"{reader.name}: version {reader.version}, {reader.describe()}"
        if self.folder is not None:
            path = Path(self._settings.checkpoint)
            text += f", {size_text(total_size([path, path.with_name(f'{path.name}-wal')]))}"
        return text

    def _database(self) -> Database:
        return database_at(self._settings.checkpoint, self._settings.checkpoint_schema)

    def _reader(self) -> CheckpointReader:
        return CheckpointReader(self._settings.checkpoint, self._settings.checkpoint_schema)


def _missing(gap: Gap) -> str:
    if gap.calls is None:
        return f"may be older than the last call: {gap.why}"
    return f"is older than the last call: {gap.why}, and {gap.calls:,} calls are missing"


def check_catalog(catalog: str) -> Found:
    if catalog == "AWS":
        return ok("AWS, the live catalog: every invitation is real")
    return ok(f"{catalog}, for tests; the live catalog is --catalog AWS")
