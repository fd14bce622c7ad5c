"""One connection of the control server: one request, one answer, each in its time.

aiohttp has a deadline for a connection that says nothing between two requests, and none for headers that come
byte by byte nor for an answer that is not taken. So each phase has a timer here that ends the connection:
headers whole, body whole (`changes`), answer taken. There is one request on a connection: nobody idles.
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

_TAKEN: Final = 5.0
"""Seconds for an answer to be taken; of a stream, for its last events, once they do not fit any more."""

_LINGERING: Final = 1.0
"""Seconds in which the rest of a body that nobody wants is passed over, lest the answer is lost with it."""

_MOST_WAITING: Final = 32 * 1024
"""Bytes of a request until it is taken up: headers with the cookies of everything on this machine, a body."""

_SEND_BUFFER: Final = 64 * 1024
"""Bytes that the system keeps of an answer: by itself it would keep megabytes for whoever reads nothing."""


class _Phase(Enum):
    HEADERS = auto()
    """They are still to come."""
    ANSWERING = auto()
    OVER = auto()
    """The answer is made, and only has to be taken."""


class Connection(web.RequestHandler):
    """Ends by itself, whatever the client does; `others` says which one has to end earlier."""

    def __init__(self, server: web.Server, others: Connections[Connection], logger: logging.Logger) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            logger=logger,
            access_log=None,  # type: ignore[arg-type]  # which it takes for: none
            lingering_time=_LINGERING,
            auto_decompress=False,  # a small body must not become a large one
        )
        self._others = others
        self._line: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._phase = _Phase.HEADERS
        self._came = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._line = cast("asyncio.Transport", transport)
        sock: socket.socket = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        self._within(_HEADERS, self._is_late)
        peer = transport.get_extra_info("peername") or ("",)
        gone = self._others.add(self, peer[0])
        super().connection_made(transport)
        if gone is not None:
            gone.abort()

    def data_received(self, data: bytes) -> None:
        self._came += len(data)
        super().data_received(data)
        if self._came > _MOST_WAITING and self._phase is _Phase.HEADERS:
            self._refuse(431)

    def answering(self) -> None:
        """The headers are whole, and fine."""
        self._phase = _Phase.ANSWERING
        self._others.answer(self)
        self._cancel_timer()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        self._phase = _Phase.OVER
        self._others.rest(self)
        self._within(_TAKEN, self.abort)
        resp = in_json(resp)
        resp.force_close()
        return await super().finish_response(request, resp, start_time)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._phase is _Phase.ANSWERING:
            self._within(_TAKEN, self.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._phase is _Phase.ANSWERING:
            self._cancel_timer()

    def abort(self) -> None:
        """End at once; what was not taken yet is lost."""
        if self._line is not None:
            self._line.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._cancel_timer()
        self._others.remove(self)
        self._line = None
        super().connection_lost(exc)

    def _is_late(self) -> None:
        if self._came:
            self._refuse(408)
        else:
            self.abort()

    def _refuse(self, status: int) -> None:
        """Answer one whose request never becomes whole."""
        self._phase = _Phase.OVER
        if self._line is not None:
            self._line.write(written(refused(status)))
        self.force_close()
        self._within(_TAKEN, self.abort)

    def _within(self, seconds: float, otherwise: Callable[[], None]) -> None:
        self._cancel_timer()
        self._timer = asyncio.get_running_loop().call_later(seconds, otherwise)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
