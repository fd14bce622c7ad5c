"""Faults on the wire: a replaced response or a broken connection."""

from __future__ import annotations

import socket
import struct
from typing import Final

from aiohttp import web

from bulk_invite.rehearsal.emulator.faults import Fault
from bulk_invite.rehearsal.emulator.responses import HTML, JSON, Answer, refusal

_REPLACED: Final = {
    Fault.ERROR_500: refusal("InternalServerException", "The emulator fails this call on purpose."),
    Fault.ERROR_503: Answer("none", b"<html><body>503 Service Unavailable</body></html>", 503, HTML),
    Fault.EMPTY: Answer("none", b"{}"),
    Fault.HTML: Answer("none", b"<html><body>Welcome to the proxy</body></html>", 200, HTML),
}
_TRUNCATED: Final = (
    f'HTTP/1.1 200 OK\r\nContent-Type: {JSON}\r\nContent-Length: 160\r\n\r\n{{"Id":"engi-'.encode()
)
_LINGER_NOT: Final = struct.pack("ii", 1, 0)


def response(
    request: web.Request, answer: Answer, fault: Fault | None, request_id: str
) -> web.StreamResponse:
    """The response for an answer and its fault; breaks the connection where the fault requires it."""
    match fault:
        case Fault.RESET_BEFORE | Fault.RESET_AFTER:
            _reset(request)
        case Fault.CLOSE:
            _close(request)
        case Fault.TRUNCATE:
            _close(request, _TRUNCATED)
        case _:
            pass
    shown = answer if fault is None else _REPLACED.get(fault, answer)
    return web.Response(
        body=shown.body,
        status=shown.status,
        headers={"Content-Type": shown.content_type, **shown.headers(request_id)},
    )


def has_gone(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


def hang_up(request: web.Request) -> web.StreamResponse:
    _close(request)
    return web.Response()


def _reset(request: web.Request) -> None:
    """Close with RST instead of FIN: with a linger time of zero, a socket discards unsent data."""
    if request.transport is not None:
        connection: socket.socket = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        request.transport.abort()


def _close(request: web.Request, last: bytes = b"") -> None:
    if request.transport is not None:
        request.transport.write(last)
        request.transport.close()
