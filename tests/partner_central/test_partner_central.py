"""Real aioboto3 over sockets: every answer of the service, every failure of a call, and their meaning."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from clearances import cleared
from command import (
    CREATED,
    CREDENTIALS,
    Reply,
    ScriptedServer,
    Then,
    always,
    emulator,
    free_port,
    http,
    refusal,
)
from listening_plugin import PLAIN_WAY
from rows import make_row

from bulk_invite.domain.classify import NO_ID, ODD_ID, classify
from bulk_invite.domain.errors import SenderError
from bulk_invite.domain.records import Owner
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
    Throttled,
    Unknown,
    Unreachable,
    Verdict,
)
from bulk_invite.partner_central import Connection, PartnerCentral, connect
from bulk_invite.partner_central.connection import SERVICE, loader
from bulk_invite.rehearsal.emulator.credentials import Credential
from bulk_invite.validation import service_model

pytestmark = pytest.mark.anyio

LATE = Reply(CREATED, after=5.0)


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    # The loop that `send` runs on: it has its own exceptions.
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(autouse=True)
def _own_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in tuple(os.environ):
        if name.startswith("AWS_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    nowhere = dict.fromkeys(("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"), os.devnull)
    for name, value in {**nowhere, **CREDENTIALS, "AWS_EC2_METADATA_DISABLED": "true"}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(params=["prepared", "plain"])
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways of a call keep the same promises."""
    if request.param == "plain":
        for name, value in PLAIN_WAY.items():
            monkeypatch.setenv(name, value)


def connection(url: str | None, **changes: Any) -> Connection:
    usual = {"region": "us-east-1", "profile": None, "model": None, "in_flight": 4, "deadline": 10.0}
    return Connection(endpoint_url=url, **{"catalog": "Sandbox", **usual, **changes})


def body(number: int = 0, token: str = "a-token") -> bytes:
    return json.dumps(make_row(number, Catalog="Sandbox", ClientToken=token)).encode()


async def create(url: str, **changes: Any) -> Answer:
    async with connect(connection(url, **changes)) as partner_central:
        return await partner_central.create(body(), cleared())


async def judged(url: str, **changes: Any) -> Verdict:
    return classify(await create(url, **changes))


