"""Who holds a checkpoint: a sender says it in the lock file, or in the name of its session."""

from __future__ import annotations

import getpass
import os
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from bulk_invite.domain.clock import utc_text
from bulk_invite.domain.holder import Holder

SESSION: Final = "bulk-invite checkpoint"
"""How the name of a session begins; it goes on with the process."""

_SINCE: Final = ", since "
_LONGEST: Final = 300


def this_process() -> str:
    """This process and its machine."""
    return f"process {os.getpid()} of {socket.gethostname()}"


def sign(lock_file: Path) -> None:
    """Write into a lock file that we hold who holds it, for others to read."""
    user = ""
    with suppress(KeyError, OSError):  # in a container, the user may have no name
        user = f" (user {getpass.getuser()})"
    _write(lock_file, f"{this_process()}{user}{_SINCE}{utc_text(time.time())}")


def clear(lock_file: Path) -> None:
    """Remove what `sign` has written."""
    _write(lock_file, "")


def signed(lock_file: Path) -> Holder | None:
    """The holder, by its own account; None if the file does not say it."""
    try:
        text = lock_file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    who, _, since = text.partition(_SINCE)
    return Holder(who, since or None) if who and text.isprintable() and len(text) <= _LONGEST else None


def _write(lock_file: Path, text: str) -> None:
    with suppress(OSError):  # it is for information only
        lock_file.write_text(text, encoding="utf-8")
