"""Files as things: a name may come to mean another file, while the one that is open goes on being written."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from bulk_invite.domain.errors import CheckpointError

Inode = tuple[int, int]
"""Device and number: what a file is, whatever it is called."""

_MOUNTS: Final = Path("/proc/self/mountinfo")


def inode_of(path: Path) -> Inode | None:
    """None where there is no such file, or none that can be looked at."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def has_content(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False


def log_of(path: Path) -> Path:
    """What SQLite keeps beside a database: commits that are not in it yet. It goes by the name alone."""
    return path.with_name(f"{path.name}-wal")


class Files:
    """Files that have to stay what they were when this was made. growing: the one that only grows."""

    def __init__(self, paths: Iterable[Path], *, growing: Path | None = None) -> None:
        self._growing = growing
        self._known = {path: _look(path) for path in paths}

    def known(self, path: Path) -> Inode | None:
        """What it was."""
        found = self._known.get(path)
        return None if found is None else found[0]

    def changed(self) -> list[Path]:
        """Those that are gone, other files by now, or smaller than they may be."""
        return [path for path in self._known if not self._is_as_before(path)]

    def _is_as_before(self, path: Path) -> bool:
        known, now = self._known[path], _look(path)
        if known is None or now is None:
            return known is now
        if path == self._growing and now[1] < known[1]:
            return False
        self._known[path] = (known[0], now[1])
        return now[0] == known[0]


def _look(path: Path) -> tuple[Inode, int] | None:
    """What a file is, and its size in bytes."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino), found.st_size


def require_one_name(path: Path, name: str) -> None:
    """Raise CheckpointError for a file with several hard links: each of them would have a log of its own."""
    if path.is_file() and (links := path.stat().st_nlink) > 1:
        raise CheckpointError(
            f"The checkpoint {name} has {links} names (hard links). What was sent stands in a log beside "
            "one of them, and by another name it would be sent again.",
            hint=f"Find them (find DIR -samefile {path}), keep the one with a -wal beside it (any one where "
            "none has), and remove the others; or copy the file, and give the copy its name.",
        )


def require_no_mount(path: Path, name: str) -> None:
    """Raise CheckpointError for a file that is mounted by itself: the log beside it stays on this side."""
    if path.is_file() and str(path) in _mount_points():
        raise CheckpointError(
            f"The checkpoint {name} is a mount of one file. What was sent stands in a log beside it, "
            "which the other side of the mount does not have.",
            hint="Mount the folder that it is in, not the file.",
        )


def _mount_points() -> set[str]:
    """Empty where the system has no list of them."""
    try:
        lines = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return set()
    return {_unescaped(line.split(" ")[4]) for line in lines}


def _unescaped(point: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), point)
