"""The control server on real sockets, and its address on the command line."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import anyio.lowlevel
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from bulk_invite.domain.errors import ControlError, UsageError
from bulk_invite.monitoring.health import Health
from bulk_invite.monitoring.http.probes import health_routes
from bulk_invite.monitoring.http.server import serve
from bulk_invite.runs.settings import value_types
from bulk_invite.runs.settings.loading import load


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture
def health() -> Health:
    return Health(time.time)


def _listening(logged: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [each for each in logged if each["event"] == "control.listening"]


@asynccontextmanager
async def serving(health: Health, address: str = "127.0.0.1:0") -> AsyncIterator[tuple[str, int]]:
    """The server as a watcher in a task group; gives what the log says of where it listens."""
    host, port = value_types.host_and_port(address)
    with capture_logs() as logged:
        async with anyio.create_task_group() as group:
            group.start_soon(serve, host, port, health_routes(health.view))
            with anyio.fail_after(5):
                while not (said := _listening(logged)):  # noqa: ASYNC110 - there is nothing but the log
                    await anyio.sleep(0.001)
            yield said[0]["host"], said[0]["port"]
            began = time.monotonic()
            group.cancel_scope.cancel()
    assert time.monotonic() - began < 1
    assert {each["event"] for each in logged} <= {
        *("control.listening", "control.bad_request"),
        *("health.ready", "health.not_ready"),
    }


async def exchange(at: tuple[str, int], request: bytes) -> tuple[int, dict[str, str], bytes]:
    """All that the server sends until it disconnects: status, headers by names in lower case, body."""
    async with await anyio.connect_tcp(*at) as stream:
        await stream.send(request)
        answer = b""
        with anyio.fail_after(5):
            async for data in stream:
                answer += data
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(first.split()[1]), headers, body


def request(method: str, path: str) -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()


@pytest.mark.anyio
async def test_livez_and_readyz_report_the_health(health: Health) -> None:
    async with serving(health) as (host, port), aiohttp.ClientSession(f"http://{host}:{port}") as client:

        async def get(path: str) -> tuple[int, Any]:
            async with client.get(path) as answer:
                assert answer.content_type == "application/json"
                return answer.status, await answer.json()

        reasons = dict.fromkeys(["source", "checkpoint", "endpoint"], "not asked yet")
        assert await get("/readyz") == (503, {"ready": False, "reasons": reasons})
        assert await get("/livez") == (200, {"live": True})
        for part in (health.source, health.checkpoint, health.endpoint):
            part.answers()
        assert await get("/readyz") == (200, {"ready": True, "reasons": {}})
        health.endpoint.fails("ConnectTimeout")
        reasons = {"endpoint": "ConnectTimeout"}
        assert await get("/readyz") == (503, {"ready": False, "reasons": reasons})
        assert await get("/livez") == (200, {"live": True})


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/livez", 200),
        ("HEAD", "/livez", 200),
        ("HEAD", "/readyz", 503),
        ("GET", "/livez?verbose", 200),
        ("GET", "/", 404),
        ("GET", "/livez/", 404),
        ("GET", "/metrics", 404),
        ("GET", "/../etc/passwd", 404),
        ("POST", "/livez", 405),
        ("DELETE", "/readyz", 405),
        ("OPTIONS", "/readyz", 405),
        ("POST", "/elsewhere", 404),
    ],
)
async def test_only_known_pages_are_served_and_only_for_reading(
    health: Health, method: str, path: str, status: int
) -> None:
    async with serving(health) as at:
        answered, headers, body = await exchange(at, request(method, path))
    assert answered == status
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers
    assert (body == b"") == (method == "HEAD")


@pytest.mark.anyio
@pytest.mark.parametrize(
    "sent",
    [
        b"NONSENSE\r\n\r\n",
        b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: secret\r\n\r\n",
        b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
    ids=["no HTTP", "TLS", "a broken header", "too long"],
)
async def test_a_client_that_speaks_no_http_is_refused_and_does_not_fill_the_log(
    health: Health, sent: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    async with serving(health) as at:
        assert (await exchange(at, sent))[0] == 400
        assert (await exchange(at, request("GET", "/livez")))[0] == 200
    assert capfd.readouterr() == ("", "")


@pytest.mark.anyio
async def test_a_defective_page_is_reported_without_its_data() -> None:
    async def page(_: web.Request) -> web.Response:
        raise ValueError("secret")

    with capture_logs() as logged:
        async with anyio.create_task_group() as group:
            group.start_soon(serve, "127.0.0.1", 0, [web.get("/page", page)])
            while not (said := _listening(logged)):  # noqa: ASYNC110 - there is nothing but the log
                await anyio.sleep(0.001)
            answer = await exchange((said[0]["host"], said[0]["port"]), request("GET", "/page"))
            group.cancel_scope.cancel()
    assert answer[0] == 500
    (defect,) = (each for each in logged if each["event"] == "control.internal_error")
    assert (defect["kind"], Path(__file__).name in defect["where"]) == ("ValueError", True)
    assert "secret" not in str(logged) + str(answer)


@pytest.mark.anyio
async def test_no_client_delays_the_shutdown(health: Health) -> None:
    """Connections that said nothing, half a request, a request without its body, and one that is idle."""
    pieces = [b"", b"GET /li", b"POST /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n"]
    idle = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
    streams = []
    async with serving(health) as at:
        for piece in [*pieces, idle]:
            streams.append(await anyio.connect_tcp(*at))
            if piece:
                await streams[-1].send(piece)
        assert (await streams[-1].receive()).startswith(b"HTTP/1.1 200")
    for stream in streams:
        with anyio.fail_after(1), suppress(anyio.BrokenResourceError):
            async for _ in stream:
                pass
        await stream.aclose()
    with pytest.raises(OSError, match=r"(?i)failed|refused"):
        await anyio.connect_tcp(*at)


@pytest.mark.anyio
@pytest.mark.parametrize("passes", range(4))
async def test_a_connection_at_the_moment_of_the_shutdown_is_closed(health: Health, passes: int) -> None:
    """passes: of the event loop, from the connection to the shutdown."""
    async with serving(health) as (host, port):
        client = socket.create_connection((host, port))
        for _ in range(passes):
            await anyio.lowlevel.checkpoint()
    with client:
        client.settimeout(1)
        with suppress(ConnectionResetError):
            assert client.recv(1) == b""


@pytest.mark.anyio
async def test_the_server_listens_on_ipv6(health: Health) -> None:
    async with serving(health, "[::1]:0") as at:
        assert at[0] == "::1"
        assert (await exchange(at, request("GET", "/livez")))[0] == 200


@pytest.mark.anyio
async def test_a_port_in_use_is_reported(health: Health) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ControlError) as caught:
            await serve("127.0.0.1", port, health_routes(health.view))
    assert caught.value.exit_code == 4
    assert f"cannot listen on 127.0.0.1 port {port}" in str(caught.value)
    assert "--listen" in caught.value.hint


@pytest.mark.anyio
@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
async def test_an_address_that_is_not_ours_is_reported(health: Health, host: str) -> None:
    with pytest.raises(ControlError, match=f"cannot listen on {host} port 0: ."), anyio.fail_after(10):
        await serve(host, 0, health_routes(health.view))


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:8081", "127.0.0.1", 8081),
        ("8081", "127.0.0.1", 8081),
        ("localhost:0", "localhost", 0),
        ("[::1]:8080", "::1", 8080),
        ("[::]:65535", "::", 65535),
        ("probes.example-1.com:1", "probes.example-1.com", 1),
    ],
)
def test_an_address_is_parsed(text: str, host: str, port: int) -> None:
    assert value_types.host_and_port(text) == (host, port)
    assert load({"listen": text}, None, {}).listen == text


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            ":8080",
            "80 80",
            "127.0.0.1",
            "127.0.0.1:",
            "127.0.0.1:65536",
            "127.0.0.1:-1",
            "127.0.0.1:http",
        ),
        *(
            "::1:8080",
            "[::1]",
            "[]:80",
            "[localhost]:80",
            "[::1]]:80",
            "http://127.0.0.1:80",
            "127.0.0.1:80/x",
        ),
        *("a b:80", "127.0.0.1:80\n", "-a:80", "127.0.0.1:٨٠", "*:80", "user:password@host:80"),
    ],
)
def test_an_invalid_address_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match=r"^Invalid value for --listen on the command line: ") as caught:
        load({"listen": text}, None, {})
    assert "[::1]:8081" in str(caught.value)
    assert "bulk-invite send --help" in caught.value.hint


def test_an_error_names_where_the_address_was_set(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text(f"listen = {json.dumps('nowhere')}\n")
    with pytest.raises(UsageError, match=r"in .*c\.toml"):
        load({}, config, {})
    with pytest.raises(UsageError, match="BULK_INVITE_LISTEN"):
        load({}, None, {"BULK_INVITE_LISTEN": "nowhere"})
    assert load({}, None, {}).listen is None


@pytest.mark.anyio
async def test_thousands_of_connections_do_not_exhaust_the_server(health: Health) -> None:
    """The oldest give way to new ones, so that a probe always gets in."""
    async with serving(health) as at:
        silent = [await anyio.connect_tcp(*at) for _ in range(200)]
        assert (await exchange(at, request("GET", "/livez")))[0] == 200
        ended = []
        for stream in silent:
            with anyio.move_on_after(0.01) as waited, suppress(anyio.BrokenResourceError):
                async for _ in stream:
                    pytest.fail("nothing was asked")
            ended.append(not waited.cancelled_caught)
            await stream.aclose()
        assert ended == [True] * (200 - 63) + [False] * 63
