"""The token that authorizes changes to a run over HTTP."""

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
"""Shorter tokens can be guessed."""


def control_token(settings: Settings) -> str | None:
    """The control token, None without one; warns if others can read it.

    Raises UsageError, which never shows the token.
    """
    token, mend = examine_token(settings)
    if mend:
        _log.warning("control.token_readable", file=str(settings.control_token_file), next=mend)
    return token


def examine_token(settings: Settings) -> tuple[str | None, str]:
    """The control token or None, and what to do if others can read it, else "". Raises UsageError."""
    token, where, mend = os.environ.get(CONTROL_TOKEN), f"The environment variable {CONTROL_TOKEN}", ""
    if (path := settings.control_token_file) is not None:
        (token, mend), where = _read(path), f"The file {path}"
    if token is not None and not _TOKEN.fullmatch(token):
        raise UsageError(
            f"{where} has no valid control token.",
            hint="Use at least 16 characters without spaces, for example the output of: openssl rand -hex 16",
            topic="monitoring",
        )
    return token, mend


def _read(path: Path) -> tuple[str, str]:
    try:
        with path.open(encoding="ascii") as opened:
            mend = _require_private(path, opened.fileno())
            return opened.read().strip(), mend
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not ASCII"
        raise UsageError(
            f"The control token file {path} cannot be read: {reason}.",
            hint="Check the name (--control-token-file) and its permissions.",
            topic="monitoring",
        ) from None


def _require_private(path: Path, fd: int) -> str:
    """Refuse a token file that other users can write to; return what to do about one that they can read.

    World-readable is the default for secrets mounted into a container, which has no other users.
    """
    mode = os.fstat(fd).st_mode
    mend = f"chmod 600 {shlex.quote(str(path))}, and create a new token if other users may have read this one"
    if mode & stat.S_IWOTH:
        raise UsageError(
            f"The control token file {path} is writable by other users.",
            hint=f"Run {mend}.",
            topic="monitoring",
        )
    if not mode & stat.S_IROTH:
        return ""
    if os.fstatvfs(fd).f_flag & os.ST_RDONLY:
        mend = "mount it with mode 0440 (the secret volume's defaultMode), readable by the program's group"
    return mend
