"""Every row of the table of answers in partner-central.md."""

from __future__ import annotations

import pytest

from bulk_invite.domain.classify import NO_ID, ODD_ID, classify, is_unfamiliar, signal
from bulk_invite.domain.rows import RowError
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
)


def test_an_id_means_created_whatever_the_arn_looks_like() -> None:
    answer = HttpAnswer(200, invitation_id="engi-1", arn="not an arn at all")
    assert classify(answer) == Created("engi-1", "not an arn at all")


def test_success_without_an_id_is_doubt() -> None:
    assert classify(HttpAnswer(200)) == Doubtful(NO_ID)
    assert classify(HttpAnswer(200, ODD_ID)) == Doubtful(ODD_ID)


@pytest.mark.parametrize(
    "code",
    ["ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded", "SlowDown"],
)
@pytest.mark.parametrize("status", [400, 429, 503])
def test_a_throttling_code_takes_precedence_over_the_status(code: str, status: int) -> None:
    assert classify(HttpAnswer(status, code=code, retry_after=1.5)) == Throttled(code, 1.5)


def test_status_429_is_a_throttle_whatever_its_code() -> None:
    assert classify(HttpAnswer(429, code="429")) == Throttled("429", None)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (500, "InternalServerException"),
        (400, "InternalServerException"),
        (500, "500"),
        (502, "502"),
        (503, "ServiceUnavailable"),
        (504, "GatewayTimeout"),
        (599, "AccessDeniedException"),
        (408, "RequestTimeoutException"),
        (400, "RequestTimeoutException"),
        (408, "408"),
    ],
)
def test_server_errors_are_doubt(status: int, code: str) -> None:
    assert classify(HttpAnswer(status, code=code)) == Doubtful(code)


@pytest.mark.parametrize(
    "code",
    [
        "ConflictException",
        "ServiceQuotaExceededException",
        "ValidationException",
        "ResourceNotFoundException",
    ],
)
def test_a_refusal_code_with_another_status_is_classified_by_the_status(code: str) -> None:
    assert classify(HttpAnswer(502, code=code)) == Doubtful("502")
    assert classify(HttpAnswer(429, code=code, retry_after=1.0)) == Throttled("429", 1.0)
    assert classify(HttpAnswer(302, code=code)) == Unknown("Unfamiliar.302")


@pytest.mark.parametrize(
    ("code", "verdict"),
    [
        ("ServiceQuotaExceededException", EngagementFull("ServiceQuotaExceededException")),
        ("ConflictException", Conflict("ConflictException")),
        ("ResourceNotFoundException", Refused("ResourceNotFoundException")),
        ("ValidationException", Refused("ValidationException")),
        ("AccessDeniedException", Denied("AccessDeniedException", whole_account=False)),
    ],
)
def test_modelled_refusals(code: str, verdict: Verdict) -> None:
    assert classify(HttpAnswer(400, code=code)) == verdict


def test_validation_keeps_every_entry_of_the_list() -> None:
    errors = (RowError("$.A", "INVALID", "no"), RowError("$.B", "NEW_CODE", "neither"))
    assert classify(HttpAnswer(400, code="ValidationException", errors=errors)) == Refused(
        "ValidationException", errors
    )


def test_a_denial_with_the_accounts_reason_concerns_the_whole_account() -> None:
    answer = HttpAnswer(400, code="AccessDeniedException", reason="INCOMPATIBLE_BENEFIT_AWS_PARTNER_STATE")
    assert classify(answer) == Denied("AccessDeniedException", whole_account=True)


@pytest.mark.parametrize("status", [400, 401, 403])
@pytest.mark.parametrize(
    "code",
    [
        "ExpiredToken",
        "ExpiredTokenException",
        "UnrecognizedClientException",
        "InvalidSignatureException",
        "IncompleteSignature",
        "RequestExpired",
        "InvalidClientTokenId",
        "OptInRequired",
        "NotAuthorized",
        "SubscriptionRequired",
    ],
)
def test_credential_and_clock_errors_are_the_senders(status: int, code: str) -> None:
    assert classify(HttpAnswer(status, code=code)) == SenderRefused(code)


@pytest.mark.parametrize(
    ("status", "code"), [(302, "302"), (404, "404"), (403, "403"), (413, "413"), (400, "TeapotException")]
)
def test_an_answer_outside_the_tables_is_unknown(status: int, code: str) -> None:
    assert classify(HttpAnswer(status, code=code)) == Unknown(f"Unfamiliar.{code}")
    page = HttpAnswer(status, code=code, content_type="text/html", length=5000)
    assert classify(page) == Unknown(f"Unfamiliar.{code}.text-html")
    assert (is_unfamiliar(f"Unfamiliar.{code}.text-html"), is_unfamiliar(code)) == (True, False)


@pytest.mark.parametrize(
    "exceptions",
    [
        ("EndpointConnectionError", "ClientConnectorError"),
        ("EndpointConnectionError", "ClientConnectorDNSError"),
        ("ConnectTimeoutError", "ConnectionTimeoutError"),
        ("ConnectTimeoutError",),
        ("SSLError", "ClientConnectorSSLError"),
        ("SSLError", "ClientConnectorCertificateError"),
        ("ProxyConnectionError", "ClientProxyConnectionError"),
        ("ProxyConnectionError", "ClientHttpProxyError"),
    ],
)
def test_a_call_that_never_left_is_unreachable(exceptions: tuple[str, ...]) -> None:
    assert classify(NoAnswer(exceptions)) == Unreachable(exceptions[-1])


@pytest.mark.parametrize(
    "exceptions",
    [
        ("EndpointConnectionError", "ClientOSError"),  # a reset after the request was received
        ("EndpointConnectionError", "ClientConnectionResetError"),
        ("ConnectionClosedError", "ServerDisconnectedError"),
        ("ConnectionClosedError", "ClientPayloadError"),
        ("ReadTimeoutError", "SocketTimeoutError"),
        ("ReadTimeoutError",),
        ("HTTPClientError", "ValueError"),
        ("ResponseParserError",),
        ("TimeoutError",),
    ],
)
def test_a_call_that_broke_off_leaves_doubt(exceptions: tuple[str, ...]) -> None:
    assert classify(NoAnswer(exceptions)) == Doubtful(exceptions[-1])


@pytest.mark.parametrize(
    "name",
    [
        "NoCredentialsError",
        "PartialCredentialsError",
        "CredentialRetrievalError",
        "UnauthorizedSSOTokenError",
    ],
)
def test_missing_credentials_are_the_senders(name: str) -> None:
    assert classify(NoAnswer((name,))) == SenderRefused(name)


def test_an_unexpected_exception_is_unknown() -> None:
    assert classify(NoAnswer(("ZeroDivisionError",))) == Unknown("Unfamiliar.ZeroDivisionError")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (HttpAnswer(200, invitation_id="engi-1"), Signal.SUCCESS),
        (HttpAnswer(400, code="ThrottlingException"), Signal.THROTTLED),
        (HttpAnswer(429, code="429"), Signal.THROTTLED),
        (HttpAnswer(400, code="ServiceQuotaExceededException"), Signal.IGNORED),
        (HttpAnswer(400, code="ValidationException"), Signal.IGNORED),
        (HttpAnswer(500, code="InternalServerException"), Signal.IGNORED),
        (NoAnswer(("ReadTimeoutError",)), Signal.IGNORED),
    ],
)
def test_only_throttles_signal_against_the_rate(answer: Answer, expected: Signal) -> None:
    assert signal(classify(answer)) is expected
