"""What the SDK brings back, as answers: from its dictionaries and exceptions to plain values.

Nothing here decides; what an answer means stands in `classify`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from botocore.parsers import ResponseParserError

from bulk_invite.invitation import RowError
from bulk_invite.outcome import HttpAnswer, NoAnswer

_PLAIN: Final = re.compile(r"[A-Za-z0-9_.$\[\]-]{1,200}")
"""What a code, a request id or a FieldName of the service looks like; anything else might repeat a value of
the row, or carry control characters to a terminal."""


def success(response: Mapping[str, Any]) -> HttpAnswer:
    """A parsed answer that was no error. An Id that is missing or no text is left out."""
    return HttpAnswer(
        _status(response),
        invitation_id=text(response.get("Id")),
        arn=text(response.get("Arn")),
        request_id=_request_id(response),
    )


def refusal(response: Mapping[str, Any]) -> HttpAnswer:
    headers = response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return HttpAnswer(
        _status(response),
        code=_plain(response.get("Error", {}).get("Code")) or str(_status(response)),
        request_id=_request_id(response),
        reason=_plain(response.get("Reason")),
        retry_after=_milliseconds(headers.get("x-amz-retry-after")),
        errors=tuple(_row_error(entry) for entry in response.get("ErrorList") or () if entry),
    )


def silence(error: BaseException) -> NoAnswer:
    """Name the exception and, for botocore's, the one of aiohttp that it stands for."""
    inner = getattr(error, "kwargs", {}).get("error")
    errors = (error, inner) if isinstance(inner, BaseException) else (error,)
    return NoAnswer(tuple(type(each).__name__ for each in errors))


def unreadable(error: BaseException) -> NoAnswer:
    # The error's text may repeat the body, and with it what it says of the row.
    return NoAnswer((type(error).__name__, ResponseParserError.__name__))


def _row_error(entry: Mapping[str, Any]) -> RowError:
    name = _plain(entry.get("FieldName")).removeprefix("$.")
    path = f"$.{name}" if name else "$"
    return RowError(path, _plain(entry.get("Code")) or "unnamed", text(entry.get("Message")))


def _status(response: Mapping[str, Any]) -> int:
    return int(response["ResponseMetadata"]["HTTPStatusCode"])


def _request_id(response: Mapping[str, Any]) -> str:
    return _plain(response["ResponseMetadata"].get("RequestId"))


def text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _plain(value: object) -> str:
    return value if isinstance(value, str) and _PLAIN.fullmatch(value) else ""


def _milliseconds(text: str | None) -> float | None:
    """Seconds from a header in milliseconds; None where it is no such number."""
    return float(text) / 1000 if text is not None and text.isdecimal() else None
