"""What a run still has open, saved to a new file where the old one has gone from its place."""

from __future__ import annotations

import os
import re
import shlex
import sqlite3
from collections.abc import Iterable
from contextlib import closing, suppress
from itertools import count
from pathlib import Path
from typing import Final

from bulk_invite.checkpoint.storage.file_location import KEY, Standing, generation_of
from bulk_invite.checkpoint.storage.last_transaction import FileOrigin, beside
from bulk_invite.checkpoint.tables.generation import Generation
from bulk_invite.domain.errors import CheckpointError

_FROM: Final = "saved_from"
"""In the table `about` of a copy: what `KEY` was."""


def saved_of(path: Path) -> list[Path]:
    """Copies that runs have saved when the file itself had gone: beside it, and where this one is started."""
    here = [each for each in _copies(path.name, Path()) if _came_from(each) == path]
    return [*(each.absolute() for each in here), *_copies(path.name, path.parent)]


def require_newest(path: Path, name: str) -> None:
    """Raise CheckpointError where the same checkpoint has gone on, or may go on, as another file.

    A run that lost this file has saved a copy that knows at least as much; or this is such a copy, and what
    it was made of is there again and has gone on. What either sends the other knows nothing of.
    """
    ours = generation_of(path)
    if ours is None:
        return
    came_from = _came_from(path)
    ahead = [each for each in saved_of(path) if not _is_behind(each, ours, equal=False)]
    if came_from not in {None, path} and not _is_behind(came_from, ours, equal=True):
        ahead.append(came_from)
    for other in ahead:
        raise CheckpointError(
            f"The checkpoint {name} is not the only one of its kind: {other} has sent as much, or more. Who "
            "goes on with both sends twice.",
            hint=f"Go on with --checkpoint {shlex.quote(str(other))}. Where this one is a copy of it by now, "
            "move that away.",
        )


def _is_behind(other: Path | None, ours: tuple[str, int], *, equal: bool) -> bool:
    """Whether a file has seen less than ours has, or is of another checkpoint. equal: as much will do."""
    theirs = None if other is None else generation_of(other)
    return theirs is None or theirs[0] != ours[0] or theirs[1] < ours[1] + equal


def save(held: sqlite3.Connection, name: str, folders: Iterable[Path]) -> Path | None:
    """Copy a database into the first of the folders that takes it; None where none does."""
    for folder in folders:
        try:
            return _saved(held, folder / f"{name}.saved")
        except (OSError, sqlite3.Error):
            continue
    return None


def copy(held: sqlite3.Connection, path: Path) -> None:
    """Copy a database; the copy has not been anywhere yet."""
    with closing(sqlite3.connect(path)) as target:
        held.backup(target)
        target.execute("UPDATE OR REPLACE about SET key = ? WHERE key = ?", (_FROM, KEY))
        target.commit()


def _saved(held: sqlite3.Connection, wanted: Path) -> Path:
    path = _made(wanted)
    try:
        copy(held, path)
        _require_sound(path)
    except sqlite3.Error:
        path.unlink()
        raise
    # By the copy alone one can go on, too: rows are looked up first.
    with suppress(CheckpointError):
        _keep_beside(path)
    return path


def _require_sound(path: Path) -> None:
    """Raise sqlite3.DatabaseError for a copy of a file that others have spoilt."""
    with closing(sqlite3.connect(path)) as saved:
        (health,) = saved.execute("PRAGMA quick_check(1)").fetchone()
    if health != "ok":
        raise sqlite3.DatabaseError("damaged")


def _copies(name: str, folder: Path) -> list[Path]:
    pattern = re.compile(re.escape(name) + r"\.saved(-\d+)?")
    try:
        return sorted(each for each in folder.iterdir() if pattern.fullmatch(each.name))
    except OSError:
        return []


def _came_from(copy: Path) -> Path | None:
    """Where the checkpoint stood that it is a copy of; None where that is not to be seen."""
    try:
        with closing(sqlite3.connect(f"{copy.absolute().as_uri()}?mode=ro", uri=True)) as saved:
            (written,) = saved.execute("SELECT value FROM about WHERE key = ?", (_FROM,)).fetchone()
        return Standing.read(written).path
    except (OSError, sqlite3.Error, TypeError, ValueError):
        return None


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
