"""The control server: what is told about a run, and later what can be done to it, over HTTP."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterable
from typing import Final

import anyio
import structlog
from aiohttp import web
from aiohttp.http import HttpProcessingError

from bulk_invite.errors import ControlError

_log = structlog.get_logger()

_IDLE: Final = 30.0
"""Seconds that a connection may say nothing."""

_PATIENCE_AT_END: Final = 0.1
"""Seconds, twice, that answers on their way are waited for; they take milliseconds."""


async def serve(host: str, port: int, routes: Iterable[web.RouteDef]) -> None:
    """Answer until cancelled; port 0 takes any that is free, and the log says which.

    Raises ControlError where it cannot listen.
    """
    app = web.Application()
    app.add_routes(routes)
    app.on_response_prepare.append(_finish_headers)
    runner = web.AppRunner(
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


async def _finish_headers(_: web.Request, response: web.StreamResponse) -> None:
    """Say nothing of versions, and let nobody keep an answer: it is true for a moment."""
    response.headers.pop("Server", None)
    response.headers["Cache-Control"] = "no-store"


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
