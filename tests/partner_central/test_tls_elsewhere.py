"""TLS of credential requests, of the SDK by itself, and of calls other than to AWS."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from hashlib import sha1
from pathlib import Path
from typing import Any

import pytest
from aiobotocore.httpsession import AIOHTTPSession
from authority import Authority, self_signed
from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError, ClientError
from botocore.tokens import SSOTokenProvider
from botocore.utils import ContainerMetadataFetcher
from collector import TAKEN
from command import CREDENTIALS, ScriptedServer, always, environment, http, run, running
from opentelemetry.sdk.trace.export import SpanExportResult
from proxies import http_proxy
from rows import make_rows, write_rows

from bulk_invite.monitoring.tracing.otlp_exporter import Exporter
from bulk_invite.partner_central.session import Session
from bulk_invite.partner_central.transport import CheckedSession

pytestmark = pytest.mark.anyio

NOTHING = http(500, b"")


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, authority: Authority) -> pytest.MonkeyPatch:
    """Credentials of no account, in their own folder, where certificates of `authority` are trusted."""
    wanted = environment(AWS_CONFIG_FILE=str(tmp_path / "config"), AWS_CA_BUNDLE=str(authority.file))
    for name in os.environ.keys() - wanted.keys():
        monkeypatch.delenv(name)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        wanted.pop(name, None)
        monkeypatch.delenv(name, raising=False)
    ours = {"AWS_MAX_ATTEMPTS": "1", "AWS_PROFILE": "sender", "AWS_DEFAULT_REGION": "us-east-1"}
    for name, value in (wanted | ours).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    # Requests to these for credentials trust the usual authorities only.
    monkeypatch.setattr("botocore.httpsession.where", lambda: str(authority.file))
    monkeypatch.setattr(ContainerMetadataFetcher, "SLEEP_TIME", 0)
    monkeypatch.setattr(SSOTokenProvider, "_SSO_TOKEN_CACHE_DIR", str(tmp_path))
    return monkeypatch


_ROLE = "role_arn = arn:aws:iam::111122223333:role/sender\n"
_LOGIN = """\
sso_session = ours
sso_account_id = 111122223333
sso_role_name = sender
[sso-session ours]
sso_start_url = https://start.example.com
sso_region = us-east-1
"""


def _logged_in(expires: timedelta) -> None:
    """Keep a token of Identity Center that ends then, and may be renewed."""
    token = {
        "accessToken": "a-token",
        "expiresAt": _text(expires),
        "refreshToken": "another-token",
        "clientId": "a-client",
        "clientSecret": "a-secret",
        "registrationExpiresAt": _text(timedelta(days=9)),
    }
    Path(f"{sha1(b'ours', usedforsecurity=False).hexdigest()}.json").write_text(json.dumps(token))


def _text(ahead: timedelta) -> str:
    return (datetime.now(UTC) + ahead).strftime("%Y-%m-%dT%H:%M:%SZ")


def _with_role(url: str) -> dict[str, str]:
    keys = "aws_access_key_id = a-key\naws_secret_access_key = a-secret\n"
    Path("config").write_text(f"[profile sender]\n{_ROLE}source_profile = keys\n[profile keys]\n{keys}")
    return {"AWS_ENDPOINT_URL_STS": url}


def _with_web_identity(url: str) -> dict[str, str]:
    Path("token").write_text("a-token")
    Path("config").write_text(f"[profile sender]\n{_ROLE}web_identity_token_file = token\n")
    return {"AWS_ENDPOINT_URL_STS": url}


def _with_login(url: str) -> dict[str, str]:
    Path("config").write_text(f"[profile sender]\n{_LOGIN}")
    _logged_in(timedelta(hours=8))
    return {"AWS_ENDPOINT_URL_SSO": url}


def _with_login_renewed(url: str) -> dict[str, str]:
    Path("config").write_text(f"[profile sender]\n{_LOGIN}")
    _logged_in(timedelta(minutes=1))
    # The credentials server is not reachable.
    return {"AWS_ENDPOINT_URL_SSO_OIDC": url, "AWS_ENDPOINT_URL_SSO": "https://127.0.0.1:1"}


def _in_a_container(url: str) -> dict[str, str]:
    Path("config").write_text("[profile sender]\n")
    return {"AWS_CONTAINER_CREDENTIALS_FULL_URI": url}


def _on_an_instance(url: str) -> dict[str, str]:
    Path("config").write_text("[profile sender]\n")
    return {"AWS_EC2_METADATA_SERVICE_ENDPOINT": url, "AWS_EC2_METADATA_DISABLED": "false"}


@pytest.mark.parametrize(
    "configured",
    [_with_role, _with_web_identity, _with_login, _with_login_renewed, _in_a_container, _on_an_instance],
)
async def test_a_credentials_server_must_have_the_right_name(
    env: pytest.MonkeyPatch, authority: Authority, configured: Callable[[str], dict[str, str]]
) -> None:
    heard = []
    for name in ("example.com", "localhost"):
        with ScriptedServer(always(b""), others=lambda: NOTHING, tls=authority.server(name)) as server:
            for variable, value in configured(server.url).items():
                env.setenv(variable, value)
            with suppress(BotoCoreError, ClientError):
                credentials = await Session().get_credentials()
                assert credentials is None or not await credentials.get_frozen_credentials()
            heard.append(bool(server.heard))
    assert heard == [False, True]


async def test_a_client_set_not_to_verify_still_verifies(env: pytest.MonkeyPatch) -> None:
    env.setenv("AWS_ACCESS_KEY_ID", "a-key")
    env.setenv("AWS_SECRET_ACCESS_KEY", "a-secret")
    env.delenv("AWS_PROFILE")
    with ScriptedServer(always(b""), tls=self_signed()) as server:
        options: dict[str, Any] = {"region_name": "us-east-1", "endpoint_url": server.url, "verify": False}
        async with Session().create_client("sts", **options) as client:
            with pytest.raises(BotoCoreError):
                await client.get_caller_identity()
        assert not server.heard


@pytest.fixture(params=["direct", "proxied"])
def proxies(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    with ExitStack() as stack:
        yield {"https": stack.enter_context(http_proxy(tmp_path)).url} if request.param == "proxied" else {}


async def test_instance_metadata_is_not_queried_for_the_region(
    env: pytest.MonkeyPatch, authority: Authority
) -> None:
    env.delenv("AWS_PROFILE")
    keys = {"AWS_ACCESS_KEY_ID": "a-key", "AWS_SECRET_ACCESS_KEY": "a-secret"}
    with ScriptedServer(always(b""), others=lambda: NOTHING, tls=authority.server("example.com")) as server:
        for name, value in {**keys, **_on_an_instance(server.url), "AWS_DEFAULTS_MODE": "auto"}.items():
            env.setenv(name, value)
        async with Session().create_client("sts"):
            assert not server.heard


async def test_the_sdk_by_itself_does_not_verify(authority: Authority, proxies: dict[str, str]) -> None:
    """If this fails, aiobotocore has changed it: check which parts of `transport` are still needed."""
    context = self_signed() if proxies else authority.server("example.com")
    with ScriptedServer(always(b""), tls=context) as server:
        arrived = []
        for session_class in (AIOHTTPSession, CheckedSession):
            async with session_class(verify=str(authority.file), proxies=proxies, timeout=5) as session:
                with suppress(BotoCoreError):
                    await session.send(AWSRequest("GET", server.url).prepare())
            arrived.append(len(server.others))
    assert arrived == [1, 1], "the SDK's call arrives, ours does not"


def test_send_and_doctor_report_a_certificate_alike_and_nothing_leaves(
    tmp_path: Path, authority: Authority
) -> None:
    write_rows(tmp_path / "rows.ndjson", make_rows(3))
    env = {**CREDENTIALS, "AWS_CA_BUNDLE": str(authority.file)}
    with ScriptedServer(always(b""), tls=authority.server("example.com")) as server:
        place = ("--endpoint-url", server.url)
        doctor = run("doctor", *place, cwd=tmp_path, env=env)
        assert doctor.code == 4
        assert f"The certificate of {server.url} is not accepted: Hostname mismatch" in doctor.stdout
        with running("send", "rows.ndjson", *place, "--log-format", "json", cwd=tmp_path, env=env) as sender:
            assert sender.process.stderr is not None
            waits = next(line for line in sender.process.stderr if "endpoint.unreachable" in line)
            sender.signal(signal.SIGTERM)
            assert sender.ended().code == 75
        assert json.loads(waits)["reason"] == "ClientConnectorCertificateError"
        assert not server.heard


# Calls other than to AWS


@pytest.mark.parametrize(
    "settings",
    [
        {"OTEL_EXPORTER_OTLP_CERTIFICATE": "ours.pem"},
        {"REQUESTS_CA_BUNDLE": "ours.pem"},
        {"OTEL_EXPORTER_OTLP_CERTIFICATE": "", "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE": ""},
    ],
)
@pytest.mark.parametrize("shown", ["right", "example.com", "self-signed", "expired"])
def test_the_certificate_of_a_collector_is_verified(
    env: pytest.MonkeyPatch, tmp_path: Path, authority: Authority, shown: str, settings: dict[str, str]
) -> None:
    (tmp_path / "ours.pem").write_bytes(authority.file.read_bytes())
    makes = {"self-signed": self_signed, "expired": authority.expired, "right": authority.server}
    context = makes[shown]() if shown in makes else authority.server(shown)
    is_right = shown == "right" and "" not in settings.values()
    with ScriptedServer(always(b""), others=lambda: TAKEN, tls=context) as server:
        env.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.url)
        env.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.5")
        for name, value in settings.items():
            env.setenv(name, value)
        delivery = Exporter()
        sent = delivery.export([])
        delivery.shutdown()
        assert bool(server.heard) is is_right
    assert sent is (SpanExportResult.SUCCESS if is_right else SpanExportResult.FAILURE)


_NOTIFY = """
import sys, anyio
from test_webhook import DONE
from bulk_invite.monitoring.webhook import Notifications

