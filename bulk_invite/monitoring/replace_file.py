"""A file that is only ever there as a whole."""

from __future__ import annotations

import os
from pathlib import Path


def replace_file(path: Path, content: bytes, *, mode: int, durable: bool) -> None:
    """Put a new file in the place of the old one; where that fails, the old one stays. Raises OSError.

    mode: of the new file, whatever the umask. durable: a crash of the machine after this does not lose it.
    """
    partial = path.with_name(f"{path.name}.partial")
    partial.unlink(missing_ok=True)
    fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(fd, "wb") as file:
            os.fchmod(fd, mode)
            file.write(content)
            file.flush()
            if durable:
                os.fsync(fd)
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
