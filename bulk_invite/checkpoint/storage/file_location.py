"""Where a checkpoint in a file has stood: its log goes by its name, and does not come along by itself.

The name, and what file it meant, stand in the checkpoint since it was last written to. They say nothing
against a copy or a move to wherever; but where that name still has a log with something in it, and not the
one that is beside the file now, then commits are missing here, and what they tell of would be sent again.
"""

from __future__ import annotations

import filecmp
import json
import os
import shlex
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, delete, insert, select

from bulk_invite.checkpoint.storage.file_identity import Inode, has_content, inode_of, log_of
from bulk_invite.checkpoint.storage.last_transaction import beside
from bulk_invite.checkpoint.tables.schema import about
from bulk_invite.domain.errors import CheckpointError

KEY: Final = "file"
"""In the table `about`."""


@dataclass(frozen=True, slots=True)
class Standing:
    path: Path
    inode: Inode

    @classmethod
    def of(cls, path: Path) -> Standing:
        """Raises OSError."""
        found = path.stat()
        return cls(path, (found.st_dev, found.st_ino))

    @classmethod
    def read(cls, written: str) -> Standing:
        """Raises ValueError."""
        match json.loads(written):
            case [str(name), int(device), int(number)]:
                return cls(Path(os.fsdecode(name.encode("latin-1"))), (device, number))
            case _:
                raise ValueError(KEY)

    def written(self) -> str:
        # A name is bytes, and may be no text at all.
        return json.dumps([os.fsencode(self.path).decode("latin-1"), *self.inode])

    def is_at(self, path: Path) -> bool:
        """Whether that name means the same file, by its number: a restart may count the devices anew."""
        found = inode_of(path)
        return found is not None and found[1] == self.inode[1]


def require_log_here(known: Standing | None, path: Path, name: str, *, only_same: bool = False) -> None:
    """Raise CheckpointError where the log of the file at `path` is left beside another name of it.

    only_same: not for what is a file of its own, such as a copy, which may be looked at.
    """
    if known is None or known.path == path or (only_same and not known.is_at(path)):
        return
    left, here = log_of(known.path), log_of(path)
    moved = inode_of(known.path) is None
    if not has_content(left) or not (moved or _is_still_at(known, path)) or _is_same(left, here):
        return
    if moved and not has_content(here):
        along = [(left, here), (beside(known.path), beside(path))]
        moves = [f"mv {_quoted(old)} {_quoted(new)}" for old, new in along if has_content(old)]
        hint = f"Move the log along: {' && '.join(moves)}"
    elif moved:
        hint = f"Move it back to {known.path}."
    elif known.is_at(path):
        hint = f"Use it by that name: --checkpoint {_quoted(known.path)}"
    else:
        hint = f"Go on with --checkpoint {_quoted(known.path)}, or copy it once more, with its log."
    raise CheckpointError(
        f"The checkpoint {name} was last used as {known.path}, and the log of that, {left}, is still there: "
        "it has what was sent last, and is missing here.",
        hint=f"{hint} Otherwise that would be sent again.",
    )


def standing_of(connection: Connection) -> Standing | None:
    """None for a copy that this program made. Raises ValueError."""
    found = connection.execute(select(about.c.value).where(about.c.key == KEY)).scalar_one_or_none()
    return None if found is None else Standing.read(found)


def generation_of(path: Path) -> tuple[str, int] | None:
    """Which checkpoint a file is, and how many changes it has seen; None for what cannot be read."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as file:
            checkpoint, number = file.execute("SELECT checkpoint, number FROM generation").fetchone()
    except (sqlite3.Error, TypeError):
        return None
    return str(checkpoint), int(number)


def note_standing(connection: Connection, path: Path) -> bool:
    """Whether it had to be noted: it stood elsewhere before, or nowhere."""
    now = Standing.of(path)
    if standing_of(connection) == now:
        return False
    connection.execute(delete(about).where(about.c.key == KEY))
    connection.execute(insert(about).values(key=KEY, value=now.written()))
    return True


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


def _is_still_at(known: Standing, path: Path) -> bool:
    """Whether the name means the same checkpoint: on another machine its file may have the same number."""
    if not known.is_at(known.path):
        return False
    there, here = generation_of(known.path), generation_of(path)
    return there is None or here is None or there[0] == here[0]


def _is_same(left: Path, here: Path) -> bool:
    try:
        return left.samefile(here) or filecmp.cmp(left, here, shallow=False)
    except OSError:
        return False