HTML = http(200, b"<html>Sign in to the guest network</html>", content_type="text/html")
TRUNCATED = http(200, {"Id": "engi-0123456789abc", "Arn": "arn:aws:any"})[:-10]
ANSWERS = {
    "created": (CREATED, Created("engi-0123456789abc", "arn:aws:any")),
    "created without Arn": (http(200, {"Id": "engi-1"}), Created("engi-1", "")),
    "200 with {}": (http(200, {}), Doubtful(NO_ID)),
    "200 with nothing": (http(200, b""), Doubtful(NO_ID)),
    "200 with null for Id": (http(200, {"Id": None}), Doubtful(NO_ID)),
    "throttled": (refusal("ThrottlingException"), Throttled("ThrottlingException", None)),
    "throttled, with a wait": (
        refusal("ThrottlingException", headers={"x-amz-retry-after": "2500"}),
        Throttled("ThrottlingException", 2.5),
    ),
    "throttled, with nonsense for a wait": (
        refusal("ThrottlingException", headers={"x-amz-retry-after": "soon"}),
        Throttled("ThrottlingException", None),
    ),
    "throttled, with a wait beyond all numbers": (
        refusal("ThrottlingException", headers={"x-amz-retry-after": "9" * 400}),
        Throttled("ThrottlingException", float("inf")),
    ),
    "SlowDown": (refusal("SlowDown", status=503), Throttled("SlowDown", None)),
    "429 without a body": (http(429, b""), Throttled("429", None)),
    "InternalServerException": (
        refusal("InternalServerException", status=500),
        Doubtful("InternalServerException"),
    ),
    "408": (refusal("RequestTimeoutException", status=408), Doubtful("RequestTimeoutException")),
    "502 with HTML": (http(502, b"<html>Bad Gateway</html>", content_type="text/html"), Doubtful("502")),
    "503 with nothing": (http(503, b""), Doubtful("503")),
    "refused, with an empty entry": (
        refusal("ValidationException", ErrorList=[None]),
        Refused("ValidationException"),
    ),
    "quota": (
        refusal("ServiceQuotaExceededException", Message="9 partners"),
        EngagementFull("ServiceQuotaExceededException"),
    ),
    "conflict": (refusal("ConflictException"), Conflict("ConflictException")),
    "not found": (refusal("ResourceNotFoundException"), Refused("ResourceNotFoundException")),
    "denied": (refusal("AccessDeniedException"), Denied("AccessDeniedException", whole_account=False)),
    "denied, with a reason": (
        refusal("AccessDeniedException", Reason="INCOMPATIBLE_BENEFIT_AWS_PARTNER_STATE"),
        Denied("AccessDeniedException", whole_account=True),
    ),
    "expired": (refusal("ExpiredTokenException", status=403), SenderRefused("ExpiredTokenException")),
    "unknown key": (
        refusal("UnrecognizedClientException", status=403),
        SenderRefused("UnrecognizedClientException"),
    ),
    "invalid signature": (
        refusal("InvalidSignatureException", status=403),
        SenderRefused("InvalidSignatureException"),
    ),
    "418": (http(418, {"tea": "pot"}), Unknown("Unfamiliar.418.application-x-amz-json-1.0")),
    "an error of tomorrow": (
        refusal("QuantumException"),
        Unknown("Unfamiliar.QuantumException.application-x-amz-json-1.0"),
    ),
    "the page of a firewall": (
        http(403, b"<html>Blocked. Incident 4711.</html>", content_type="text/html; charset=utf-8"),
        Unknown("Unfamiliar.403.text-html"),
    ),
    "too large for somebody": (http(413, b"", content_type="Jane Doe/x"), Unknown("Unfamiliar.413")),
    "an Id with a line end": (http(200, {"Id": "engi-1\nengi-2"}), Doubtful(ODD_ID)),
    "an Id with U+0000": (http(200, {"Id": "engi-\0"}), Doubtful(ODD_ID)),
    "an Id that moves the cursor": (http(200, {"Id": "\x1b[2Jengi-1"}), Doubtful(ODD_ID)),
    "an Id of half a character": (http(200, {"Id": "engi-\ud800"}), Doubtful(ODD_ID)),
    "a long Id": (http(200, {"Id": "e" * 256}), Doubtful(ODD_ID)),
    "a longer Id": (http(200, {"Id": "e" * 300_000}), Doubtful(ODD_ID)),
    "an Id and an odd Arn": (http(200, {"Id": "engi-1", "Arn": "arn:\0 aws"}), Created("engi-1", "")),
    "an Id and a long Arn": (http(200, {"Id": "engi-1", "Arn": "a" * 2049}), Created("engi-1", "")),
    "a redirect to nowhere": (http(302, b""), Unknown("Unfamiliar.302.application-x-amz-json-1.0")),
}


@pytest.mark.usefixtures("_way")
async def test_every_answer_is_classified_by_the_table_after_one_request() -> None:
    with ScriptedServer(lambda request: Reply(ANSWERS[request.json["ClientToken"]][0])) as server:
        async with connect(connection(server.url)) as partner_central:
            verdicts = {
                name: classify(await partner_central.create(body(token=name), cleared())) for name in ANSWERS
            }
    assert verdicts == {name: verdict for name, (_, verdict) in ANSWERS.items()}
    assert [request.json["ClientToken"] for request in server.creates] == list(ANSWERS)


@pytest.mark.parametrize("status", [302, 307])
@pytest.mark.usefixtures("_way")
async def test_a_redirect_is_not_followed(status: int) -> None:
    with ScriptedServer(always(CREATED)) as elsewhere:
        with ScriptedServer(always(http(status, b"", Location=elsewhere.url))) as server:
            assert await judged(server.url) == Unknown(f"Unfamiliar.{status}.application-x-amz-json-1.0")
        assert not elsewhere.creates + elsewhere.others


