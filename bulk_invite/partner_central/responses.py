"""Convert the SDK's dictionaries and exceptions to plain answers.

Nothing is decided here; `classify` interprets the answers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from botocore.parsers import ResponseParserError

from bulk_invite.domain.classify import ODD_ID
from bulk_invite.domain.findings import Content, Listed, Page
from bulk_invite.domain.rows import RowError
from bulk_invite.domain.verdicts import HttpAnswer, NoAnswer

_PLAIN: Final = re.compile(r"[A-Za-z0-9_.$\[\]-]{1,200}")
"""The form of the service's codes and FieldNames; anything else might repeat a value of the row, or send
control characters to a terminal."""

_IDENTIFIER: Final = re.compile(r"[!-~]{1,255}")
_ARN: Final = re.compile(r"[!-~]{1,2048}")
"""What can be stored and shown anywhere. The modelled patterns are narrower; real Arns do not match them."""

_REQUEST_ID: Final = re.compile(r"[0-9A-Fa-f-]{4,64}")
_WHOLE: Final = re.compile(r"[0-9]{1,15}")
_MEDIA_TYPE: Final = re.compile(r"[a-z0-9.+-]{1,40}/[a-z0-9.+-]{1,40}")

_NOT_IT: Final = NoAnswer(("AnswerToNothingAsked", ResponseParserError.__name__))
"""A success without the requested content, as from a proxy."""


def success(response: Mapping[str, Any]) -> HttpAnswer:
    """Convert a successful response. An Id that is missing, not text or malformed is left out."""
    said = response.get("Id")
    invitation_id = identifier(said)
    return HttpAnswer(
        _status(response),
        code=ODD_ID if isinstance(said, str) and said and not invitation_id else "",
        invitation_id=invitation_id,
        arn=_sane(_ARN, response.get("Arn")),
        request_id=_request_id(response),
    )


def page(response: Mapping[str, Any]) -> Page | NoAnswer:
    """Convert a page of a list; a response without one is not an answer, whatever its status."""
    summaries = response.get("EngagementInvitationSummaries")
    next_token = response.get("NextToken", "")
    # An invitation left out here would count as absent.
    if not isinstance(summaries, list) or None in summaries or not isinstance(next_token, str):
        return _NOT_IT
    listed = Page(tuple(map(_listed, summaries)), next_token, _date(response))
    return listed if all(each.invitation_id for each in listed.invitations) else _NOT_IT


def _listed(summary: Mapping[str, Any]) -> Listed:
    invited_at = summary.get("InvitationDate")
    return Listed(
        invitation_id=identifier(summary.get("Id")),
        arn=_sane(_ARN, summary.get("Arn")),
        engagement=text(summary.get("EngagementId")),
        payload_type=text(summary.get("PayloadType")),
        receiver=text((summary.get("Receiver") or {}).get("Account", {}).get("AwsAccountId")),
        invited_at=invited_at.timestamp() if isinstance(invited_at, datetime) else None,
    )


def content(response: Mapping[str, Any], invitation_id: str) -> Content | NoAnswer:
    """Convert an invitation; a response about anything else is not an answer."""
    if response.get("Id") != invitation_id:
        return _NOT_IT
    return Content(
        message=text(response.get("InvitationMessage")),
        receiver=response.get("Receiver") or {},
        payload=response.get("Payload") or {},
    )


def refusal(response: Mapping[str, Any]) -> HttpAnswer:
    headers = response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return HttpAnswer(
        _status(response),
        code=plain(response.get("Error", {}).get("Code")) or str(_status(response)),
        request_id=_request_id(response),
        reason=plain(response.get("Reason")),
        retry_after=_milliseconds(headers.get("x-amz-retry-after")),
        errors=tuple(_row_error(entry) for entry in response.get("ErrorList") or () if entry),
        content_type=_sane(_MEDIA_TYPE, headers.get("content-type", "").partition(";")[0].strip().lower()),
        length=_length(headers.get("content-length", "")),
    )


def silence(error: BaseException) -> NoAnswer:
    """Name the exception and, for botocore's, the one of aiohttp that it wraps."""
    inner = getattr(error, "kwargs", {}).get("error")
    errors = (error, inner) if isinstance(inner, BaseException) else (error,)
    return NoAnswer(tuple(type(each).__name__ for each in errors))


def unreadable(error: BaseException) -> NoAnswer:
    # The exception's text may repeat the body, and with it values of the row.
    return NoAnswer((type(error).__name__, ResponseParserError.__name__))


def _row_error(entry: Mapping[str, Any]) -> RowError:
    name = plain(entry.get("FieldName")).removeprefix("$.")
    path = f"$.{name}" if name else "$"
    return RowError(path, plain(entry.get("Code")) or "unnamed", text(entry.get("Message")))


def _status(response: Mapping[str, Any]) -> int:
    return int(response["ResponseMetadata"]["HTTPStatusCode"])


def _request_id(response: Mapping[str, Any]) -> str:
    return _sane(_REQUEST_ID, response["ResponseMetadata"].get("RequestId"))


def text(value: object) -> str:
    """A text that can be stored: JSON may contain lone surrogates, which UTF-8 cannot encode."""
    return value.encode(errors="backslashreplace").decode() if isinstance(value, str) else ""


def plain(value: object) -> str:
    return _sane(_PLAIN, value)


def identifier(value: object) -> str:
    """An Id that can be stored; "" if it is invalid."""
    return _sane(_IDENTIFIER, value)


def _sane(form: re.Pattern[str], value: object) -> str:
    return value if isinstance(value, str) and form.fullmatch(value) else ""


def _length(header: str) -> int | None:
    return int(header) if _WHOLE.fullmatch(header) else None


def _date(response: Mapping[str, Any]) -> float | None:
    """The service's clock in epoch seconds; None if not given."""
    return epoch_of(response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", ""))


def epoch_of(date: str) -> float | None:
    """Epoch seconds of a Date header; None if invalid."""
    try:
        parsed = parsedate_to_datetime(date)
    except ValueError:
        return None
    return parsed.replace(tzinfo=parsed.tzinfo or UTC).timestamp()


def _milliseconds(text: str | None) -> float | None:
    """Seconds from a header in milliseconds; None if invalid."""
    return float(text) / 1000 if text is not None and text.isdecimal() else None
