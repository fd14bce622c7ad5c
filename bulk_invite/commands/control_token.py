"""The token by which a run may be changed over HTTP."""

from __future__ import annotations

import os
import re
from typing import Final

from bulk_invite.configuration import CONTROL_TOKEN
from bulk_invite.errors import UsageError
from bulk_invite.settings import Settings

_TOKEN: Final = re.compile(r"[!-~]{16,512}")
"""What is shorter can be guessed."""


def control_token(settings: Settings) -> str | None:
    """The token for changes; None where there are none to be. Raises UsageError; the token is never told."""
    token, where = os.environ.get(CONTROL_TOKEN), f"The environment variable {CONTROL_TOKEN}"
    if (path := settings.control_token_file) is not None:
        where = f"The file {path}"
        try:
            token = path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not ASCII"
            raise UsageError(f"{where} with the control token cannot be read: {reason}.") from None
    if token is not None and not _TOKEN.fullmatch(token):
        raise UsageError(
            f"{where} has no control token that can be used.",
            hint="Write 16 characters or more, without spaces, such as those of: openssl rand -hex 16",
        )
    return token
