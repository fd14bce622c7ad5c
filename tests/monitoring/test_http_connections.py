"""The control server under clients that are slow, silent or many: probes are answered all the same."""

from __future__ import annotations

import gzip
import json
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import anyio
import pytest
from anyio.abc import SocketStream
from page_server import TOKEN, ScriptedRun
from structlog.testing import capture_logs

from bulk_invite.monitoring.health import Health
from bulk_invite.monitoring.http.api import api_routes
from bulk_invite.monitoring.http.changes import change_routes
from bulk_invite.monitoring.http.connections import Connections
from bulk_invite.monitoring.http.guard import RefusalCounter
from bulk_invite.monitoring.http.pages import page_routes
from bulk_invite.monitoring.http.probes import health_routes
from bulk_invite.monitoring.http.server import serve
from bulk_invite.monitoring.status import RunState

Address = tuple[str, int]

MANY = 140
"""More connections than there may be."""

CHANGE = (
    "POST /api/pause HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    f"Authorization: Bearer {TOKEN}\r\n"
).encode()


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": True}  # as the program runs


async def _metrics(_: str) -> tuple[bytes, str]:
    return b"", "text/plain"


@asynccontextmanager
async def serving(run: ScriptedRun) -> AsyncIterator[tuple[Address, list[Any]]]:
    """All pages of a run; where they are, and the log."""
    routes = [
        *health_routes(Health(time.time).view),
        *api_routes(run, _metrics),
        *change_routes(run, run, TOKEN),
        *page_routes(),
    ]
    with capture_logs() as logged:
        async with anyio.create_task_group() as group:
            group.start_soon(serve, "127.0.0.1", 0, routes)
            while not logged:  # noqa: ASYNC110 - there is nothing but the log
                await anyio.sleep(0.001)
            yield ("127.0.0.1", logged[0]["port"]), logged
            group.cancel_scope.cancel()


