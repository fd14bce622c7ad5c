"""Classify every answer. This is the only module that interprets error codes.

After an attempt only three things are certain: an Id came back (created), the service refused (not created),
or the request never left (not sent). Everything else is in doubt, and doubt is never resolved by guessing.
ThrottlingException arrives as HTTP 400, so the error code takes precedence over the status.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, assert_never

from bulk_invite.domain.verdicts import (
    Answer,
    Conflict,
    Created,
    Denied,
    Doubtful,
    EngagementFull,
    HttpAnswer,
    NoAnswer,
    Refused,
    SenderRefused,
    Signal,
    Throttled,
    Unknown,
    Unreachable,
    Verdict,
    Withheld,
)

NO_ID: Final = "SuccessWithoutId"
ODD_ID: Final = "SuccessWithOddId"
"""The answer holds an Id that is not a valid one."""

ID_OF_ANOTHER: Final = "IdOfAnotherRow"
"""The returned Id belongs to another row, for example because a proxy served a cached response."""

CONFLICT: Final = "ConflictException"
FULL: Final = "ServiceQuotaExceededException"

CREDENTIALS_REFUSED: Final = "CredentialsRefused"
"""Renewing the credentials was refused before anything was sent."""

CREDENTIALS_NOT_RENEWED: Final = "CredentialsNotRenewed"
"""Renewing the credentials failed temporarily before anything was sent."""

WITHHELD: Final = "Withheld"
"""The call was withheld immediately before its first byte: see `clearance`."""

PROXY_UNREACHABLE: Final = "ProxyNotReached"
"""The proxy, not the endpoint, could not be reached."""

UNASKED: Final = "AnswerBeforeRequest"
"""Data was already in the connection before the request was written: it belongs to no request or to another
one."""

_THROTTLED: Final = frozenset(
    {
        "ThrottlingException",
        "Throttling",
        "ThrottledException",
        "RequestThrottled",
        "RequestThrottledException",
        "TooManyRequestsException",
        "RequestLimitExceeded",
        "SlowDown",
    }
)
_DOUBTFUL: Final = frozenset(
    {
        "InternalServerException",
        "InternalFailure",
        "InternalServerError",
        "RequestTimeoutException",
        "RequestTimeout",
        "ServiceUnavailable",
        "ServiceUnavailableException",
    }
)
_SENDER: Final = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "UnrecognizedClientException",
        "InvalidSignatureException",
        "SignatureDoesNotMatch",
        "IncompleteSignature",
        "IncompleteSignatureException",
        "RequestExpired",
        "InvalidClientTokenId",
        "OptInRequired",
        "NotAuthorized",
        "SubscriptionRequired",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "AuthFailure",
        "InvalidToken",
    }
)
_REFUSED: Final = frozenset({"ValidationException", "ResourceNotFoundException"})
REFUSALS: Final = _REFUSED | {CONFLICT}
"""Codes that refuse the content of a row."""

NOES: Final = REFUSALS | {FULL}
"""Codes that refuse a row, permanently or for now."""

_DENIED: Final = frozenset({"AccessDeniedException", "AccessDenied"})

KNOWN_CODES: Final = _THROTTLED | _DOUBTFUL | _SENDER | NOES | _DENIED
"""Codes in this table; any other code is arbitrary text."""

# Exceptions of botocore, aiobotocore and aiohttp, by class name so that this module imports none of them.
# aiobotocore raises EndpointConnectionError both for a refused connection and for a reset after the request
# was received: only the cause tells them apart.
_NOT_SENT: Final = frozenset(
    {
        "ClientConnectorError",
        "ClientConnectorDNSError",
        "ClientConnectorSSLError",
        "ClientConnectorCertificateError",
        "ClientProxyConnectionError",
        "ConnectTimeoutError",
        "SSLError",
        "ProxyConnectionError",
        CREDENTIALS_NOT_RENEWED,
        PROXY_UNREACHABLE,
        UNASKED,
    }
)
_NO_CREDENTIALS: Final = frozenset(
    {
        "NoCredentialsError",
        "PartialCredentialsError",
        "CredentialRetrievalError",
        "TokenRetrievalError",
        "SSOTokenLoadError",
        "SSOError",
        "UnauthorizedSSOTokenError",
        "NoAuthTokenError",
        "RefreshWithMFAUnsupportedError",
        "InfiniteLoopConfigError",
        CREDENTIALS_REFUSED,
    }
)
_BROKEN_OFF: Final = frozenset(
    {
        "EndpointConnectionError",
        "ConnectionClosedError",
        "ReadTimeoutError",
        "HTTPClientError",
        "ConnectionError",
        "ResponseParserError",
        "ResponseStreamingError",
        "IncompleteReadError",
        "TimeoutError",
        "ClientError",
    }
)

_UNFAMILIAR: Final = "Unfamiliar."

_CATCH_ALL: Final = "HTTPClientError"
"""aiobotocore's name for any other failure; the name of the wrapped exception proves nothing."""

