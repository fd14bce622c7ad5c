"""What every answer means. The one table; nobody else looks at error codes.

Theory: only three things are ever known after an attempt: an Id came back (created), the service said no
(not created), or the request never left (not sent). Everything else is doubt, and doubt is not guessed away.
ThrottlingException arrives as HTTP 400, so the error code decides before the status does.
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
"""An Id of no form that an Id can have."""

ID_OF_ANOTHER: Final = "IdOfAnotherRow"
"""The Id that came belongs to another row, as from a proxy that answers out of its memory."""

CONFLICT: Final = "ConflictException"
FULL: Final = "ServiceQuotaExceededException"

CREDENTIALS_REFUSED: Final = "CredentialsRefused"
"""Renewing the credentials was refused, before anything was sent."""

CREDENTIALS_NOT_RENEWED: Final = "CredentialsNotRenewed"
"""Renewing the credentials failed for the moment, before anything was sent."""

WITHHELD: Final = "Withheld"
"""The call was held back right before its first byte: see `clearance`."""

PROXY_UNREACHABLE: Final = "ProxyNotReached"
"""It was not the endpoint that could not be connected to."""

UNASKED: Final = "AnswerBeforeRequest"
"""What lay in the connection before a byte of the request was written: it answers nothing, or another one."""

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
"""Codes that are a no to what a row asks."""

NOES: Final = REFUSALS | {FULL}
"""Codes that are a no to the row as things are."""

_DENIED: Final = frozenset({"AccessDeniedException", "AccessDenied"})

KNOWN_CODES: Final = _THROTTLED | _DOUBTFUL | _SENDER | NOES | _DENIED
"""Codes that stand in this table; any other is a text that somebody chose."""

# Exceptions of botocore, aiobotocore and aiohttp, by class name so that this module needs none of them.
# aiobotocore raises EndpointConnectionError both for a refused connection and for a reset after the
# request was received: only the cause tells them apart.
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
"""aiobotocore's name for whatever else went wrong; the name of the exception inside proves nothing."""

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
    """What the pacing learns: 5xx, timeouts and refusals never move the rate."""
    match verdict:
        case Created():
            return Signal.SUCCESS
        case Throttled():
            return Signal.THROTTLED
        case _:
            return Signal.IGNORED


def is_unfamiliar(code: str) -> bool:
    """Whether a code that was kept stands for an answer that is in no table."""
    return code.startswith(_UNFAMILIAR)


def is_counted(verdict: Verdict) -> bool:
    """Whether the service may count the call by the day: all that it has not turned away at the door."""
    return not isinstance(verdict, Throttled | Unreachable | Withheld | SenderRefused)


def _classify_http(answer: HttpAnswer) -> Verdict:
    verdict = _judge(answer)
    if answer.code in NOES and isinstance(verdict, Throttled | Doubtful | Unknown):
        # A look-up goes by what the last attempt was refused with: this was not refused.
        verdict = replace(verdict, code=str(answer.status))
    if isinstance(verdict, Unknown):
        return replace(verdict, code=_unfamiliar(verdict.code, answer.content_type))
    return verdict


def _unfamiliar(code: str, content_type: str = "") -> str:
    """What is kept of such an answer: its code or status, and the kind of its body."""
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
    if answer.status >= 300:  # noqa: PLR2004 - a redirect is no success, and nobody documents one here
        return Unknown(answer.code)
    # The Arn is taken as it comes: real ones do not match the modelled pattern.
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
        # The model knows a single Reason, and it speaks of the account, not of the engagement.
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
        return Unreachable(answer.code) if answer.fault.passes else SenderRefused(answer.code, answer.fault)
    verdict = _named(answer)
    if answer.started or not isinstance(verdict, Doubtful | Unknown):
        return verdict
    # Nothing has left, so it is nobody's doubt; and what nobody knows is not waited for.
    return Unreachable(answer.code) if isinstance(verdict, Doubtful) else SenderRefused(answer.code)


def _named(answer: NoAnswer) -> Verdict:
    """What the names of the exceptions say of a call that may have left."""
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
