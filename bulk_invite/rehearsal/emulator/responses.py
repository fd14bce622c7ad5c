"""Responses in the formats of AWS: JSON 1.0 for Partner Central, XML for STS."""

from __future__ import annotations

import math
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from xml.sax.saxutils import escape

import orjson

JSON: Final = "application/x-amz-json-1.0"
XML: Final = "text/xml"
HTML: Final = "text/html"

_STS: Final = 'xmlns="https://sts.amazonaws.com/doc/2011-06-15/"'
_NAMESPACE: Final = "com.amazonaws.partnercentral.selling"
_STATUS: Final = {
    "AccessDenied": HTTPStatus.FORBIDDEN,
    "ExpiredToken": HTTPStatus.FORBIDDEN,
    "ExpiredTokenException": HTTPStatus.FORBIDDEN,
    "InternalServerException": HTTPStatus.INTERNAL_SERVER_ERROR,
    "InvalidClientTokenId": HTTPStatus.FORBIDDEN,
    "InvalidSignatureException": HTTPStatus.FORBIDDEN,
    "MissingAuthenticationToken": HTTPStatus.FORBIDDEN,
    "SignatureDoesNotMatch": HTTPStatus.FORBIDDEN,
    "UnrecognizedClientException": HTTPStatus.FORBIDDEN,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response without its request id. outcome: its name in the ledger.

    retry_after: seconds for `x-amz-retry-after`; None for no such header.
    """

    outcome: str
    body: bytes
    status: int = 200
    content_type: str = JSON
    retry_after: float | None = None

    def headers(self, request_id: str) -> dict[str, str]:
        headers = {"x-amzn-RequestId": request_id}
        if self.retry_after is not None:
            # Rounded up, so that waiting this long is enough. The inner round fixes 0.07 * 1000.
            milliseconds = math.ceil(round(self.retry_after * 1000, 6))
            headers["x-amz-retry-after"] = str(milliseconds)
        return headers


def success(outcome: str, members: object) -> Answer:
    return Answer(outcome, orjson.dumps(members))


def refusal(code: str, message: str, *, retry_after: float | None = None, **members: object) -> Answer:
    """A modelled or common error of Partner Central, with the error's own members."""
    body = orjson.dumps({"__type": f"{_NAMESPACE}#{code}", "Message": message, **members})
    outcome = "throttled" if code == "ThrottlingException" else code
    return Answer(outcome, body, _STATUS.get(code, HTTPStatus.BAD_REQUEST), retry_after=retry_after)


def throttled(retry_after: float | None) -> Answer:
    return refusal("ThrottlingException", "Rate exceeded", retry_after=retry_after)


def identity(account: str, user: str, request_id: str) -> Answer:
    """The answer of STS GetCallerIdentity."""
    body = (
        f"<GetCallerIdentityResponse {_STS}><GetCallerIdentityResult>"
        f"<Arn>arn:aws:iam::{account}:user/{escape(user)}</Arn><UserId>{escape(user)}</UserId><Account>{account}</Account>"
        f"</GetCallerIdentityResult><ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>"
        "</GetCallerIdentityResponse>"
    )
    return Answer("answered", body.encode(), content_type=XML)


def sts_refusal(code: str, message: str, request_id: str) -> Answer:
    body = (
        f"<ErrorResponse {_STS}><Error><Type>Sender</Type><Code>{code}</Code>"
        f"<Message>{escape(message)}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
    )
    return Answer(code, body.encode(), _STATUS.get(code, HTTPStatus.BAD_REQUEST), XML)
