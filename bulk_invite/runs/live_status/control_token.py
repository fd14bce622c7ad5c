"""The token by which a run may be changed over HTTP."""

from __future__ import annotations

import os
import re
import shlex
import stat
from pathlib import Path
from typing import Final

import structlog

from bulk_invite.domain.errors import UsageError
from bulk_invite.runs.settings.loading import CONTROL_TOKEN
from bulk_invite.runs.settings.model import Settings

_log = structlog.get_logger()

_TOKEN: Final = re.compile(r"[!-~]{16,512}")
"""What is shorter can be guessed."""


def control_token(settings: Settings) -> str | None:
    """The token for changes; None where there are none to be. Raises UsageError; the token is never told."""
    token, where = os.environ.get(CONTROL_TOKEN), f"The environment variable {CONTROL_TOKEN}"
    if (path := settings.control_token_file) is not None:
        token, where = _read(path), f"The file {path}"
    if token is not None and not _TOKEN.fullmatch(token):
        raise UsageError(
            f"{where} has no control token that can be used.",
            hint="Write 16 characters or more, without spaces, such as those of: openssl rand -hex 16",
        )
    return token


def _read(path: Path) -> str:
    try:
        with path.open(encoding="ascii") as opened:
            _require_private(path, opened.fileno())
            return opened.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not ASCII"
        raise UsageError(f"The file {path} with the control token cannot be read: {reason}.") from None


def _require_private(path: Path, fd: int) -> None:
    """Refuse a file into which every user of the machine may write another token.

    One that all may only read is warned of: it is the default of secrets that are mounted into a container,
    where nobody else is to read it.
    """
    mode = os.fstat(fd).st_mode
    mend = f"chmod 600 {shlex.quote(str(path))}, and create a new token if other users may have read this one"
    if mode & stat.S_IWOTH:
        raise UsageError(
            f"The file {path} with the control token can be changed by other users.", hint=f"{mend}."
        )
    if not mode & stat.S_IROTH:
        return
    if os.fstatvfs(fd).f_flag & os.ST_RDONLY:
        mend = "mount it with mode 0440 (the secret volume's defaultMode), readable by the program's group"
    _log.warning("control.token_readable", file=str(path), next=mend)
