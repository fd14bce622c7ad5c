"""What a folder stands on: the kind of file system, and the room that is left."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from bulk_invite.cli.doctor.check import Found, failed, ok, warning

_MOUNTS: Final = Path("/proc/mounts")

_NETWORK: Final = ("nfs", "cifs", "smb", "9p", "fuse", "ceph", "glusterfs", "lustre", "afs")
_PASSING: Final = {
    "tmpfs": "in memory: it is gone when the machine restarts",
    "ramfs": "in memory: it is gone when the machine restarts",
    "overlay": "in a container's own layer: it is gone when the container is removed",
}

_LITTLE: Final = 10**9
_TOO_LITTLE: Final = 10**8

_MANY_ROWS: Final = 10**6

_BYTES_PER_ROW: Final = 700
"""Of a checkpoint, for a row that was sent once (606 measured over ten thousand), and a little more."""


def kind_of(folder: Path, mounts: str | None = None) -> str:
    """The kind of file system, such as `ext4`; "" where the system has no list (`mounts`) of them."""
    if mounts is None:
        try:
            mounts = _MOUNTS.read_text(errors="surrogateescape")
        except OSError:
            return ""
    place = folder.resolve()
    found = ("", "")
    for line in mounts.splitlines():
        _, point, kind, *_ = line.split(" ")
        point = point.replace("\\040", " ")
        # The last one of a place is the one that is seen.
        if place.is_relative_to(point) and len(point) >= len(found[0]):
            found = (point, kind)
    return found[1]


def doubts_of(kind: str) -> str:
    """What is wrong with a checkpoint on that kind of file system, "" for nothing."""
    if kind.startswith(_NETWORK):
        return f"on a network file system ({kind}), where SQLite's locks cannot be relied upon"
    return _PASSING.get(kind, "")


def existing(path: Path) -> Path:
    """The nearest folder above that is there, or itself."""
    path = path.absolute()
    return next((each for each in (path, *path.parents) if each.exists()), path)


def look_at_room(checkpoint: Path | None, results: Path | None) -> Found:
    """Room for a checkpoint in that folder, and for the results."""
    folders = {existing(each) for each in (checkpoint, results) if each is not None}
    free = {folder: shutil.disk_usage(folder).free for folder in folders}
    told = "; ".join(f"{size_text(size)} are free in {folder}" for folder, size in sorted(free.items()))
    if checkpoint is not None:
        rows = free[existing(checkpoint)] // _BYTES_PER_ROW
        told += f", room for a checkpoint of {_rows_text(rows)} rows"
    return judged(told, min(free.values()))


def judged(told: str, free: int) -> Found:
    """What so many free bytes mean for a run."""
    if free < _TOO_LITTLE:
        return failed(told, "Make room: a run stops where a write fails.")
    return warning(told, "Make room before a long run.") if free < _LITTLE else ok(told)


def _rows_text(rows: int) -> str:
    return f"about {rows:,}" if rows < _MANY_ROWS else "more than a million"


def look_at_results(folder: Path) -> Found:
    """Whether the files of the results can be put there."""
    if folder.exists() and not folder.is_dir():
        return failed(f"{folder} is no folder", "Name another one with --results.")
    place = existing(folder)
    if not is_writable(place):
        return failed(
            f"{place} cannot be written to", "Make it writable, or name another folder with --results."
        )
    return ok(f"{folder} is there and can be written to" if folder == place else f"{folder} will be made")


def is_writable(folder: Path) -> bool:
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK, effective_ids=True)


def size_text(size: int) -> str:
    """`1.2 GB`."""
    value, units = float(size), iter(("B", "kB", "MB", "GB"))
    unit = next(units)
    for larger in units:
        if value < 1000:  # noqa: PLR2004 - by the thousand
            break
        value, unit = value / 1000, larger
    return f"{value:,.0f} {unit}" if unit == "B" or value >= 100 else f"{value:,.1f} {unit}"  # noqa: PLR2004 - three digits


def total_size(paths: Iterable[Path]) -> int:
    return sum(path.stat().st_size for path in paths if path.exists())
