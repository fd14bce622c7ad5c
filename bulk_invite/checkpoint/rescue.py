"""What a run still has open, saved to a new file where the old one has gone from its place."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from itertools import count
from pathlib import Path

from bulk_invite.checkpoint.generation import Generation
from bulk_invite.checkpoint.origin import FileOrigin, beside
from bulk_invite.checkpoint.standing import KEY
from bulk_invite.errors import CheckpointError


def saved_beside(path: Path) -> list[Path]:
    """Copies that runs have saved when the file itself had gone."""
    pattern = re.compile(re.escape(path.name) + r"\.saved(-\d+)?")
    try:
        return sorted(each for each in path.parent.iterdir() if pattern.fullmatch(each.name))
    except OSError:
        return []


def save(held: sqlite3.Connection, name: str, folders: Iterable[Path]) -> Path | None:
    """Copy a database into the first of the folders that takes it; None where none does."""
    for folder in folders:
        try:
            return _saved(held, folder / f"{name}.saved")
        except (OSError, sqlite3.Error, CheckpointError):
            continue
    return None


def copy(held: sqlite3.Connection, path: Path) -> None:
    """Copy a database; the copy has not been anywhere yet."""
    with closing(sqlite3.connect(path)) as target:
        held.backup(target)
        target.execute("DELETE FROM about WHERE key = ?", (KEY,))
        target.commit()


def _saved(held: sqlite3.Connection, wanted: Path) -> Path:
    path = _made(wanted)
    try:
        copy(held, path)
        _keep_beside(path)
    except (sqlite3.Error, CheckpointError):
        path.unlink()
        raise
    return path


def _keep_beside(path: Path) -> None:
    """What tells that the copy is as new as the last call: see `origin`."""
    with closing(sqlite3.connect(path)) as saved:
        kept = saved.execute("SELECT checkpoint, number, calls, at FROM generation").fetchone()
    if kept is not None:
        with closing(FileOrigin(beside(path))) as origin:
            origin.keep(Generation(*kept))


def _made(wanted: Path) -> Path:
    """An empty file of that name, or of the next one that is free."""
    for number in count(1):
        path = wanted if number == 1 else wanted.with_name(f"{wanted.name}-{number}")
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            continue
        return path
    raise AssertionError
