"""A prepared call and the SDK's own: the same bytes, the same answers, and what leads to the plain way."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import botocore.auth
import pytest
from authority import Authority
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from botocore.model import ServiceModel
from clearances import cleared
from command import CREATED, CREDENTIALS, Request, ScriptedServer, always
from hypothesis import given
from hypothesis import strategies as st
from listening_plugin import PLAIN_WAY
from proxies import tunnel_to
from structlog.testing import capture_logs
from test_partner_central import _own_credentials, body, connection
from yarl import URL

from bulk_invite.domain.verdicts import HttpAnswer
from bulk_invite.partner_central import connect
from bulk_invite.partner_central.request_form import MOMENT, verified_form
from bulk_invite.partner_central.transport import HttpRequest
from bulk_invite.validation import service_model

pytestmark = pytest.mark.anyio

__all__ = ["_own_credentials"]

_VARYING = re.compile(r"X-Amz-Date: \w+|Signature=\w+|/\d{8}/|amz-sdk-invocation-id: [0-9a-f-]{36}")
_SCOPE = re.compile(r"Credential=([^/]+)/\d{8}/([^/]+)/([^/]+)/aws4_request, SignedHeaders=(\S+),")
_PATH = re.compile(r"POST (\S+) HTTP/1\.1")


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": True}


async def _sent(server: ScriptedServer, **changes: Any) -> tuple[Request, list[str]]:
    """The second of two calls, and why calls were not prepared."""
    server.creates.clear()
    changes = {"endpoint_url": server.url, **changes}
    with capture_logs() as events:
        async with connect(connection(changes.pop("endpoint_url"), **changes)) as partner_central:
            for number in range(2):
                answer = await partner_central.create(body(number, "ä~ token"), cleared())
                assert isinstance(answer, HttpAnswer)
                assert answer.invitation_id
    reasons = [each["reason"] for each in events if each["event"] == "sender.calls_not_prepared"]
    return server.creates[1], reasons


def _signed_by_the_sdk(request: Request) -> str:
    """The Authorization that the SDK's signer gives a request, at the request's own time."""
    found = _SCOPE.search(request.headers["authorization"])
    target = _PATH.match(request.head)
    assert found
    assert target
    key, region, service, names = found.groups()
    assert key == CREDENTIALS["AWS_ACCESS_KEY_ID"]
    moment = datetime.strptime(request.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    url = target[1] if target[1].startswith("http") else f"http://{request.headers['host']}{target[1]}"
    signed = set(names.split(";")) - {"host"}  # which the SDK takes from the URL
    headers = {name: value for name, value in request.headers.items() if name in signed}
    again = AWSRequest("POST", url, headers, request.body)
    credentials = ReadOnlyCredentials(
        key, CREDENTIALS["AWS_SECRET_ACCESS_KEY"], request.headers.get("x-amz-security-token"), None
    )
    with pytest.MonkeyPatch.context() as clock:
        clock.setattr(botocore.auth, "get_current_datetime", lambda: moment)
        SigV4Auth(credentials, service, region).add_auth(again)
    return str(again.headers["Authorization"])


_PROFILE = """
[profile partner]
aws_access_key_id = AKIDEXAMPLE
aws_secret_access_key = example
region = eu-west-1
services = elsewhere
sdk_ua_app_id = crm
auth_scheme_preference = sigv4
request_min_compression_size_bytes = 1

[services elsewhere]
partnercentral_selling =
  endpoint_url = {url}/by/profile
