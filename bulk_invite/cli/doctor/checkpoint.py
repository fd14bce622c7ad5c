"""The checkpoint: whether a run could send by it, whose it is, and who does so now."""

from __future__ import annotations

from pathlib import Path

from bulk_invite.checkpoint.open import database_at
from bulk_invite.checkpoint.reader import CheckpointReader
from bulk_invite.checkpoint.storage.base import Database, require_catalog
from bulk_invite.checkpoint.tables.gaps import Gap
from bulk_invite.cli.doctor.check import Found, failed, ok, skipped, warning
from bulk_invite.cli.doctor.filesystem import doubts_of, kind_of, size_text, total_size
from bulk_invite.domain.records import Owner
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.settings.value_types import is_database
from bulk_invite.runs.wiring.checkpoint import LATEST_FIRST
from bulk_invite.runs.wiring.open_files import make_room


def look_at_files(settings: Settings) -> Found:
    return ok(f"As many as are needed may be open ({make_room(settings):,})")


class Place:
    """The checks of the checkpoint."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._is_there = False

    @property
    def folder(self) -> Path | None:
        """Where the file is or will be; None for a database."""
        place = self._settings.checkpoint
        return None if is_database(place) else Path(place).absolute().parent

    def look(self) -> Found:
        database = self._database()
        if database.exists() and database.has_sender():
            pass  # it shows by itself that it can be written to, and waits for nobody
        else:
            database.try_out()
        self._is_there = database.exists()
        told = self._told() if self._is_there else f"{database.name} will be made"
        if self._is_there and (doubt := self._doubt(told)):
            return doubt
        if (folder := self.folder) is None:
            return ok(told)
        kind = kind_of(folder)
        if doubts := doubts_of(kind):
            return warning(
                f"{told}; it is {doubts}", "Put it on a disk of this machine, a volume, or into a PostgreSQL."
            )
        return ok(f"{told}, on {kind}" if kind else told)

    def owner(self, owner: Owner | None) -> Found:
        """owner: who we are, None where that was not found out."""
        if not self._is_there:
            return ok(
                f"It will belong to catalog {self._settings.catalog} and to the account that sends first"
            )
        with self._reader() as reader:
            require_catalog(self._database(), reader.catalog, self._settings.catalog)
            bound = reader.owner
        told = f"It belongs to catalog {self._settings.catalog}"
        if bound is None:
            return ok(f"{told}, and to no account yet")
        told = f"{told} and {bound}"
        if owner is None:
            return warning(f"{told}; whether that is ours is not known", "See what was found of the account.")
        if not bound.is_same_as(owner):
            return failed(
                f"{told}; the credentials are of {owner}",
                "Use the credentials of that account, or another checkpoint with --checkpoint.",
            )
        return ok(told)

    def sender(self) -> Found:
        if not self._is_there:
            return ok("Nobody sends by it")
        database = self._database()
        match database.has_sender():
            case False:
                return ok("Nobody sends by it at the moment")
            case None:
                return skipped("Who sends by it cannot be known from here")
            case _:
                return warning(
                    f"Held by {database.holder()}",
                    "Leave it at work; another sender needs --wait-for-lock, or that one to end (SIGTERM).",
                )

    def _doubt(self, told: str) -> Found | None:
        """What speaks against it though it can be used."""
        with self._reader() as reader:
            older, risk = reader.older(), reader.risk()
        if older is not None:
            return warning(f"{told}; it {_told_older(older)}", LATEST_FIRST)
        if risk:
            return warning(
                f"{told}; {risk}",
                "Name standbys in synchronous_standby_names; after a failover a sender looks rows up first.",
            )
        return None

    def _told(self) -> str:
        with self._reader() as reader:
            told = f"{reader.name}: version {reader.version}, {reader.describe()}"
        if self.folder is not None:
            path = Path(self._settings.checkpoint)
            told += f", {size_text(total_size([path, path.with_name(f'{path.name}-wal')]))}"
        return told

    def _database(self) -> Database:
        return database_at(self._settings.checkpoint, self._settings.checkpoint_schema)

    def _reader(self) -> CheckpointReader:
        return CheckpointReader(self._settings.checkpoint, self._settings.checkpoint_schema)


def _told_older(gap: Gap) -> str:
    if gap.calls is None:
        return f"may be older than the last call: {gap.why}"
    return f"is older than the last call: {gap.why}, and {gap.calls:,} calls are missing"


def look_at_catalog(catalog: str) -> Found:
    if catalog == "AWS":
        return ok("AWS, the live one: every invitation is real")
    return ok(f"{catalog}, the one to try things out in; --catalog AWS is the live one")
