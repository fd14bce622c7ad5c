"""Files as things: a name may come to mean another file, while the one that is open goes on being written."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

Inode = tuple[int, int]
"""Device and number: what a file is, whatever it is called."""


def inode_of(path: Path) -> Inode | None:
    """None where there is no such file, or none that can be looked at."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


class Files:
    """Files that have to stay what they were when this was made."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._known = {path: inode_of(path) for path in paths}

    def changed(self) -> list[Path]:
        """Those that are gone, or other files by now."""
        return [path for path, known in self._known.items() if inode_of(path) != known]
