"""The identity of files: a path may come to name another file while the open one is still written."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from bulk_invite.domain.errors import CheckpointError

Inode = tuple[int, int]
"""Device and inode number: identifies a file under any name."""

_MOUNTS: Final = Path("/proc/self/mountinfo")


def inode_of(path: Path) -> Inode | None:
    """The inode of a path; None if there is no such file or it cannot be examined."""
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
    """SQLite's write-ahead log beside a database: commits not yet in it. It is found by name alone."""
    return path.with_name(f"{path.name}-wal")


class WatchedFiles:
    """Files that must remain the same from now on. growing: the one that may only grow."""

    def __init__(self, paths: Iterable[Path], *, growing: Path | None = None) -> None:
        self._growing = growing
        self._known = {path: _look(path) for path in paths}

    def known(self, path: Path) -> Inode | None:
        """The recorded inode."""
        found = self._known.get(path)
        return None if found is None else found[0]

    def changed(self) -> list[Path]:
        """The files that are gone, replaced, or smaller than allowed."""
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
    """The inode of a file, and its size in bytes."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino), found.st_size


def require_one_name(path: Path, name: str) -> None:
    """Raise CheckpointError for a file with several hard links: each name would have its own log."""
    if path.is_file() and (links := path.stat().st_nlink) > 1:
        raise CheckpointError(
            f"The checkpoint {name} has {links} names (hard links). The record of its calls is in a log "
            "beside one of them; used under another name, it would send those rows again.",
            hint=(
                f"Find them (find DIR -samefile {path}), keep the one with a -wal file beside it (any one "
                "if there is none), and remove the others; or copy the file and give the copy its name."
            ),
        )


def require_no_mount(path: Path, name: str) -> None:
    """Raise CheckpointError for a file that is mounted by itself: the log would not be in the mount."""
    if path.is_file() and str(path) in _mount_points():
        raise CheckpointError(
            f"The checkpoint {name} is mounted as a single file. The log with the record of its calls lies "
            "beside it and is not part of the mount.",
            hint="Mount the directory that contains it, not the file.",
        )


def _mount_points() -> set[str]:
    """Empty if the system has no list of them."""
    try:
        lines = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return set()
    return {_unescaped(line.split(" ")[4]) for line in lines}


def _unescaped(point: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), point)
