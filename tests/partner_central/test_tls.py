"""A server with an invalid certificate gets nothing: Partner Central, STS or a proxy, on every path."""

from __future__ import annotations

import os
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest
from authority import Authority, of_a_careless_house, self_signed
from clearances import cleared
from command import CREATED, CREDENTIALS, ScriptedServer, always
from proxies import Proxy, http_proxy, tls_before
from rows import make_row

from bulk_invite.domain.classify import classify
from bulk_invite.domain.errors import EndpointError
from bulk_invite.domain.verdicts import Answer, HttpAnswer, NoAnswer, Unreachable
from bulk_invite.partner_central import Connection, Reached, connect, reach

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("other"))


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with http_proxy(tmp_path_factory.mktemp("proxy")) as running:
        yield running


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch, authority: Authority) -> pytest.MonkeyPatch:
    for name in tuple(os.environ):
        if name.startswith("AWS_") or name.lower().endswith(("_proxy", "_ca_bundle")):
            monkeypatch.delenv(name)
    nowhere = dict.fromkeys(("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"), os.devnull)
    for name, value in {**nowhere, **CREDENTIALS, "AWS_CA_BUNDLE": str(authority.file)}.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


_BAD: dict[str, tuple[Callable[[Authority, Authority], Any], str]] = {
    "another name": (lambda ours, _: ours.server("example.com"), "Hostname mismatch"),
    "expired": (lambda ours, _: ours.expired(), "certificate has expired"),
    "self-signed": (lambda *_: self_signed(), "self-signed certificate"),
    "unknown authority": (lambda _, other: other.server(), "unable to get local issuer certificate"),
    "an intermediate missing": (
        lambda ours, _: ours.without_intermediate(),
        "unable to get local issuer certificate",
    ),
}
"""The certificate of a server, and the finding of `doctor` about it."""

_WAYS = ["direct", "http proxy", "https proxy"]


@pytest.fixture
def way(request: pytest.FixtureRequest, env: pytest.MonkeyPatch, authority: Authority) -> Callable[[], Any]:
    """By which calls go, as a context that says how many tunnels a proxy was asked for."""

    @asynccontextmanager
    async def by() -> AsyncIterator[Callable[[], int]]:
        if request.param == "direct":
            yield lambda: 0
            return
        proxy: Proxy = request.getfixturevalue("proxy")
        before = proxy.tunnels
        if request.param == "http proxy":
            env.setenv("HTTPS_PROXY", proxy.url)
            yield lambda: proxy.tunnels - before
            return
        async with tls_before(proxy, authority.server()) as front:
            env.setenv("HTTPS_PROXY", front.url)
            yield lambda: proxy.tunnels - before

    return by


@dataclass(frozen=True)
class _Tried:
    """The answers of Partner Central and STS to the sender, and the findings of `doctor`."""

    created: Answer
    account: str | Answer
    found: Reached | str


async def _tried(url: str, *, sts: bool = True) -> _Tried:
    connection = Connection(
        region="us-east-1",
        profile=None,
        endpoint_url=url,
        catalog="Sandbox",
        model=None,
        in_flight=1,
        deadline=10.0,
    )
    body = orjson.dumps(make_row(0, Catalog="Sandbox", ClientToken="a-token"))
    async with connect(connection) as partner_central:
        created = await partner_central.create(body, cleared())
        account = await partner_central.account() if sts else created
    try:
        return _Tried(created, account, await reach(connection, 10.0))
    except EndpointError as error:
        return _Tried(created, account, str(error))


def _assert_refused(tried: _Tried, words: str) -> None:
    assert isinstance(tried.created, NoAnswer)
    assert isinstance(tried.account, NoAnswer)
    assert not tried.created.started
    assert isinstance(classify(tried.created), Unreachable)
    assert isinstance(classify(tried.account), Unreachable)
    assert isinstance(tried.found, str)
    assert words in tried.found


@pytest.mark.parametrize("way", _WAYS, indirect=True)
async def test_a_server_with_an_invalid_certificate_gets_nothing(
    way: Callable[[], Any], request: pytest.FixtureRequest, authority: Authority, other: Authority
) -> None:
    async def refused(name: str) -> None:
        make, words = _BAD[name]
        with ScriptedServer(always(CREATED), tls=make(authority, other)) as server:
            tried = await _tried(server.url)
            _assert_refused(tried, f"The certificate of {server.url} is not accepted: {words}")
            assert not server.heard

    async with way() as tunnels:
        async with anyio.create_task_group() as group:  # the SDK waits between its three questions to STS
            for name in _BAD:
                group.start_soon(refused, name)
        assert tunnels() == (0 if "direct" in request.node.name else 5 * len(_BAD))


@pytest.mark.parametrize("way", _WAYS, indirect=True)
async def test_a_server_with_a_valid_certificate_gets_its_calls(
    way: Callable[[], Any], authority: Authority
) -> None:
    with ScriptedServer(always(CREATED), tls=authority.server()) as server:
        async with way():
            tried = await _tried(server.url)
        assert (len(server.creates), len(server.others)) == (1, 2)
    assert isinstance(tried.created, HttpAnswer)
    assert tried.account == "111122223333"
    assert isinstance(tried.found, Reached)
    assert tried.found.protocol == "TLSv1.3"


