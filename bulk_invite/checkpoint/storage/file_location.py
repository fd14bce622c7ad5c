"""The recorded location of a checkpoint file: its log is found by name and does not move with it.

Since it was last written to, the checkpoint contains its path and the inode of that path. Copies and moves
are allowed; but if that path still has a non-empty log, and not the one beside the file now, then commits are
missing here, and their rows would be sent again.
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

from bulk_invite.checkpoint.storage.file_identity import Inode, has_content, inode_of, log_of
from bulk_invite.checkpoint.storage.last_transaction import beside
from bulk_invite.checkpoint.tables.query import Query
from bulk_invite.domain.errors import CheckpointError

KEY: Final = "file"
"""Its key in the table `about`."""


@dataclass(frozen=True, slots=True)
class Location:
    path: Path
    inode: Inode

    @classmethod
    def of(cls, path: Path) -> Location:
        """Raises OSError."""
        found = path.stat()
        return cls(path, (found.st_dev, found.st_ino))

    @classmethod
    def read(cls, written: str) -> Location:
        """Raises ValueError."""
        match json.loads(written):
            case [str(name), int(device), int(number)]:
                return cls(Path(os.fsdecode(name.encode("latin-1"))), (device, number))
            case _:
                raise ValueError(KEY)

    def written(self) -> str:
        # A path is bytes, and may not be valid text.
        return json.dumps([os.fsencode(self.path).decode("latin-1"), *self.inode])

    def is_at(self, path: Path) -> bool:
        """Whether that path has the same inode number; device numbers may change with a restart."""
        found = inode_of(path)
        return found is not None and found[1] == self.inode[1]


def require_log_here(known: Location | None, path: Path, name: str, *, only_same: bool = False) -> None:
    """Raise CheckpointError if the log of the file at `path` was left beside another name of it.

    only_same: only if that name is the same file; a separate copy may still be read.
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
        hint = f"Move the log to it: {' && '.join(moves)}"
    elif moved:
        hint = f"Move it back to {known.path}."
    elif known.is_at(path):
        hint = f"Use it under that name: --checkpoint {_quoted(known.path)}"
    else:
        hint = f"Continue with --checkpoint {_quoted(known.path)}, or copy it again together with its log."
    raise CheckpointError(
        f"The checkpoint {name} was last used as {known.path}, and its log {left} is still there: it holds "
        "the latest calls, which are missing here.",
        hint=f"{hint} Otherwise those rows would be sent again.",
    )


def location_of(query: Query) -> Location | None:
    """The recorded location; None for a copy made by this program. Raises ValueError."""
    found = query("SELECT value FROM about WHERE key = :key", key=KEY)
    return Location.read(found[0][0]) if found else None


def generation_of(path: Path) -> tuple[str, int] | None:
    """The checkpoint's id and transaction number; None if the file cannot be read."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as file:
            checkpoint, number = file.execute("SELECT checkpoint, number FROM generation").fetchone()
    except (sqlite3.Error, TypeError):
        return None
    return str(checkpoint), int(number)


def record_location(query: Query, path: Path) -> bool:
    """Record the location; return whether it was new."""
    now = Location.of(path)
    if location_of(query) == now:
        return False
    query("DELETE FROM about WHERE key = :key", key=KEY)
    query("INSERT INTO about (key, value) VALUES (:key, :value)", key=KEY, value=now.written())
    return True


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


def _is_still_at(known: Location, path: Path) -> bool:
    """Whether the path leads to the same checkpoint: on another machine its file may have the same number."""
    if not known.is_at(known.path):
        return False
    there, here = generation_of(known.path), generation_of(path)
    return there is None or here is None or there[0] == here[0]


def _is_same(left: Path, here: Path) -> bool:
    try:
        return left.samefile(here) or filecmp.cmp(left, here, shallow=False)
    except OSError:
        return False
