"""Errors of a row as the checkpoint keeps them: path and code, never the message.

The service's messages may repeat values of the row, and those are sensitive.
"""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from bulk_invite.invitation import RowError


def encode_errors(errors: Sequence[RowError]) -> str:
    return orjson.dumps([[error.path, error.code] for error in errors]).decode() if errors else "[]"


def decode_errors(text: str) -> tuple[RowError, ...]:
    return tuple(RowError(path, code, "") for path, code in orjson.loads(text))
