"""The control server: shows and changes a run over HTTP."""

from __future__ import annotations

import asyncio
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
from bulk_invite.domain.socket_errors import listen_failure
from bulk_invite.monitoring.http.answers import refused
from bulk_invite.monitoring.http.connection import Connection
from bulk_invite.monitoring.http.connections import Connections
from bulk_invite.monitoring.http.guard import Refusal, check_host
from bulk_invite.monitoring.http.pages import POLICY

_log = structlog.get_logger()

_LARGEST: Final = 4096
"""Maximum bytes of a request body."""

_PATIENCE_AT_END: Final = 0.1
"""Seconds, applied twice, to finish responses at shutdown; they take milliseconds."""


async def serve(host: str, port: int, routes: Iterable[web.RouteDef]) -> None:
    """Serve until cancelled. With port 0, the log has the port that was picked.

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
            await _stop_accepting(runner)
            await runner.cleanup()


async def _stop_accepting(runner: web.AppRunner) -> None:
    """Accept no more, and let the accepted connections begin.

    A server that closes before they do loses them: the client waits for an answer that never comes (CPython
    issue 109564).
    """
    loop = asyncio.get_running_loop()
    for site in runner.sites:
        server = site._server  # noqa: SLF001 - there is no public access
        if isinstance(server, asyncio.Server):  # not that of uvloop, which does not lose them
            for listening in server.sockets:
                loop.remove_reader(listening)
    for _ in range(2):  # its task makes the transport; then the transport tells the connection
        await asyncio.sleep(0)


class _Runner(web.AppRunner):
    """Uses `Connection` for its connections."""

    def __init__(self, app: web.Application) -> None:
        super().__init__(app, shutdown_timeout=_PATIENCE_AT_END)
        self._make = partial(Connection, others=Connections(), logger=_logger())

    @property
    def server(self) -> Any:
        """A factory of protocols, one for each connection."""
        server = super().server
        return None if server is None else partial(self._make, server)


async def _listen(runner: web.AppRunner, host: str, port: int) -> None:
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        raise ControlError(
            f"The control server cannot listen on {host} port {port}: {listen_failure(error)}.",
            hint="Choose a local address and a free port with --listen HOST:PORT; port 0 picks one.",
        ) from error
    for address in runner.addresses:
        _log.info("control.listening", host=address[0], port=address[1])


def _guarded(host: str) -> Middleware:
    """Checks the Host header, refuses compressed bodies, and turns refusals into responses."""

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
    """Set security headers, forbid caching, and hide the version of the server."""
    response.headers.pop("Server", None)
    response.headers["Cache-Control"] = "no-store"
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"


class _WarningEvents(logging.Handler):
    """Turns warnings of aiohttp into events, without text from requests, which is untrusted."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError):
            _log.debug("control.bad_request", kind=type(error).__name__)
        elif isinstance(error, ConnectionError):
            _log.debug("control.disconnected", kind=type(error).__name__)
        elif error is not None:
            # A bug of ours. Its text may contain anything, its location may not.
            *_, last = traceback.extract_tb(error.__traceback__)
            where = f"{last.filename}:{last.lineno}"
            _log.error("control.internal_error", kind=type(error).__name__, where=where)
        else:
            _log.warning("control.warning", reason=record.getMessage())


def _logger() -> logging.Logger:
    logger = logging.getLogger("bulk_invite.monitoring.http")
    logger.handlers, logger.propagate = [_WarningEvents(logging.WARNING)], False
    return logger
