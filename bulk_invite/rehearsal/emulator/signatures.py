"""Signature Version 4, verified by signing the request again with botocore and comparing.

Checks, in this order: missing signature, unreadable signature, unknown key, expired key, wrong scope, clock
skew, wrong signature.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from botocore.auth import SIGV4_TIMESTAMP, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from bulk_invite.rehearsal.emulator.credentials import DEFAULT_ACCOUNT, Credential
from bulk_invite.rehearsal.emulator.options import Options

PARTNER_CENTRAL: Final = "partnercentral-selling"
STS: Final = "sts"

_REGION: Final = "us-east-1"
_SKEW: Final = 300.0
_DATE: Final = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_AUTHORIZATION: Final = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([\w.+=@-]+)/([0-9]{8})/([\w-]+)/([\w-]+)/aws4_request,"
    r"\s*SignedHeaders=([a-z0-9;-]+),\s*Signature=([0-9a-f]{64})",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """What the signature of an HTTP request covers. Header names in lower case; path: with its query."""

    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Caller:
    account: str
    user: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Why authentication failed: a code as JSON services name it, and a sentence."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class _Claim:
    """The content of an Authorization header."""

    access_key: str
    day: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str
    signed_at: str


class Signatures:
    """Identifies the caller by the credentials. Without any credentials, it accepts every caller."""

    def __init__(self, options: Options) -> None:
        self._known = {credential.access_key: credential for credential in options.credentials}
        self._expired = frozenset(options.expired_credentials)

    def check(self, request: SignedRequest, service: str, now: float) -> Caller | Refused:
        """now: epoch seconds by the clock of the service."""
        claim = _claim(request)
        if not self._known:
            return Caller(DEFAULT_ACCOUNT, claim.access_key if isinstance(claim, _Claim) else "anyone")
        if isinstance(claim, Refused):
            return claim
        credential = self._known.get(claim.access_key)
        if credential is None:
            return Refused("UnrecognizedClientException", "The security token in the request is invalid.")
        if claim.access_key in self._expired:
            return Refused("ExpiredTokenException", "The security token in the request is expired.")
        reason = (
            _wrong_scope(claim, service)
            or _wrong_time(claim, now)
            or _wrong_signature(claim, request, credential)
        )
        return (
            Refused("InvalidSignatureException", reason)
            if reason
            else Caller(credential.account, claim.access_key)
        )


def _claim(request: SignedRequest) -> _Claim | Refused:
    authorization = request.headers.get("authorization")
    if authorization is None:
        return Refused("MissingAuthenticationToken", "The request has no Authorization header.")
    read = _AUTHORIZATION.fullmatch(authorization)
    signed_at = request.headers.get("x-amz-date", "")
    if read is None or not _DATE.fullmatch(signed_at):
        return Refused("IncompleteSignature", "A part of the Authorization header or X-Amz-Date is missing.")
    access_key, day, region, service, headers, signature = read.groups()
    return _Claim(access_key, day, region, service, tuple(headers.split(";")), signature, signed_at)


def _wrong_scope(claim: _Claim, service: str) -> str | None:
    # STS answers in every region; Partner Central has only one.
    if claim.service == service and (service == STS or claim.region == _REGION):
        return None
    return f"Credential should be scoped to the service {service} in {_REGION}."


def _wrong_time(claim: _Claim, now: float) -> str | None:
    try:
        signed_at = datetime.strptime(claim.signed_at, SIGV4_TIMESTAMP).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return f"X-Amz-Date is not a time: {claim.signed_at}."
    clock = datetime.fromtimestamp(now, UTC).strftime(SIGV4_TIMESTAMP)
    if now - signed_at > _SKEW:
        return f"Signature expired: {claim.signed_at} is now earlier than {clock} - 5 min."
    if signed_at - now > _SKEW:
        return f"Signature not yet current: {claim.signed_at} is still later than {clock} + 5 min."
    return None


def _wrong_signature(claim: _Claim, request: SignedRequest, credential: Credential) -> str | None:
    body_sha256 = request.headers.get("x-amz-content-sha256")
    if body_sha256 is not None and body_sha256 != hashlib.sha256(request.body).hexdigest():
        return "X-Amz-Content-SHA256 does not match the body."
    if not claim.signed_at.startswith(claim.day) or "host" not in claim.signed_headers:
        return "The signature does not cover the date or the host."
    headers = {name: request.headers.get(name, "") for name in claim.signed_headers}
    again = AWSRequest("POST", f"http://{headers['host']}{request.path}", headers, request.body)
    again.context["timestamp"] = claim.signed_at
    signer = SigV4Auth(Credentials(credential.access_key, credential.secret_key), claim.service, claim.region)
    text = signer.string_to_sign(again, signer.canonical_request(again))
    if hmac.compare_digest(signer.signature(text, again), claim.signature):
        return None
    return "The request signature we calculated does not match the signature you provided."
