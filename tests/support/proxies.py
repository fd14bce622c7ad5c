"""A real proxy (tinyproxy), and TLS before it for an https one."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from command import free_port, wait_until
from faults.needs import need

_TINYPROXY = shutil.which("tinyproxy", path="/usr/bin:/usr/sbin:/usr/local/bin")


@dataclass(frozen=True)
class Proxy:
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def tunnels(self) -> int:
        """How many it was asked for so far."""
        return self.log.read_text().count(": CONNECT ")


@contextmanager
def http_proxy(folder: Path) -> Iterator[Proxy]:
    need("tinyproxy", there=_TINYPROXY is not None)
    proxy = Proxy(free_port(), folder / "proxy.log")
    settings = {
        "Port": proxy.port,
        "Listen": "127.0.0.1",
        "Allow": "127.0.0.1",
        "Timeout": 60,
        "LogFile": f'"{proxy.log}"',
        "LogLevel": "Info",
    }
    configuration = folder / "tinyproxy.conf"
    configuration.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    with subprocess.Popen([str(_TINYPROXY), "-d", "-c", configuration], stdout=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: proxy.log.exists() and "Accepting connections" in proxy.log.read_text())
            yield proxy
        finally:
            process.terminate()


@dataclass
class Front:
    """TLS before a proxy. heard: the bytes that passed."""

    url: str = ""
    heard: list[bytes] = field(default_factory=list)


@asynccontextmanager
async def tls_before(proxy: Proxy, context: ssl.SSLContext) -> AsyncIterator[Front]:
    front = Front()

    async def relay(near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        far, on = await asyncio.open_connection("127.0.0.1", proxy.port)
        async with asyncio.TaskGroup() as group:
            group.create_task(_passed_on(near, on, front.heard))
            group.create_task(_passed_on(far, back, []))

    server = await asyncio.start_server(relay, "127.0.0.1", 0, ssl=context)
    front.url = f"https://localhost:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield front


async def _passed_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter, heard: list[bytes]) -> None:
    with suppress(OSError):
        while data := await source.read(65536):
            heard.append(data)
            sink.write(data)
            await sink.drain()
    sink.close()


@asynccontextmanager
async def tunnel_to(port: int) -> AsyncIterator[str]:
    """A proxy all of whose tunnels end at one port of this machine, wherever they are to lead."""

    async def tunnel(near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        await near.readuntil(b"\r\n\r\n")
        far, on = await asyncio.open_connection("127.0.0.1", port)
        back.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        async with asyncio.TaskGroup() as group:
            group.create_task(_passed_on(near, on, []))
            group.create_task(_passed_on(far, back, []))

    server = await asyncio.start_server(tunnel, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