async def asked(at: Address, request: bytes, within: float = 1.0) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body that come until the server hangs up."""
    answer = b""
    with anyio.fail_after(within):
        async with await anyio.connect_tcp(*at) as stream:
            with suppress(anyio.BrokenResourceError):  # it may close a connection that it refuses
                await stream.send(request)
            async for data in stream:
                answer += data
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(first.split()[1]), headers, body


def get(path: str, method: str = "GET", more: str = "") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n".encode()


@pytest.mark.anyio
@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"GET /livez HTTP/1.1\r\nHost: local",
        CHANGE + b"Content-Length: 400\r\n\r\n{",
        CHANGE.replace(TOKEN.encode(), b"wrong") + b"Content-Length: 400\r\n\r\n{",
        get("/api/events"),
        get("/page.js"),
        get("/livez") * 20,
        get("/api/status"),
    ],
    ids=["silent", "headers", "body", "refused", "events", "unread", "pipelined", "all answered at once"],
)
async def test_probes_are_answered_whatever_one_peer_keeps_open(begun: bytes) -> None:
    """Also one that has the same address as the probe, as all have behind 127.0.0.1."""
    run = ScriptedRun()
    run.silent = b"/api/status" in begun
    async with serving(run) as (at, logged), AsyncExitStack() as stack:
        for _ in range(MANY):
            stream = await stack.enter_async_context(await anyio.connect_tcp(*at))
            if begun:
                with suppress(anyio.BrokenResourceError):
                    await stream.send(begun)
        for _ in range(3):
            assert (await asked(at, get("/livez")))[::2] == (200, b'{"live":true}')
            assert (await asked(at, get("/readyz")))[0] == 503
    assert not [each for each in logged if each["event"] == "control.internal_error"]


async def _rest(stream: SocketStream) -> bytes:
    rest = b""
    with suppress(anyio.BrokenResourceError):
        async for data in stream:
            rest += data
    return rest


@pytest.mark.anyio
async def test_a_slow_client_is_disconnected_within_seconds() -> None:
    ways = {
        b"": b"",
        b"GET /livez HTTP/1.1\r\n": b"X: 1\r\n",
        CHANGE + b"Content-Length: 400\r\n\r\n": b" ",
    }
    ended: dict[bytes, tuple[float, bytes]] = {}
    async with serving(ScriptedRun()) as (at, logged):

        async def drip(begun: bytes, drop: bytes) -> None:
            began = time.monotonic()
            async with await anyio.connect_tcp(*at) as stream, anyio.create_task_group() as group:

                async def drops() -> None:
                    while drop:
                        await stream.send(drop)
                        await anyio.sleep(0.5)

                if begun:
                    await stream.send(begun)
                group.start_soon(drops)
                answer = await _rest(stream)
                ended[begun] = (time.monotonic() - began, answer)
                group.cancel_scope.cancel()

        with anyio.fail_after(9):
            async with anyio.create_task_group() as group:
                for each in ways.items():
                    group.start_soon(drip, *each)
    assert all(4.5 < seconds < 8 for seconds, _ in ended.values())
    silent, *others = (answer for _, answer in ended.values())
    assert silent == b""
    for answer in others:
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert list(json.loads(answer.partition(b"\r\n\r\n")[2])) == ["error"]
    assert not [each for each in logged if each["event"] == "control.internal_error"]


@pytest.mark.anyio
async def test_unread_streams_are_ended() -> None:
    """They are few, what waits to be read of them is bounded, and so is how long."""
    run = ScriptedRun()
    async with serving(run) as (at, _), AsyncExitStack() as stack:
        for _ in range(32):
            reader = stack.enter_context(socket.socket())
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            reader.connect(at)
            reader.sendall(get("/api/events"))
        assert (await asked(at, get("/api/events")))[0] == 503
        for _ in range(4):
            run.becomes({"sources": ("x" * 100_000,)})
            await anyio.sleep(0.01)
        run.becomes({"state": RunState.FINISHED})  # so that a stream that is read ends
        began = time.monotonic()
        with anyio.fail_after(12):
            while (await asked(at, get("/api/events")))[0] == 503:  # noqa: ASYNC110 - the server is asked
                await anyio.sleep(0.3)
        assert 4 < time.monotonic() - began < 9


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (get("/nowhere"), 404),
        (get("/livez", "DELETE"), 405),
        (get("/api/pause"), 405),
        (get("/livez", more="Expect: the impossible\r\n"), 417),
        (b"NONSENSE\r\n\r\n", 400),
        (get("/livez", more="".join(f"X{n}: {'x' * 4000}\r\n" for n in range(20))), 431),
        (get("/livez").replace(b"localhost", b"evil.example.com"), 421),
        (CHANGE + b"Content-Length: 3\r\n\r\n[1]", 400),
        (CHANGE + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (CHANGE + b"Content-Length: 5000\r\n\r\n" + b" " * 5000, 413),
        (CHANGE.replace(b"application/json", b"text/plain") + b"Content-Length: 2\r\n\r\n{}", 415),
        (CHANGE.replace(TOKEN.encode(), b"wrong") + b"Content-Length: 2\r\n\r\n{}", 401),
        (CHANGE + b"Origin: https://evil.example.com\r\nContent-Length: 2\r\n\r\n{}", 403),
    ],
)
async def test_every_error_has_the_same_form(request_: bytes, status: int) -> None:
    async with serving(ScriptedRun()) as (at, logged):
        answered, headers, body = await asked(at, request_)
    assert answered == status
    assert headers["content-type"] == "application/json"
    said = json.loads(body)
    assert list(said) == ["error"]
    assert said["error"].endswith(".")
    assert ("allow" in headers) == (status == 405)
    assert "aiohttp" not in str(headers)
    assert not [each for each in logged if each["event"] == "control.internal_error"]


@pytest.mark.anyio
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "GZIP, gzip"])
async def test_no_body_is_decompressed(encoding: str) -> None:
    """A bomb of some kilobytes, or only its head."""
    run = ScriptedRun()
    for body in (gzip.compress(b'{"a":"' + b"x" * 2_000_000 + b'"}'), b"{}"):
        more = f"Content-Encoding: {encoding}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        async with serving(run) as (at, logged):
            assert (await asked(at, CHANGE + more + body))[0] == 415
        assert [each["event"] for each in logged] == ["control.listening"]
    assert run.status_now.state == "sending"


@pytest.mark.anyio
async def test_a_head_request_for_the_events_keeps_no_stream_open() -> None:
    async with serving(ScriptedRun()) as (at, _):
        for _ in range(40):  # more than streams at a time
            answered, headers, body = await asked(at, get("/api/events", "HEAD"))
            assert (answered, headers["content-type"], body) == (200, "text/event-stream", b"")


@pytest.mark.anyio
async def test_refused_changes_are_in_the_log_without_their_token_and_do_not_fill_it() -> None:
    async with serving(ScriptedRun()) as (at, logged):
        for _ in range(12):
            wrong = CHANGE.replace(TOKEN.encode(), b"guessed-token") + b"Content-Length: 2\r\n\r\n{}"
            assert (await asked(at, wrong))[0] == 401
    refused = [each for each in logged if each["event"] == "control.refused"]
    assert [each["times"] for each in refused] == [1, 10]
    assert (refused[0]["action"], refused[0]["remote"], refused[0]["log_level"]) == (
        "pause",
        "127.0.0.1",
        "warning",
    )
    assert "guessed-token" not in str(logged)
    assert TOKEN not in str(logged)


def test_refusals_are_logged_again_after_a_minute() -> None:
    refusals = RefusalCounter()
    assert [refusals.count(now) for now in (0, 1, 2, 59, 60, 61)] == [1, None, None, None, 1, None]


def test_the_oldest_waiting_connection_of_the_largest_peer_is_closed() -> None:
    connections: Connections[str] = Connections(most=4, most_of_a_peer=3)
    add = connections.add
    assert [add(*each) for each in [("a1", "a"), ("a2", "a"), ("b1", "b"), ("b2", "b")]] == [None] * 4
    assert add("c1", "c") == "a1"
    connections.answer("b1")
    assert add("b3", "b") == "b2"
    assert add("b4", "b") == "b3"
    connections.answer("b4")
    assert add("b5", "b") == "b1"  # all are answered, so the oldest goes
    connections.remove("a2")
    assert add("b6", "b") is None


def test_one_peer_leaves_room_for_other_peers() -> None:
    connections: Connections[int] = Connections(most=10, most_of_a_peer=4)
    assert [connections.add(n, "a") for n in range(6)] == [None] * 4 + [0, 1]
    connections.answer(2)
    assert connections.add(6, "a") == 3
    connections.rest(2)
    assert connections.add(7, "a") == 2
    assert connections.add(8, "b") is None
