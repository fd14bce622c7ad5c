"""Resolve the --checkpoint option to a database."""

from __future__ import annotations

import stat
from pathlib import Path

from bulk_invite.checkpoint.storage.base import Database
from bulk_invite.checkpoint.storage.sqlite import SqliteFile
from bulk_invite.domain.errors import CheckpointError, UsageError


def database_at(place: str | Path, schema: str) -> Database:
    """Return the file at a path, or a schema of the database at a URL. Files have no schema.

    Raises UsageError for an invalid name, CheckpointError if the path is not a regular file.
    """
    if isinstance(place, Path) or "://" not in place:
        return _file(Path(place))
    # The driver is slow to import, and most checkpoints are files.
    from bulk_invite.checkpoint.storage.postgres import PostgresSchema  # noqa: PLC0415

    return PostgresSchema(place, schema)


def _file(path: Path) -> SqliteFile:
    try:
        kind = path.stat().st_mode
    except FileNotFoundError:
        return SqliteFile(path)
    except NotADirectoryError:
        raise _no_checkpoint(path, "part of its path is a file, not a directory") from None
    except OSError as error:
        hint = "Allow this user to enter the directory, or name another --checkpoint."
        raise CheckpointError(
            f"The checkpoint {path} cannot be accessed: {error.strerror}.", hint=hint
        ) from error
    except ValueError:  # the name contains a NUL
        raise UsageError(
            "The value of --checkpoint is not a valid file name.", hint="Remove the NUL character from it."
        ) from None
    if stat.S_ISDIR(kind):
        raise _no_checkpoint(path, "it is a directory")
    if not stat.S_ISREG(kind):
        raise _no_checkpoint(path, "it is not a regular file")
    return SqliteFile(path)


def _no_checkpoint(path: Path, why: str) -> CheckpointError:
    return CheckpointError(
        f"The checkpoint {path} cannot be used: {why}.",
        hint="Name a file with --checkpoint.",
    )
