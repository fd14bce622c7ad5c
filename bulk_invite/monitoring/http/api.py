"""What a run tells of itself: status, past, events and metrics."""

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
"""Streams of events at a time: they must leave connections for the probes."""

_RETRY: Final = b"retry: 1000\n\n"
"""Milliseconds after which a browser asks again when the connection was lost."""

_STREAM: Final = {"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}


class Told(Protocol):
    """One run. over: set when it has ended and its last status is there."""

    over: anyio.Event

    async def status(self) -> RunStatus: ...

    def past(self) -> Past: ...


def api_routes(run: Told, exposition: Callable[[str], Awaitable[tuple[bytes, str]]]) -> list[web.RouteDef]:
    """exposition: the metrics in a format that the given `Accept` takes, and its content type."""

    async def status(_: web.Request) -> web.Response:
        return answer(await run.status())

    async def history(_: web.Request) -> web.Response:
        return answer(run.past())

    listening = anyio.CapacityLimiter(_STREAMS)

    async def events(request: web.Request) -> web.StreamResponse:
        stream = object()
        if request.method == hdrs.METH_HEAD:
            return web.Response(headers=_STREAM)
        try:
            listening.acquire_on_behalf_of_nowait(stream)
        except anyio.WouldBlock:
            return refused(503, "As many as can be are told of events already.")
        try:
            return await _events(request, run)
        finally:
            listening.release_on_behalf_of(stream)

    async def metrics(request: web.Request) -> web.Response:
        body, content_type = await exposition(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    return [
        web.get("/api/status", status),
        web.get("/api/history", history),
        web.get("/api/events", events),
        web.get("/metrics", metrics),
    ]


async def _events(request: web.Request, run: Told) -> web.StreamResponse:
    """The status, again and again, until the run has ended or nobody listens."""
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
        pass  # nobody listens any more
    return response