async def test_an_https_proxy_with_an_invalid_certificate_gets_nothing(
    env: pytest.MonkeyPatch, proxy: Proxy, authority: Authority, other: Authority
) -> None:
    before = proxy.tunnels
    with ScriptedServer(always(CREATED), tls=authority.server()) as server:
        for make, words in _BAD.values():
            async with tls_before(proxy, make(authority, other)) as front:
                env.setenv("HTTPS_PROXY", front.url)
                tried = await _tried(server.url, sts=False)
                _assert_refused(tried, f"The certificate of the proxy {front.url} is not accepted: {words}")
                assert not front.heard
        assert not server.heard
    assert proxy.tunnels == before


async def test_the_authorities_of_a_proxy_are_not_trusted_for_the_service(
    env: pytest.MonkeyPatch, tmp_path: Path, proxy: Proxy, authority: Authority, other: Authority
) -> None:
    (tmp_path / "config").write_text(f"[default]\nproxy_ca_bundle = {other.file}\n")
    env.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    async with tls_before(proxy, other.server()) as front:
        env.setenv("HTTPS_PROXY", front.url)
        with ScriptedServer(always(CREATED), tls=other.server()) as server:
            _assert_refused(
                await _tried(server.url, sts=False), f"The certificate of {server.url} is not accepted"
            )
            assert not server.heard
        with ScriptedServer(always(CREATED), tls=authority.server()) as server:
            assert isinstance((await _tried(server.url, sts=False)).created, HttpAnswer)


async def test_a_proxy_that_requires_a_client_certificate_gets_ours(
    env: pytest.MonkeyPatch, tmp_path: Path, proxy: Proxy, authority: Authority
) -> None:
    context = authority.server()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.file)
    ours = tmp_path / "ours.pem"
    authority.made.issue_cert("a-client").private_key_and_cert_chain_pem.write_to_path(ours)
    (tmp_path / "config").write_text(f"[default]\nproxy_client_cert = {ours}\n")
    async with tls_before(proxy, context) as front:
        env.setenv("HTTPS_PROXY", front.url)
        with ScriptedServer(always(CREATED), tls=authority.server()) as server:
            assert isinstance((await _tried(server.url, sts=False)).created, NoAnswer)
            assert not server.heard
            env.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
            assert isinstance((await _tried(server.url, sts=False)).created, HttpAnswer)


_OFF: dict[str, dict[str, str]] = {
    "AWS_CA_BUNDLE": {"AWS_CA_BUNDLE": ""},
    "REQUESTS_CA_BUNDLE": {"REQUESTS_CA_BUNDLE": ""},
    "ca_bundle": {"AWS_CONFIG_FILE": "config"},
}


@pytest.mark.parametrize("proxied", [False, True])
async def test_an_empty_setting_does_not_turn_verification_off(
    env: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    authority: Authority,
    *,
    proxied: bool,
) -> None:
    env.chdir(tmp_path)
    (tmp_path / "config").write_text("[default]\nca_bundle =\n")
    if proxied:
        env.setenv("HTTPS_PROXY", request.getfixturevalue("proxy").url)
    for settings in _OFF.values():
        with (
            pytest.MonkeyPatch.context() as changed,
            ScriptedServer(always(CREATED), tls=authority.server()) as server,
        ):
            changed.delenv("AWS_CA_BUNDLE")
            for name, value in settings.items():
                changed.setenv(name, value)
            _assert_refused(await _tried(server.url, sts=False), "unable to get local issuer certificate")
            assert not server.heard


_ON: dict[str, dict[str, str]] = {
    "REQUESTS_CA_BUNDLE": {"REQUESTS_CA_BUNDLE": "ours.pem"},
    "ca_bundle": {"AWS_CONFIG_FILE": "config"},
}


async def test_authorities_can_be_set_as_for_the_sdk(
    env: pytest.MonkeyPatch, tmp_path: Path, authority: Authority
) -> None:
    env.chdir(tmp_path)
    env.delenv("AWS_CA_BUNDLE")
    (tmp_path / "config").write_text("[default]\nca_bundle = ours.pem\n")
    (tmp_path / "ours.pem").write_bytes(authority.file.read_bytes())
    for settings in _ON.values():
        with (
            pytest.MonkeyPatch.context() as changed,
            ScriptedServer(always(CREATED), tls=authority.server()) as server,
        ):
            for name, value in settings.items():
                changed.setenv(name, value)
            tried = await _tried(server.url, sts=False)
            assert isinstance(tried.created, HttpAnswer)
            assert isinstance(tried.found, Reached)


async def test_a_nonconforming_authority_can_be_trusted(env: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Python 3.13 would refuse it."""
    file, context = of_a_careless_house(tmp_path)
    env.setenv("AWS_CA_BUNDLE", str(file))
    with ScriptedServer(always(CREATED), tls=context) as server:
        tried = await _tried(server.url, sts=False)
    assert isinstance(tried.created, HttpAnswer)
    assert isinstance(tried.found, Reached)
