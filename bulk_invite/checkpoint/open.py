"""Where a checkpoint is, by the name that the operator gives it."""

from __future__ import annotations

import stat
from pathlib import Path

from bulk_invite.checkpoint.storage.base import Database
from bulk_invite.checkpoint.storage.sqlite import SqliteFile
from bulk_invite.domain.errors import CheckpointError, UsageError


def database_at(place: str | Path, schema: str) -> Database:
    """The file of that path, or a schema of the database with that URL; files have none.

    Raises UsageError where the name cannot be one, CheckpointError where something else is there.
    """
    if isinstance(place, Path) or "://" not in place:
        return _file(Path(place))
    # The driver takes a while to import, and most checkpoints are files.
    from bulk_invite.checkpoint.storage.postgres import PostgresSchema  # noqa: PLC0415

    return PostgresSchema(place, schema)


def _file(path: Path) -> SqliteFile:
    try:
        kind = path.stat().st_mode
    except FileNotFoundError:
        return SqliteFile(path)
    except NotADirectoryError:
        raise _no_checkpoint(path, "what it calls its folder is a file") from None
    except OSError as error:
        hint = "Make sure that the user who runs this may enter its folder, or name another --checkpoint."
        raise CheckpointError(
            f"The checkpoint {path} cannot be looked for: {error.strerror}.", hint=hint
        ) from error
    except ValueError:  # a NUL in it
        raise UsageError(
            "What --checkpoint says can be no name of a file.", hint="Leave out what is no character."
        ) from None
    if stat.S_ISDIR(kind):
        raise _no_checkpoint(path, "it is a directory, and no checkpoint")
    if not stat.S_ISREG(kind):
        raise _no_checkpoint(path, "it is no file that keeps what is written to it")
    return SqliteFile(path)


def _no_checkpoint(path: Path, why: str) -> CheckpointError:
    return CheckpointError(
        f"The checkpoint {path} cannot be used: {why}.",
        hint="Name a file with --checkpoint.",
    )
