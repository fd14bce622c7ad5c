"""One connection of the control server: one request and one response, each with a deadline.

aiohttp limits the idle time between two requests, but neither slow headers nor a response that the client
does not read. So each phase has a timer that closes the connection: headers, body (in `changes`), response.
Each connection serves one request, so none is ever idle.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from enum import Enum, auto
from typing import Final, cast

from aiohttp import web

from bulk_invite.monitoring.http.answers import in_json, refused, written
from bulk_invite.monitoring.http.connections import Connections

_HEADERS: Final = 5.0
"""Seconds from the connection to the end of the headers."""

_READ: Final = 5.0
"""Seconds for the client to read a response; for a stream, from the moment that its buffer is full."""

_LINGERING: Final = 1.0
"""Seconds for discarding the rest of an unwanted body; closing earlier could lose the response."""

_MAX_UNHANDLED: Final = 32 * 1024
"""Maximum bytes before a request is handled: headers, including cookies of other local services, and body."""

_SEND_BUFFER: Final = 64 * 1024
"""Bytes of the socket's send buffer; by default it could hold megabytes for a client that does not read."""


class _Phase(Enum):
    HEADERS = auto()
    """Waiting for the headers."""
    ANSWERING = auto()
    OVER = auto()
    """The response is complete; the client has to read it."""


class Connection(web.RequestHandler):
    """Always ends in bounded time; `others` may close it earlier to admit a new connection."""

    def __init__(self, server: web.Server, others: Connections[Connection], logger: logging.Logger) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            logger=logger,
            access_log=None,  # type: ignore[arg-type]  # None disables it
            lingering_time=_LINGERING,
            auto_decompress=False,  # a small body must not expand to a large one
        )
        self._others = others
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._phase = _Phase.HEADERS
        self._received = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        sock: socket.socket = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        self._within(_HEADERS, self._time_out)
        peer = transport.get_extra_info("peername") or ("",)
        evicted = self._others.add(self, peer[0])
        super().connection_made(transport)
        if evicted is not None:
            evicted.abort()

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        super().data_received(data)
        if self._received > _MAX_UNHANDLED and self._phase is _Phase.HEADERS:
            self._refuse(431)

    def answering(self) -> None:
        """The headers are complete and valid."""
        self._phase = _Phase.ANSWERING
        self._others.answer(self)
        self._cancel_timer()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        self._phase = _Phase.OVER
        self._others.rest(self)
        self._within(_READ, self.abort)
        resp = in_json(resp)
        resp.force_close()
        return await super().finish_response(request, resp, start_time)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._phase is _Phase.ANSWERING:
            self._within(_READ, self.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._phase is _Phase.ANSWERING:
            self._cancel_timer()

    def abort(self) -> None:
        """Close immediately; unread data is lost."""
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._cancel_timer()
        self._others.remove(self)
        self._transport = None
        super().connection_lost(exc)

    def _time_out(self) -> None:
        if self._received:
            self._refuse(408)
        else:
            self.abort()

    def _refuse(self, status: int) -> None:
        """Respond to a request that will never be complete."""
        self._phase = _Phase.OVER
        if self._transport is not None:
            self._transport.write(written(refused(status)))
        self.force_close()
        self._within(_READ, self.abort)

    def _within(self, seconds: float, otherwise: Callable[[], None]) -> None:
        self._cancel_timer()
        self._timer = asyncio.get_running_loop().call_later(seconds, otherwise)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