BREAKS = {
    "an HTML page for a success": Reply(HTML),
    "half of a success": Reply(TRUNCATED, Then.CLOSE),
    "half of the headers": Reply(b"HTTP/1.1 200 OK\r\nContent-Le", Then.CLOSE),
    "half of a success, then a reset": Reply(TRUNCATED, Then.RESET),
    "a success that is no JSON": Reply(http(200, b'{"Id": "engi-')),
    "a success in Latin-1": Reply(http(200, b"<html>caf\xe9</html>", content_type="text/html")),
    "a success that is a list": Reply(http(200, [])),
    "a success that is null": Reply(http(200, None)),
    "a success of endless brackets": Reply(http(200, b"[" * 100_000)),
    "a refusal that is a text": Reply(http(400, "No.")),
    "a refusal of a strange type": Reply(http(400, {"__type": 5})),
    "headers in Latin-1": Reply(b"HTTP/1.1 200 OK\r\nX: caf\xe9\r\nContent-Length: 2\r\n\r\n{}"),
    "headers without end": Reply(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000 + b"\r\n\r\n"),
    "no HTTP": Reply(b"220 mail.example.com ESMTP\r\n", Then.CLOSE),
    "an error that is no JSON": Reply(http(500, b'{"__type":')),
    "an Id of two megabytes": Reply(http(200, {"Id": "e" * 2_000_000})),
    "two megabytes that nobody needs": Reply(http(200, {"Id": "engi-1", "Else": "e" * 2_000_000})),
    "a refusal of two megabytes": Reply(refusal("ValidationException", Message="e" * 2_000_000)),
    "no end of headers": Reply(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200_000),
    "closed": Reply(then=Then.CLOSE),
    "reset": Reply(then=Then.RESET),
    "late": LATE,
    "late in the middle": Reply(TRUNCATED),
}


@pytest.mark.usefixtures("_way")
async def test_a_call_that_may_have_arrived_is_doubtful_after_one_request() -> None:
    with ScriptedServer(lambda request: BREAKS[request.json["ClientToken"]]) as server:
        async with connect(connection(server.url, deadline=1.0)) as partner_central:
            verdicts = {
                name: classify(await partner_central.create(body(token=name), cleared())) for name in BREAKS
            }
    assert [name for name, verdict in verdicts.items() if not isinstance(verdict, Doubtful)] == []
    assert [request.json["ClientToken"] for request in server.creates] == list(BREAKS)


@pytest.mark.usefixtures("_way")
async def test_a_late_answer_is_given_up_at_the_deadline() -> None:
    with ScriptedServer(always(LATE)) as server:
        began = anyio.current_time()
        await judged(server.url, deadline=0.4)
        assert 0.4 <= anyio.current_time() - began < 2.0


async def test_a_stale_pooled_connection_leaves_doubt() -> None:
    # The server closes after its answer without saying so; the second call may run into that.
    with ScriptedServer(always(Reply(CREATED, Then.CLOSE))) as server:
        async with connect(connection(server.url)) as partner_central:
            verdicts = [classify(await partner_central.create(body(), cleared())) for _ in range(3)]
    assert isinstance(verdicts[0], Created)
    # It may be seen before a byte has left, or after.
    assert all(isinstance(verdict, Created | Doubtful | Unreachable) for verdict in verdicts)


