"""File systems: their kind, their free space, and whether a directory is writable."""

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
    "tmpfs": "in memory: a restart of the machine deletes it",
    "ramfs": "in memory: a restart of the machine deletes it",
    "overlay": "in the container's own layer: it is deleted together with the container",
}

_LITTLE: Final = 10**9
_TOO_LITTLE: Final = 10**8

_MANY_ROWS: Final = 10**6

_BYTES_PER_ROW: Final = 700
"""Of a checkpoint, per row sent once: 606 measured over ten thousand rows, plus a margin."""


def kind_of(folder: Path, mounts: str | None = None) -> str:
    """The kind of file system, such as `ext4`; "" where the system lists no mounts. mounts: for tests."""
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
        # The last mount at a point hides the ones before.
        if place.is_relative_to(point) and len(point) >= len(found[0]):
            found = (point, kind)
    return found[1]


def problem_of(kind: str) -> str:
    """What is wrong with a checkpoint on this kind of file system, "" for nothing."""
    if kind.startswith(_NETWORK):
        return f"on a network file system ({kind}), where SQLite locks are not reliable"
    return _PASSING.get(kind, "")


def existing(path: Path) -> Path:
    """The path itself or its nearest existing parent."""
    path = path.absolute()
    return next((each for each in (path, *path.parents) if each.exists()), path)


def check_free_space(checkpoint: Path | None, results: Path | None) -> Found:
    """Free space for the checkpoint and for the results."""
    folders = {existing(each) for each in (checkpoint, results) if each is not None}
    free = {folder: shutil.disk_usage(folder).free for folder in folders}
    text = "; ".join(f"{size_text(size)} free in {folder}" for folder, size in sorted(free.items()))
    if checkpoint is not None:
        rows = free[existing(checkpoint)] // _BYTES_PER_ROW
        text += f"; enough for a checkpoint of {_rows_text(rows)} rows"
    return judged(text, min(free.values()))


def judged(text: str, free: int) -> Found:
    """Whether `free` bytes are enough for a run."""
    if free < _TOO_LITTLE:
        return failed(text, "Free some space: a run stops when a write fails.")
    return warning(text, "Free some space before a long run.") if free < _LITTLE else ok(text)


def _rows_text(rows: int) -> str:
    return f"about {rows:,}" if rows < _MANY_ROWS else "more than a million"


def check_results(folder: Path) -> Found:
    """Whether the results can be written there."""
    if folder.exists() and not folder.is_dir():
        return failed(f"{folder} is not a directory", "Choose another directory with --results.")
    place = existing(folder)
    if not is_writable(place):
        return failed(
            f"{place} is not writable", "Make it writable, or choose another directory with --results."
        )
    return ok(f"{folder} is writable" if folder.exists() else f"{folder} will be created")


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
