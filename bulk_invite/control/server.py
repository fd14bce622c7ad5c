"""The control server: what is told about a run, and what can be done to it, over HTTP."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Iterable
from functools import partial
from http import HTTPStatus
from typing import Any, Final

import anyio
import structlog
from aiohttp import web
from aiohttp.http import HttpProcessingError
from aiohttp.typedefs import Handler, Middleware

from bulk_invite.control.api import answer
from bulk_invite.control.guard import Refusal, check_host
from bulk_invite.control.pages import POLICY
from bulk_invite.errors import ControlError

_log = structlog.get_logger()

_LARGEST: Final = 4096
"""Bytes of a request's body."""

_MOST: Final = 128
"""Connections at a time."""

_IDLE: Final = 30.0
"""Seconds that a connection may say nothing."""

_PATIENCE_AT_END: Final = 0.1
"""Seconds, twice, that answers on their way are waited for; they take milliseconds."""


async def serve(host: str, port: int, routes: Iterable[web.RouteDef]) -> None:
    """Answer until cancelled; port 0 takes any that is free, and the log says which.

    Raises ControlError where it cannot listen.
    """
    app = web.Application(middlewares=[_guarded(host)], client_max_size=_LARGEST)
    app.add_routes(routes)
    app.on_response_prepare.append(_finish_headers)
    runner = _Runner(
        app,
        access_log=None,
        logger=_complaints(),
        keepalive_timeout=_IDLE,
        shutdown_timeout=_PATIENCE_AT_END,
    )
    await runner.setup()
    try:
        await _listen(runner, host, port)
        await anyio.sleep_forever()
    finally:
        with anyio.CancelScope(shield=True):
            await runner.cleanup()


class _Refused(asyncio.Protocol):
    """A connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


class _Runner(web.AppRunner):
    """Takes `_MOST` connections at a time: whoever opens thousands must not use up the files of the run."""

    @property
    def server(self) -> Any:
        """What makes a protocol for each connection."""
        server = super().server
        return None if server is None else partial(_taken, server)


def _taken(server: web.Server) -> asyncio.BaseProtocol:
    return server() if len(server.connections) < _MOST else _Refused()


async def _listen(runner: web.AppRunner, host: str, port: int) -> None:
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        raise ControlError(
            f"The control server cannot listen on {host} port {port}: {error.strerror or error}.",
            hint="Name an address of this machine and a port that is free with --listen HOST:PORT; "
            "port 0 takes any.",
        ) from error
    for address in runner.addresses:
        _log.info("control.listening", host=address[0], port=address[1])


def _guarded(host: str) -> Middleware:
    """What is refused gets its sentence, and nobody gets in by another name."""

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            check_host(request.headers.get("Host"), host)
            return await handler(request)
        except Refusal as refusal:
            refused = answer({"error": str(refusal)}, status=refusal.status)
            if refusal.status == HTTPStatus.UNAUTHORIZED:
                refused.headers["WWW-Authenticate"] = "Bearer"
            return refused

    return guarded


async def _finish_headers(_: web.Request, response: web.StreamResponse) -> None:
    """Say nothing of versions, let nobody keep an answer (it is true for a moment), nor take it for more."""
    response.headers.pop("Server", None)
    response.headers["Cache-Control"] = "no-store"
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"


class _Complaints(logging.Handler):
    """What aiohttp complains of, as events: without texts of a request, which anybody may have sent."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError):
            _log.debug("control.not_http", kind=type(error).__name__)
        elif error is not None:
            # A defect of ours. Its text may hold anything, its place does not.
            *_, last = traceback.extract_tb(error.__traceback__)
            where = f"{last.filename}:{last.lineno}"
            _log.error("control.defect", kind=type(error).__name__, where=where)
        else:
            _log.warning("control.warning", reason=record.getMessage())


def _complaints() -> logging.Logger:
    logger = logging.getLogger("bulk_invite.control")
    logger.handlers, logger.propagate = [_Complaints(logging.WARNING)], False
    return logger