@contextmanager
def _full_backlog() -> Iterator[str]:
    """A server that has stopped to accept connections: the kernel drops what else comes."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(server.getsockname())
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def _without_credentials() -> Iterator[str]:
    yield f"http://127.0.0.1:{free_port()}"


@contextmanager
def _no_such_host() -> Iterator[str]:
    yield "http://partner-central.invalid"


@contextmanager
def _no_tls() -> Iterator[str]:
    with ScriptedServer(always(CREATED)) as server:
        yield server.url.replace("http:", "https:")


@pytest.mark.parametrize("endpoint", [_full_backlog, _without_credentials, _no_such_host, _no_tls])
@pytest.mark.usefixtures("_way")
async def test_an_unreachable_endpoint_leaves_no_doubt(endpoint: Any) -> None:
    with endpoint() as url:
        async with connect(connection(url, deadline=2.0)) as partner_central:
            verdict = classify(await partner_central.create(body(), cleared()))
    assert isinstance(verdict, Unreachable), verdict


@pytest.mark.parametrize("endpoint", [_without_credentials, _no_such_host])
async def test_identifying_the_account_reports_an_endpoint_that_is_down(endpoint: Any) -> None:
    with endpoint() as url:
        async with connect(connection(url)) as partner_central:
            assert isinstance(await partner_central.identify(), Unreachable)


@pytest.mark.usefixtures("_way")
async def test_every_error_of_a_refused_request_is_kept() -> None:
    entries = [
        {"FieldName": "$.Invitation.Message", "Message": "Too rude", "Code": "INVALID_VALUE"},
        {"FieldName": "Invitation.Receiver", "Message": "Nobody", "Code": "CODE_OF_TOMORROW"},
        {"FieldName": "", "Message": "Something"},
        {"FieldName": "a\x1b[2J", "Message": "Control", "Code": "with spaces"},
    ]
    answer = refusal(
        "ValidationException", Message="m", Reason="REQUEST_VALIDATION_FAILED", ErrorList=entries
    )
    with ScriptedServer(always(answer)) as server:
        assert await judged(server.url) == Refused(
            "ValidationException",
            (
                RowError("$.Invitation.Message", "INVALID_VALUE", "Too rude"),
                RowError("$.Invitation.Receiver", "CODE_OF_TOMORROW", "Nobody"),
                RowError("$", "unnamed", "Something"),
                RowError("$", "unnamed", "Control"),
            ),
        )


@pytest.mark.usefixtures("_way")
async def test_the_request_id_is_kept_and_only_if_well_formed() -> None:
    plain = http(200, {"Id": "engi-1"}, **{"x-amzn-RequestId": "0a1b-2c3d"})
    odd = http(200, {"Id": "engi-1"}, **{"x-amzn-RequestId": "an id <script>"})
    with ScriptedServer(always(plain, odd)) as server:
        async with connect(connection(server.url)) as partner_central:
            answers = [await partner_central.create(body(), cleared()) for _ in range(2)]
    assert [answer.request_id for answer in answers if isinstance(answer, HttpAnswer)] == ["0a1b-2c3d", ""]


@pytest.mark.usefixtures("_way")
async def test_a_second_attempt_equals_the_first_byte_for_byte() -> None:
    given = body(1, "given: token/ä~1")
    with ScriptedServer(always(Reply(then=Then.RESET), refusal("ThrottlingException"), CREATED)) as server:
        async with connect(connection(server.url)) as partner_central:
            for _ in range(3):
                await partner_central.create(given, cleared())
        first, *others = [request.body for request in server.creates]
    assert others == [first, first]
    assert json.loads(first) == json.loads(given)


async def test_many_calls_at_once_each_get_their_own_answer() -> None:
    with ScriptedServer(lambda request: Reply(http(200, {"Id": request.json["ClientToken"]}))) as server:
        answers: dict[str, Answer] = {}

        async def call(partner_central: PartnerCentral, token: str) -> None:
            answers[token] = await partner_central.create(body(1, token), cleared())

        async with (
            connect(connection(server.url, in_flight=8)) as partner_central,
            anyio.create_task_group() as group,
        ):
            for number in range(8):
                group.start_soon(call, partner_central, f"token-{number}")
    assert {token: classify(answer) for token, answer in answers.items()} == {
        token: Created(token, "") for token in answers
    }
    assert len(answers) == 8


@pytest.mark.usefixtures("_way")
async def test_both_payload_types_are_sent_with_a_valid_signature() -> None:
    with emulator(credentials=(Credential("AKIDEXAMPLE", "example"),)) as service:
        async with connect(connection(service.url)) as partner_central:
            answers = [
                await partner_central.create(body(number, f"token-{number}"), cleared())
                for number in range(2)
            ]
        ledger = service.invitations()
    assert [entry["payload_type"] for entry in ledger] == ["OpportunityInvitation", "LeadInvitation"]
    assert [classify(answer) for answer in answers] == [
        Created(entry["id"], entry["arn"]) for entry in ledger
    ]
    assert [entry["request"] for entry in ledger] == [json.loads(body(n, f"token-{n}")) for n in range(2)]


@pytest.mark.parametrize("service", ["sts", "sso", "sso-oidc"])
def test_the_origin_of_the_credentials_is_known(service: str) -> None:
    """A profile of IAM Identity Center or of a login makes its own clients, through the same loader."""
    assert loader(service_model.FOLDER).load_service_model(service, "service-2")["operations"]


def test_custom_models_are_found_on_the_data_path_of_the_sdk(tmp_path: Path) -> None:
    folder = tmp_path / "ours" / "2026-01-01"
    folder.mkdir(parents=True)
    (folder / "service-2.json").write_text('{"operations": {}}')
    assert loader(service_model.FOLDER, str(tmp_path)).load_service_model("ours", "service-2")
    shipped = loader(service_model.FOLDER, str(tmp_path)).load_service_model(SERVICE, "service-2")
    assert shipped["shapes"].keys() == json.loads(service_model.SHIPPED.read_bytes())["shapes"].keys()


async def test_calls_use_a_custom_service_model(tmp_path: Path) -> None:
    document = json.loads(service_model.SHIPPED.read_bytes())
    document["shapes"][service_model.REQUEST]["members"]["Tomorrow"] = {"shape": "ClientToken"}
    document["shapes"].setdefault("ClientToken", {"type": "string"})
    model = tmp_path / "another.json"
    model.write_text(json.dumps(document))
    request = {**json.loads(body()), "Tomorrow": "yes"}
    with ScriptedServer(always(CREATED)) as server:
        async with connect(connection(server.url, model=model)) as partner_central:
            await partner_central.create(json.dumps(request).encode(), cleared())
    assert [call.json for call in server.creates] == [request]


EXPIRED = {"expired_credentials": ("AKIDEXAMPLE",)}


@pytest.mark.parametrize(
    ("options", "secret", "create_code", "sts_code"),
    [
        (EXPIRED, "example", "ExpiredTokenException", "ExpiredToken"),
        ({}, "wrong", "InvalidSignatureException", "SignatureDoesNotMatch"),
        ({"clock_ahead": 3600.0}, "example", "InvalidSignatureException", "SignatureDoesNotMatch"),
    ],
)
async def test_refused_credentials_are_a_sender_fault(
    options: dict[str, Any], secret: str, create_code: str, sts_code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    with emulator(credentials=(Credential("AKIDEXAMPLE", "example"),), **options) as service:
        async with connect(connection(service.url)) as partner_central:
            assert classify(await partner_central.create(body(), cleared())) == SenderRefused(create_code)
            with pytest.raises(SenderError, match=sts_code):
                await partner_central.identify()
        assert service.audit()["operations"] == {"CreateEngagementInvitation": 1, "GetCallerIdentity": 1}


async def test_an_unknown_key_is_a_sender_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDSOMEBODYELSE")
    with emulator(credentials=(Credential("AKIDEXAMPLE", "example"),)) as service:
        async with connect(connection(service.url)) as partner_central:
            assert classify(await partner_central.create(body(), cleared())) == SenderRefused(
                "UnrecognizedClientException"
            )
            with pytest.raises(SenderError, match="InvalidClientTokenId"):
                await partner_central.identify()


async def test_without_credentials_nothing_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CREDENTIALS:
        monkeypatch.delenv(name)
    with ScriptedServer(always(CREATED)) as server:
        with pytest.raises(SenderError, match="no AWS credentials"):
            await create(server.url)
        assert not server.creates


@pytest.mark.parametrize("profile", ["nobody", "half"])
async def test_an_unusable_profile_is_reported(
    profile: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "credentials"
    config.write_text("[half]\naws_access_key_id = AKIDHALF\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(config))
    with pytest.raises(SenderError, match=f"{profile}|Partial credentials"):
        await create("http://127.0.0.1:9", profile=profile)


async def test_sts_identifies_the_account() -> None:
    with emulator(credentials=(Credential("AKIDEXAMPLE", "example", "444455556666"),)) as service:
        async with connect(connection(service.url)) as partner_central:
            owner = await partner_central.identify()
    assert isinstance(owner, Owner)
    assert owner.account == "444455556666"
    assert owner.key_hash == "7a898e50dbd5b8305149c34046d159f7d02b5d1fe021d4de640842d3835fb549"


async def test_without_sts_the_hash_of_the_key_identifies_the_sender() -> None:
    with emulator(no_sts=True) as service:
        async with connect(connection(service.url)) as partner_central:
            owner = await partner_central.identify()
    assert isinstance(owner, Owner)
    assert owner.account == ""
    assert len(owner.key_hash) == 64
    assert "AKIDEXAMPLE" not in str(owner)


async def test_a_call_without_an_answer_names_the_failure() -> None:
    with _without_credentials() as url:
        answer = await create(url)
    assert isinstance(answer, NoAnswer)
    assert answer.code == "ClientConnectorError"


ROLE = """
[profile partner]
role_arn = arn:aws:iam::111122223333:role/partner
source_profile = base
region = us-east-1

