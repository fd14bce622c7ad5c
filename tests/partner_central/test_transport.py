"""From the decision to call to the first byte: when clearance is requested, and that a no withholds all."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import orjson
import pytest
from authority import Authority
from clearances import cleared
from command import CREATED, CREDENTIALS, Reply, ScriptedServer, Then, always, free_port, http
from listening_plugin import PLAIN_WAY
from rows import make_row
from structlog.testing import capture_logs

from bulk_invite.domain.classify import PROXY_UNREACHABLE, UNASKED, WITHHELD, classify
from bulk_invite.domain.clearance import Clearance
from bulk_invite.domain.errors import CheckpointError
from bulk_invite.domain.verdicts import Answer, HttpAnswer, NoAnswer, Unreachable, Withheld
from bulk_invite.partner_central import Connection, connect

pytestmark = pytest.mark.anyio

_KEPT_BACK = NoAnswer((WITHHELD,), started=False)


@pytest.fixture(params=[(True, {}), (False, PLAIN_WAY)], ids=["uvloop, prepared", "asyncio, plain"])
def anyio_backend(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, dict[str, Any]]:
    """Both event loops and both ways of a call, not each with each."""
    use_uvloop, variables = request.param
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return "asyncio", {"use_uvloop": use_uvloop}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch: pytest.MonkeyPatch, authority: Authority) -> None:
    for name in tuple(os.environ):
        if name.startswith("AWS_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    nowhere = dict.fromkeys(("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"), os.devnull)
    for name, value in {**nowhere, **CREDENTIALS, "AWS_CA_BUNDLE": str(authority.file)}.items():
        monkeypatch.setenv(name, value)


def _connection(url: str, *, deadline: float = 10.0) -> Connection:
    return Connection(
        region="us-east-1",
        profile=None,
        endpoint_url=url,
        catalog="Sandbox",
        model=None,
        in_flight=1,
        deadline=deadline,
    )


def _body() -> bytes:
    return orjson.dumps(make_row(0, Catalog="Sandbox", ClientToken="a-token"))


class _Word:
    """The answer to a call that requests clearance. asked: the number of requests."""

    def __init__(self, *, word: bool = True) -> None:
        self.word = word
        self.asked = 0

    def __call__(self) -> bool:
        self.asked += 1
        return self.word


@pytest.mark.parametrize("secured", [False, True])
async def test_a_withheld_call_sends_nothing_and_differs_from_a_cleared_one(
    authority: Authority, *, secured: bool
) -> None:
    with ScriptedServer(always(CREATED), tls=authority.server() if secured else None) as server:
        async with connect(_connection(server.url)) as partner_central:
            for kept_alive in (False, True):
                no = _Word(word=False)
                assert await partner_central.create(_body(), cleared(no)) == _KEPT_BACK
                assert (no.asked, len(server.creates)) == (1, int(kept_alive))
                if not kept_alive:
                    assert not server.heard
                    assert isinstance(await partner_central.create(_body(), cleared()), HttpAnswer)
    assert len(server.creates) == 1
    assert classify(_KEPT_BACK) == Withheld(WITHHELD)


async def test_clearance_is_requested_only_once_the_connection_is_open(authority: Authority) -> None:
    # Each of them waits for something else; clearance is withdrawn meanwhile.
    greets_late = ScriptedServer(always(CREATED), tls=authority.server(), greeting=0.3)
    with greets_late, ScriptedServer(always(CREATED), tls=authority.server()) as prompt:
        await _withheld_late(greets_late.url)
        async with _slow_tunnel(0.3) as tunnel:
            with pytest.MonkeyPatch.context() as proxied:
                proxied.setenv("HTTPS_PROXY", tunnel)
                await _withheld_late(prompt.url)
        assert not greets_late.heard + prompt.heard


async def _withheld_late(url: str) -> None:
    word = _Word()
    async with connect(_connection(url)) as partner_central, anyio.create_task_group() as group:
        group.start_soon(_taken_back, word)
        assert await partner_central.create(_body(), cleared(word)) == _KEPT_BACK


async def _taken_back(word: _Word) -> None:
    await anyio.sleep(0.1)
    assert not word.asked
    word.word = False


@pytest.mark.parametrize("fails", [False, True])
async def test_a_clearance_is_renewed_once_the_connection_is_open(
    authority: Authority, *, fails: bool
) -> None:
    """A proof that needs a query is made after the longest wait, and before clearance."""
    said = list[str]()

    async def renew() -> None:
        said.append(f"renewed with {len(server.heard)} bytes heard")
        await anyio.sleep(0.01)
        if fails:
            raise CheckpointError("The lock is gone.")

    def objection() -> str:
        said.append("asked")
        return ""

    with ScriptedServer(always(CREATED), tls=authority.server(), greeting=0.2) as server:
        async with connect(_connection(server.url)) as partner_central:
            answer = await partner_central.create(_body(), Clearance(renew, objection))
    assert (answer == _KEPT_BACK) is fails
    assert said == ["renewed with 0 bytes heard", *(["asked"] if not fails else [])]
    assert len(server.creates) == (not fails)


@asynccontextmanager
async def _slow_tunnel(seconds: float) -> AsyncIterator[str]:
    """A proxy that takes its time for the one tunnel that it makes."""

    def tunnel() -> None:
        near, _ = listener.accept()
        with near:
            host, port = near.recv(65536).split()[1].decode().split(":")
            time.sleep(seconds)
            with socket.create_connection((host, int(port))) as far:
                near.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                back = threading.Thread(target=_passed_on, args=(far, near))
                back.start()
                _passed_on(near, far)
                back.join()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=tunnel)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        await anyio.to_thread.run_sync(thread.join)


def _passed_on(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize(("service", "host"), [("http", "127.0.0.1"), ("https", "proxy.invalid")])
async def test_an_unreachable_proxy_is_reported_once_and_not_taken_for_the_endpoint(
    monkeypatch: pytest.MonkeyPatch, service: str, host: str
) -> None:
    port = free_port()
    monkeypatch.setenv(f"{service}_proxy", f"http://crm:a-secret@{host}:{port}")
    async with connect(_connection(f"{service}://127.0.0.1:9")) as partner_central:
        with capture_logs() as events:
            answers = [await partner_central.create(_body(), cleared(_Word())) for _ in range(2)]
            identified = await partner_central.identify()
    assert [classify(answer) for answer in answers] == [Unreachable(PROXY_UNREACHABLE)] * 2
    assert identified == Unreachable(PROXY_UNREACHABLE)
    (logged,) = (event for event in events if event["event"] == "proxy.unreachable")
    assert (logged["proxy"], logged["next"]) == (f"{host}:{port}", f"check {service.upper()}_PROXY")
    assert "a-secret" not in repr((events, answers))


async def test_an_unreachable_endpoint_is_not_blamed_on_an_unused_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    async with connect(_connection(f"https://127.0.0.1:{free_port()}")) as partner_central:
        answer = await partner_central.create(_body(), cleared(_Word()))
    assert classify(answer) == Unreachable("ClientConnectorError")


async def test_an_invalid_certificate_behind_a_proxy_is_the_endpoints(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = ScriptedServer(always(CREATED), tls=authority.server("example.com"))
    with stranger:
        async with _slow_tunnel(0.0) as tunnel:
            monkeypatch.setenv("HTTPS_PROXY", tunnel)
            async with connect(_connection(stranger.url)) as partner_central:
                answer = await partner_central.create(_body(), cleared(_Word()))
    assert classify(answer) == Unreachable("ClientConnectorCertificateError")


async def test_clearance_is_requested_after_a_wait_for_a_pooled_connection() -> None:
    word, answers = _Word(), list[Answer]()

    async def call(may_start: _Word) -> None:
        answers.append(await partner_central.create(_body(), cleared(may_start)))

    with ScriptedServer(always(Reply(CREATED, after=0.3))) as server:
        async with connect(_connection(server.url)) as partner_central, anyio.create_task_group() as group:
            for _ in range(4):  # as many as the pool has
                group.start_soon(call, _Word())
            await anyio.sleep(0.1)
            group.start_soon(call, word)
            await anyio.sleep(0.1)
            assert (len(server.creates), word.asked) == (4, 0)
            word.word = False
        assert len(server.creates) == 4
    assert answers.count(_KEPT_BACK) == 1


@pytest.mark.parametrize("secured", [False, True])
async def test_nothing_runs_between_clearance_and_the_first_byte(
    authority: Authority, *, secured: bool
) -> None:
    arrived = list[int]()

    def starve() -> None:
        time.sleep(0.2)
        arrived.append(len(server.creates))

    def may_start() -> bool:
        asyncio.get_running_loop().call_soon(starve)
        return True

    with ScriptedServer(always(CREATED), tls=authority.server() if secured else None) as server:
        async with connect(_connection(server.url)) as partner_central:
            await partner_central.create(_body(), cleared(may_start))
    assert arrived == [1]


async def test_a_call_without_an_answer_says_whether_bytes_may_have_left(authority: Authority) -> None:
    silent = ScriptedServer(always(Reply(CREATED, after=5.0)))
    closing = ScriptedServer(always(Reply(then=Then.CLOSE)))
    greets_late = ScriptedServer(always(CREATED), tls=authority.server(), greeting=5.0)
    with silent, closing, greets_late:
        nobody = f"http://127.0.0.1:{free_port()}"
        urls = (silent.url, closing.url, greets_late.url, nobody)
        answers = [await _unanswered(url) for url in urls]
    assert [answer.started for answer in answers] == [True, True, False, False]
    assert isinstance(classify(answers[-1]), Unreachable)


async def _unanswered(url: str) -> NoAnswer:
    async with connect(_connection(url, deadline=0.3)) as partner_central:
        answer = await partner_central.create(_body(), cleared())
    assert isinstance(answer, NoAnswer)
    return answer


@pytest.mark.parametrize("unasked", [CREATED, http(408, {})], ids=["created", "idle"])
@pytest.mark.parametrize("reads", [False, True])
async def test_bytes_received_before_a_call_are_not_its_answer(unasked: bytes, *, reads: bool) -> None:
    """Proxies send a 408 to an idle client; a confused one sends an answer meant for another client."""
    with ScriptedServer(always(Reply(CREATED, unasked=unasked), CREATED)) as server:
        async with connect(_connection(server.url)) as partner_central:
            assert isinstance(await partner_central.create(_body(), cleared()), HttpAnswer)
            await anyio.sleep(0.1)  # it is in the pool by now
            if reads:
                answer = await partner_central.list_one()
                assert isinstance(answer, NoAnswer)
                assert classify(answer) == Unreachable(UNASKED)
            else:
                assert await partner_central.create(_body(), cleared()) == _KEPT_BACK
            assert len(server.creates) == 1, "nothing of it has left"
            assert isinstance(await partner_central.create(_body(), cleared()), HttpAnswer)
    assert len(server.creates) == 2


@pytest.mark.parametrize("at", ["renewal", "word"])
async def test_a_bug_in_the_clearance_is_raised_and_not_taken_for_a_connection_fault(at: str) -> None:
    async def renew() -> None:
        if at == "renewal":
            raise ZeroDivisionError

    def objection() -> str:
        raise ZeroDivisionError

    with ScriptedServer(always(http(200, {}))) as server:
        async with connect(_connection(server.url)) as partner_central:
            with pytest.raises(ZeroDivisionError):
                await partner_central.create(_body(), Clearance(renew, objection))
        assert not server.heard


async def test_a_call_that_times_out_before_clearance_counts_as_withheld() -> None:
    """A slow disk is not an unreachable endpoint: no row has to wait for it."""
    with ScriptedServer(always(CREATED)) as server:
        async with connect(_connection(server.url, deadline=0.3)) as partner_central:
            answer = await partner_central.create(_body(), Clearance(lambda: anyio.sleep(5), lambda: ""))
        assert answer == _KEPT_BACK
        assert not server.heard
