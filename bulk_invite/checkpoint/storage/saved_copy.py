"""Save the data of a checkpoint that is still open although its file is no longer in its place."""

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

from bulk_invite.checkpoint.storage.file_location import KEY, Location, generation_of
from bulk_invite.checkpoint.storage.last_transaction import LastTransactionFile, beside
from bulk_invite.checkpoint.tables.values import Generation
from bulk_invite.domain.errors import CheckpointError

_FROM: Final = "saved_from"
"""Key in the table `about` of a copy: the original's value of `KEY`."""


def saved_of(path: Path) -> list[Path]:
    """Copies that runs have saved of a lost file: beside it, and in the current directory."""
    here = [each for each in _copies(path.name, Path()) if _came_from(each) == path]
    return [*(each.absolute() for each in here), *_copies(path.name, path.parent)]


def require_newest(path: Path, name: str) -> None:
    """Raise CheckpointError if the same checkpoint has been continued, or may be, as another file.

    Either a run that lost this file has saved a copy with at least as much data; or this is such a copy, and
    its original is back and has been continued. Neither knows the other's calls.
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
            f"The checkpoint {name} exists twice: {other} contains as many calls, or more. Continuing with "
            "both would send rows twice.",
            hint=(
                f"Continue with --checkpoint {shlex.quote(str(other))}. If this file is a copy of it, move "
                "it away."
            ),
        )


def _is_behind(other: Path | None, ours: tuple[str, int], *, equal: bool) -> bool:
    """Whether a file has fewer transactions than ours, or is another checkpoint.

    equal: also if it has as many.
    """
    theirs = None if other is None else generation_of(other)
    return theirs is None or theirs[0] != ours[0] or theirs[1] < ours[1] + equal


def save(held: sqlite3.Connection, name: str, folders: Iterable[Path]) -> Path | None:
    """Copy a database into the first directory that accepts it; None if none does."""
    for folder in folders:
        try:
            return _saved(held, folder / f"{name}.saved")
        except (OSError, sqlite3.Error):
            continue
    return None


def copy(held: sqlite3.Connection, path: Path) -> None:
    """Copy a database; the copy has no recorded location yet."""
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
    # The copy can also be used alone: rows are looked up first then.
    with suppress(CheckpointError):
        _keep_beside(path)
    return path


def _require_sound(path: Path) -> None:
    """Raise sqlite3.DatabaseError for a copy of a file that another program damaged."""
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
    """The location of the original; None if unknown."""
    try:
        with closing(sqlite3.connect(f"{copy.absolute().as_uri()}?mode=ro", uri=True)) as saved:
            (written,) = saved.execute("SELECT value FROM about WHERE key = ?", (_FROM,)).fetchone()
        return Location.read(written).path
    except (OSError, sqlite3.Error, TypeError, ValueError):
        return None


def _keep_beside(path: Path) -> None:
    """Record that the copy is as new as the last call: see `last_transaction`."""
    with closing(sqlite3.connect(path)) as saved:
        kept = saved.execute("SELECT checkpoint, number, calls, at FROM generation").fetchone()
    if kept is not None:
        with closing(LastTransactionFile(beside(path))) as last_transaction:
            last_transaction.keep(Generation(*kept))


def _made(wanted: Path) -> Path:
    """Create an empty file with that name, or with the next free one."""
    for number in count(1):
        path = wanted if number == 1 else wanted.with_name(f"{wanted.name}-{number}")
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            continue
        return path
    raise AssertionError