async def notify(url):
    notifications = Notifications(url, lambda: 0.0, lambda: 0.0)
    async with anyio.create_task_group() as group:
        group.start_soon(notifications.run)
        await notifications.finish(DONE)

async def main():
    async with anyio.create_task_group() as group:
        for url in sys.argv[1:]:
            group.start_soon(notify, url)

anyio.run(main)
"""


@pytest.mark.parametrize("proxied", [False, True])
def test_the_certificate_of_a_webhook_receiver_is_verified(
    tmp_path: Path, authority: Authority, *, proxied: bool
) -> None:
    contexts = [
        authority.server("example.com"),
        authority.expired(),
        self_signed(),
        Authority(tmp_path, "other").server(),
        authority.without_intermediate(),
        authority.server(),
    ]
    taken = http(200, b"")
    with ExitStack() as stack:
        servers = [
            stack.enter_context(ScriptedServer(always(b""), others=lambda: taken, tls=context))
            for context in contexts
        ]
        # Trusted authorities are read once, when aiohttp is imported.
        tests = Path(__file__).parents[1]
        path = os.pathsep.join(str(tests / folder) for folder in ("support", "monitoring"))
        own = environment(PYTHONPATH=path, SSL_CERT_FILE=str(authority.file))
        if proxied:
            own["HTTPS_PROXY"] = stack.enter_context(http_proxy(tmp_path)).url
        urls = [server.url for server in servers]
        subprocess.run([sys.executable, "-c", _NOTIFY, *urls], env=own, check=True, capture_output=True)
        assert [bool(server.heard) for server in servers] == [False] * 5 + [True]