_BAD_REQUEST: Final = 400
_REQUEST_TIMEOUT: Final = 408
_TOO_MANY_REQUESTS: Final = 429
_SERVER_ERROR: Final = 500


def classify(answer: Answer) -> Verdict:
    match answer:
        case HttpAnswer():
            return _classify_http(answer)
        case NoAnswer():
            return _classify_silence(answer)
        case _:  # pragma: no cover
            assert_never(answer)


def signal(verdict: Verdict) -> Signal:
    """Return the pacing signal: server errors, timeouts and refusals never move the rate."""
    match verdict:
        case Created():
            return Signal.SUCCESS
        case Throttled():
            return Signal.THROTTLED
        case _:
            return Signal.IGNORED


def is_unfamiliar(code: str) -> bool:
    """Whether a stored code stands for an unrecognized answer."""
    return code.startswith(_UNFAMILIAR)


def _classify_http(answer: HttpAnswer) -> Verdict:
    verdict = _judge(answer)
    if answer.code in NOES and isinstance(verdict, Throttled | Doubtful | Unknown):
        # Lookups rely on the code of the last refusal, and this answer is not a refusal.
        verdict = replace(verdict, code=str(answer.status))
    if isinstance(verdict, Unknown):
        return replace(verdict, code=_unfamiliar(verdict.code, answer.content_type))
    return verdict


def _unfamiliar(code: str, content_type: str = "") -> str:
    """The stored code of an unrecognized answer: its code or status, and its media type."""
    return ".".join(filter(None, (_UNFAMILIAR + code, content_type.replace("/", "-"))))


def _judge(answer: HttpAnswer) -> Verdict:
    code, status = answer.code, answer.status
    if code in _THROTTLED or status == _TOO_MANY_REQUESTS:
        return Throttled(code, answer.retry_after)
    if code in _DOUBTFUL or status == _REQUEST_TIMEOUT or status >= _SERVER_ERROR:
        return Doubtful(code)
    if status < _BAD_REQUEST:
        return _classify_success(answer)
    return _classify_refusal(answer)


def _classify_success(answer: HttpAnswer) -> Verdict:
    if answer.status >= 300:  # noqa: PLR2004 - a redirect is not a success, and the API documents none
        return Unknown(answer.code)
    # Accept any Arn: real ones do not match the modelled pattern.
    if answer.invitation_id:
        return Created(answer.invitation_id, answer.arn)
    return Doubtful(answer.code or NO_ID)


def _classify_refusal(answer: HttpAnswer) -> Verdict:
    code = answer.code
    if code in _SENDER:
        return SenderRefused(code)
    if code in _REFUSED:
        return Refused(code, answer.errors)
    if code in _DENIED:
        # The model knows a single Reason, and it concerns the account, not the engagement.
        return Denied(code, whole_account=bool(answer.reason))
    if code == CONFLICT:
        return Conflict(code)
    if code == FULL:
        return EngagementFull(code)
    return Unknown(code)


def _classify_silence(answer: NoAnswer) -> Verdict:
    if answer.code == WITHHELD:
        return Withheld(answer.code)
    if answer.fault is not None:
        return (
            Unreachable(answer.code)
            if answer.fault.is_transient
            else SenderRefused(answer.code, answer.fault)
        )
    verdict = _named(answer)
    if answer.started or not isinstance(verdict, Doubtful | Unknown):
        return verdict
    # Nothing was sent, so the row is not in doubt. An unknown failure is not retried: it stops the run.
    return Unreachable(answer.code) if isinstance(verdict, Doubtful) else SenderRefused(answer.code)


def _named(answer: NoAnswer) -> Verdict:
    """Classify a call that may have left by the names of its exceptions."""
    if answer.exceptions[0] == _CATCH_ALL:
        return Doubtful(answer.code)
    names = set(answer.exceptions)
    if names & _NO_CREDENTIALS:
        return SenderRefused(answer.code)
    if names & _NOT_SENT:
        return Unreachable(answer.code)
    if names & _BROKEN_OFF:
        return Doubtful(answer.code)
    return Unknown(_unfamiliar(answer.code))