"""

_SAME: dict[str, tuple[Mapping[str, str], Mapping[str, str | None]]] = {
    "keys": ({}, {}),
    "temporary keys, in another region": ({"AWS_SESSION_TOKEN": "a/token+of=STS"}, {"region": "us-west-2"}),
    "endpoint with a path": ({}, {"endpoint_url": "{url}/a%20b/c~d/"}),
    "endpoint of a profile": ({}, {"endpoint_url": None, "profile": "partner"}),
    "endpoint of the environment": (
        {"AWS_ENDPOINT_URL": "{url}", "AWS_DISABLE_REQUEST_COMPRESSION": "true", "AWS_SDK_UA_APP_ID": "crm"},
        {"endpoint_url": None},
    ),
    "proxy with a password": (
        {"http_proxy": "http://crm:secret@127.0.0.1:{port}"},
        {"endpoint_url": "http://Partner-Central.invalid:80"},
    ),
}
"""Settings that both ways apply: variables and changes of the connection."""


@pytest.mark.parametrize("settings", _SAME)
async def test_both_ways_send_the_same_bytes(
    settings: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables, others = _SAME[settings]
    with ScriptedServer(always(CREATED)) as server:
        given = {"url": server.url, "port": server.port}
        (tmp_path / "config").write_text(_PROFILE.format(**given))
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        for name, value in variables.items():
            monkeypatch.setenv(name, value.format(**given))
        changes = {name: value and value.format(**given) for name, value in others.items()}
        prepared, reasons = await _sent(server, **changes)
        assert reasons == []
        for name, value in PLAIN_WAY.items():
            monkeypatch.setenv(name, value)
        plain, reasons = await _sent(server, **changes)
        assert reasons == ["The AWS SDK is not as expected: listening_plugin.listen listens to before-send."]
    assert _VARYING.sub("", prepared.head) == _VARYING.sub("", plain.head)
    assert prepared.body == plain.body == body(1, "ä~ token")
    for request in (prepared, plain):
        assert request.headers["authorization"] == _signed_by_the_sdk(request)
    assert prepared.headers["amz-sdk-invocation-id"] != plain.headers["amz-sdk-invocation-id"]


_TRAIT = "CreateEngagementInvitation has the trait"

_PLAIN: dict[str, tuple[Mapping[str, str], Mapping[str, Any], str]] = {
    "in a function": (
        {"AWS_LAMBDA_FUNCTION_NAME": "send", "_X_AMZN_TRACE_ID": "Root=1-5759e988"},
        {},
        "it sets the header X-Amzn-Trace-Id",
    ),
    "unsigned": (
        {"AWS_AUTH_SCHEME_PREFERENCE": "noAuth"},
        {"auth": ["smithy.api#noAuth"]},
        "it signs otherwise than by Signature Version 4 in headers",
    ),
    "compressed": ({}, {"requestcompression": {"encodings": ["gzip"]}}, f"{_TRAIT} request_compression"),
    "with a checksum": ({}, {"httpChecksum": {"requestChecksumRequired": True}}, f"{_TRAIT} http_checksum"),
    "a host by row": ({}, {"endpoint": {"hostPrefix": ""}}, f"{_TRAIT} endpoint"),
}
"""Calls that cannot be prepared: variables, traits of the operation in the service model, and the reason."""


@pytest.mark.parametrize("cause", _PLAIN)
async def test_what_cannot_be_prepared_goes_the_plain_way(
    cause: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables, traits, reason = _PLAIN[cause]
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    document = json.loads(service_model.SHIPPED.read_bytes())
    document["operations"]["CreateEngagementInvitation"] |= traits
    model = tmp_path / "model.json"
    model.write_text(json.dumps(document))
    with ScriptedServer(always(CREATED)) as server:
        request, reasons = await _sent(server, model=model)
    assert reasons == [f"The AWS SDK is not as expected: {reason}."]
    assert ("authorization" in request.headers) is (cause != "unsigned")
    assert ("x-amzn-trace-id" in request.headers) is (cause == "in a function")
    if cause != "compressed":
        assert request.body == body(1, "ä~ token")


async def test_a_part_that_the_sdk_lacks_is_named_and_calls_go_the_plain_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(ServiceModel, "shape_for_error_code")
    with ScriptedServer(always(CREATED)) as server:
        request, (reason,) = await _sent(server)
    assert "'ServiceModel' object has no attribute 'shape_for_error_code'" in reason
    assert request.headers["authorization"] == _signed_by_the_sdk(request)
    assert request.body == body(1, "ä~ token")


async def test_a_request_that_the_form_does_not_give_goes_the_plain_way() -> None:
    with ScriptedServer(always(CREATED)) as server:
        # The SDK signs the path in its shortest form.
        request, reasons = await _sent(server, endpoint_url=f"{server.url}/a/../b")
    assert reasons == ["The AWS SDK is not as expected: it signs otherwise."]
    assert request.headers["authorization"] == _signed_by_the_sdk(request)


@pytest.mark.parametrize("variables", [{}, {"AWS_USE_FIPS_ENDPOINT": "true"}], ids=["dual stack", "FIPS"])
async def test_the_services_own_endpoint_is_reached_by_tls_through_a_proxy(
    variables: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = f"partnercentral-selling{'-fips' if variables else ''}.us-east-1.api.aws"
    authority = Authority(tmp_path)
    with ScriptedServer(always(CREATED), tls=authority.server(host)) as server:
        async with tunnel_to(server.port) as proxy:
            for name, value in {
                **variables,
                "HTTPS_PROXY": proxy,
                "AWS_CA_BUNDLE": str(authority.file),
            }.items():
                monkeypatch.setenv(name, value)
            request, reasons = await _sent(server, endpoint_url=None)
    assert reasons == []
    assert request.headers["host"] == host
    assert request.headers["authorization"] == _signed_by_the_sdk(request)


def _signed(credentials: ReadOnlyCredentials, region: str, service: str, moment: datetime) -> HttpRequest:
    """A request that the SDK's signer signs at a moment."""
    request = AWSRequest("POST", "https://localhost/", {"X-Amz-Target": "Create"}, b"{}")
    with pytest.MonkeyPatch.context() as clock:
        clock.setattr(botocore.auth, "get_current_datetime", lambda: moment)
        SigV4Auth(credentials, service, region).add_auth(request)
    headers = {**dict(request.headers.items()), "amz-sdk-invocation-id": "a", "Content-Length": "2"}
    session: Any = None  # nothing is sent
    return HttpRequest(session, "POST", URL("https://localhost/"), headers, b"{}", {})


@given(
    secret=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1),
    token=st.one_of(st.none(), st.text("abc+/=", min_size=1)),
    region=st.sampled_from(["us-east-1", "us-gov-west-1"]),
    service=st.sampled_from(["partnercentral-selling", "another"]),
    seconds=st.lists(st.integers(10**9, 4 * 10**9), min_size=2, max_size=4),
)
def test_a_form_signs_like_the_sdk_with_any_secret_region_and_service_on_any_day(
    secret: str, token: str | None, region: str, service: str, seconds: list[int]
) -> None:
    """The key of a day is not used on another one."""
    moments = [datetime.fromtimestamp(each, UTC) for each in seconds]
    midnight = moments[-1].replace(hour=0, minute=0, second=0)
    credentials = ReadOnlyCredentials("AKIDEXAMPLE", secret, token, None)
    form = verified_form(_signed(credentials, region, service, moments[0]), b"{}", credentials)
    for moment in (*moments, midnight, midnight - timedelta(seconds=1)):
        headers = form.headers(b"{}", moment.strftime(MOMENT), "a")
        assert headers == _signed(credentials, region, service, moment).headers