[profile base]
aws_access_key_id = AKIDEXAMPLE
aws_secret_access_key = example
"""

_ASSUMED = (
    b'<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>'
    b"<AccessKeyId>ASIAEXAMPLE</AccessKeyId><SecretAccessKey>example</SecretAccessKey>"
    b"<SessionToken>token</SessionToken><Expiration>%b</Expiration></Credentials></AssumeRoleResult>"
    b"</AssumeRoleResponse>"
)


def _sts_error(status: int, code: str) -> bytes:
    xml = f"<ErrorResponse><Error><Code>{code}</Code><Message>No.</Message></Error></ErrorResponse>"
    return http(status, xml.encode(), content_type="text/xml")


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (_sts_error(403, "AccessDenied"), SenderRefused),
        (_sts_error(403, "ExpiredToken"), SenderRefused),
        (_sts_error(400, "Throttling"), Unreachable),
        (_sts_error(503, "ServiceUnavailable"), Unreachable),
    ],
)
async def test_a_role_that_cannot_be_renewed_never_fails_a_row(
    answer: bytes, kind: type[Verdict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Roles are renewed within a call, and STS's no looks like the service's."""
    config = tmp_path / "config"
    config.write_text(ROLE)
    # botocore renews a role ten minutes before its end: this one at once.
    soon = datetime.now(UTC) + timedelta(minutes=9)
    assumed = http(200, _ASSUMED % soon.strftime("%Y-%m-%dT%H:%M:%SZ").encode(), content_type="text/xml")
    answers = [assumed]
    with (
        ScriptedServer(always(CREATED)) as service,
        ScriptedServer(always(CREATED), others=lambda: answers.pop() if answers else answer) as sts,
    ):
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", sts.url)
        # The SDK's own tries for STS may take longer than a call may; ours are counted elsewhere.
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        assert isinstance(await judged(service.url, profile="partner"), kind)
    assert not service.creates


async def test_a_role_denied_from_the_start_is_a_sender_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config"
    config.write_text(ROLE)
    with ScriptedServer(always(CREATED), others=lambda: _sts_error(403, "AccessDenied")) as sts:
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", sts.url)
        with pytest.raises(SenderError, match="AccessDenied"):
            await create("http://127.0.0.1:1", profile="partner")
