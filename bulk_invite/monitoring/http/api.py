"""Read-only endpoints of a run: status, history, events and metrics."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import anyio
import orjson
from aiohttp import hdrs, web

from bulk_invite.monitoring.http.answers import answer, refused
from bulk_invite.monitoring.status import Past, RunState, RunStatus

_EVERY: Final = 1.0
"""Seconds between two events."""

_STREAMS: Final = 32
"""Maximum simultaneous event streams, so that connections remain for probes."""

_RETRY: Final = b"retry: 1000\n\n"
"""Tells browsers to reconnect after 1000 ms."""

_STREAM: Final = {"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}


class WatchedRun(Protocol):
    """A run. over: set once it has ended and its final status is known."""

    over: anyio.Event

    async def status(self) -> RunStatus: ...

    def past(self) -> Past: ...


def api_routes(
    run: WatchedRun, exposition: Callable[[str], Awaitable[tuple[bytes, str]]]
) -> list[web.RouteDef]:
    """exposition: takes the `Accept` header; returns the metrics and their content type."""

    async def status(_: web.Request) -> web.Response:
        return answer(await run.status())

    async def history(_: web.Request) -> web.Response:
        return answer(run.past())

    streams = anyio.CapacityLimiter(_STREAMS)

    async def events(request: web.Request) -> web.StreamResponse:
        stream = object()
        if request.method == hdrs.METH_HEAD:
            return web.Response(headers=_STREAM)
        try:
            streams.acquire_on_behalf_of_nowait(stream)
        except anyio.WouldBlock:
            return refused(503, "Too many event streams; close one and try again.")
        try:
            return await _events(request, run)
        finally:
            streams.release_on_behalf_of(stream)

    async def metrics(request: web.Request) -> web.Response:
        body, content_type = await exposition(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    return [
        web.get("/api/status", status),
        web.get("/api/history", history),
        web.get("/api/events", events),
        web.get("/metrics", metrics),
    ]


async def _events(request: web.Request, run: WatchedRun) -> web.StreamResponse:
    """Send the status every second until the run has ended or the client disconnects."""
    response = web.StreamResponse(headers=_STREAM)
    response.force_close()
    await response.prepare(request)
    try:
        await response.write(_RETRY)
        while True:
            status = await run.status()
            await response.write(b"event: status\ndata: " + orjson.dumps(status) + b"\n\n")
            if status.state is RunState.FINISHED:
                return response
            with anyio.move_on_after(_EVERY):
                await run.over.wait()
    except ConnectionError:
        pass  # the client has disconnected
    return response
