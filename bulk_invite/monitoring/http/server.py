"""The control server: what is told about a run, and what can be done to it, over HTTP."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterable
from functools import partial
from http import HTTPStatus
from typing import Any, Final, cast

import anyio
import structlog
from aiohttp import web
from aiohttp.http import HttpProcessingError
from aiohttp.typedefs import Handler, Middleware

from bulk_invite.domain.errors import ControlError
from bulk_invite.monitoring.http.answers import refused
from bulk_invite.monitoring.http.connection import Connection
from bulk_invite.monitoring.http.connections import Connections
from bulk_invite.monitoring.http.guard import Refusal, check_host
from bulk_invite.monitoring.http.pages import POLICY

_log = structlog.get_logger()

_LARGEST: Final = 4096
"""Bytes of a request's body."""

_PATIENCE_AT_END: Final = 0.1
"""Seconds, twice, that answers on their way are waited for; they take milliseconds."""


async def serve(host: str, port: int, routes: Iterable[web.RouteDef]) -> None:
    """Answer until cancelled; port 0 takes any that is free, and the log says which.

    Raises ControlError where it cannot listen.
    """
    app = web.Application(middlewares=[_guarded(host)], client_max_size=_LARGEST)
    app.add_routes(routes)
    app.on_response_prepare.append(_finish_headers)
    runner = _Runner(app)
    await runner.setup()
    try:
        await _listen(runner, host, port)
        await anyio.sleep_forever()
    finally:
        with anyio.CancelScope(shield=True):
            await runner.cleanup()


class _Runner(web.AppRunner):
    """Makes connections of ours."""

    def __init__(self, app: web.Application) -> None:
        super().__init__(app, shutdown_timeout=_PATIENCE_AT_END)
        self._make = partial(Connection, others=Connections(), logger=_complaints())

    @property
    def server(self) -> Any:
        """What makes a protocol for each connection."""
        server = super().server
        return None if server is None else partial(self._make, server)


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
    """What is refused gets its sentence, nobody gets in by another name, and no body is unpacked."""

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        cast("Connection", request.protocol).answering()
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            return refused(415)
        try:
            check_host(request.headers.get("Host"), host)
            return await handler(request)
        except Refusal as refusal:
            response = refused(refusal.status, str(refusal))
            if refusal.status == HTTPStatus.UNAUTHORIZED:
                response.headers["WWW-Authenticate"] = "Bearer"
            return response

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
            _log.debug("control.bad_request", kind=type(error).__name__)
        elif isinstance(error, ConnectionError):
            _log.debug("control.disconnected", kind=type(error).__name__)
        elif error is not None:
            # A defect of ours. Its text may hold anything, its place does not.
            *_, last = traceback.extract_tb(error.__traceback__)
            where = f"{last.filename}:{last.lineno}"
            _log.error("control.internal_error", kind=type(error).__name__, where=where)
        else:
            _log.warning("control.warning", reason=record.getMessage())


def _complaints() -> logging.Logger:
    logger = logging.getLogger("bulk_invite.monitoring.http")
    logger.handlers, logger.propagate = [_Complaints(logging.WARNING)], False
    return logger
