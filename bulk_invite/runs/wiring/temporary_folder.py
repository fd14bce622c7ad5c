"""A folder for the copy of a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from bulk_invite.domain.errors import TemporaryFilesError


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that is deleted at the end. Raises TemporaryFilesError if there is no place for one.

    A thread that hangs may still have a file in it; it does not outlive the process.
    """
    try:
        folder = TemporaryDirectory(prefix="bulk-invite-", ignore_cleanup_errors=True)
    except OSError as error:
        raise TemporaryFilesError(error.strerror or type(error).__name__) from error
    with folder as name:
        yield Path(name)
