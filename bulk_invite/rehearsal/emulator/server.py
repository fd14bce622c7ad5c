"""The emulator as an HTTP server: `async with serve(options) as server`, for tests and for the command."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import Any, Final

import anyio
from aiohttp import web

from bulk_invite.domain.errors import BulkInviteError
from bulk_invite.domain.socket_errors import listen_failure
from bulk_invite.rehearsal.emulator.audit_pages import control_routes
from bulk_invite.rehearsal.emulator.broken_answers import hang_up, has_gone, response
from bulk_invite.rehearsal.emulator.call import Call
from bulk_invite.rehearsal.emulator.faults import Fault
from bulk_invite.rehearsal.emulator.ledger import Ledger, LedgerError
from bulk_invite.rehearsal.emulator.options import Options
from bulk_invite.rehearsal.emulator.responses import refusal
from bulk_invite.rehearsal.emulator.service import PartnerCentral
from bulk_invite.rehearsal.emulator.signatures import SignedRequest
from bulk_invite.rehearsal.emulator.state import ServiceState
from bulk_invite.validation.service_model import load

# A test server must stop immediately, without waiting for slow responses.
_PATIENCE_AT_END: Final = 0.1
_LARGEST_BODY: Final = 8 << 20


class AddressError(BulkInviteError):
    """The emulator cannot listen on its address."""

    code = "address"
    topic = "rehearsal"


@dataclass(frozen=True, slots=True)
class Server:
    """A running emulator. url: without a trailing slash; ledger: None for a temporary file."""

    url: str
    ledger: Path | None
    state: ServiceState

    def audit(self) -> dict[str, Any]:
        """The same as `GET /_emulator/audit`."""
        return self.state.report()


@asynccontextmanager
async def serve(options: Options, *, clock: Callable[[], float] = time.time) -> AsyncIterator[Server]:
    """Run an emulator until the block ends. clock: epoch seconds, for quotas, tokens and signatures.

    Raises LedgerError for a ledger that cannot be used, AddressError where it cannot listen.
    """
    ledger = Ledger(options.ledger)
    try:
        state = ServiceState(ledger, options)
        app = web.Application(client_max_size=_LARGEST_BODY)
        app.router.add_post("/", _Endpoint(options, PartnerCentral(options, state, load()), clock).post)
        app.add_routes(control_routes(state, ledger))
        if options.clock_ahead:
            app.on_response_prepare.append(_Date(options.clock_ahead, clock).set)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=_PATIENCE_AT_END)
        await runner.setup()
        try:
            yield Server(await _listen(runner, options), options.ledger, state)
        finally:
            with anyio.CancelScope(shield=True):
                await runner.cleanup()
    finally:
        ledger.close()


async def _listen(runner: web.AppRunner, options: Options) -> str:
    try:
        await web.TCPSite(runner, options.host, options.port, backlog=1024).start()
    except OSError as error:
        raise AddressError(
            f"Cannot listen on {options.host} port {options.port}: {listen_failure(error)}.",
            hint="Choose a local address (--host) and a free port (--port); port 0 picks one.",
        ) from error
    host, port = runner.addresses[0][:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@dataclass(frozen=True, slots=True)
class _Date:
    """Sets the Date header of a clock that is ahead. ahead: seconds."""

    ahead: float
    clock: Callable[[], float]

    async def set(self, _: web.Request, response: web.StreamResponse) -> None:
        response.headers["Date"] = formatdate(self.clock() + self.ahead, usegmt=True)


class _Endpoint:
    """Handles a POST: parse, decide and respond, with the configured latency in between."""

    def __init__(self, options: Options, service: PartnerCentral, clock: Callable[[], float]) -> None:
        self._options = options
        self._service = service
        self._clock = clock

    async def post(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        signed = SignedRequest(request.path_qs, headers, await request.read())
        try:
            call, answer = self._service.enter(signed, self._clock())
            if answer is not None:
                return response(request, answer, None, call.request_id)
            return await self._serve(request, call)
        except LedgerError as error:
            # Nothing was committed, and nothing can be: fail instead of inviting without a record.
            return response(request, refusal("InternalServerException", str(error)), None, "none")

    async def _serve(self, request: web.Request, call: Call) -> web.StreamResponse:
        draw = self._service.draw(call)
        await _pause(self._options.latency / 2 + self._options.jitter * draw.jitter)
        if draw.fault is Fault.SLOW and not draw.after:
            await _pause(self._options.slow_for)
            if draw.gives_up and has_gone(request):
                self._service.drop(call, draw.fault, self._clock())
                return hang_up(request)
        answer, fault = self._service.decide(call, draw, self._clock())
        if fault is Fault.SLOW and draw.after:
            await _pause(self._options.slow_for)
        await _pause(self._options.latency / 2)
        return response(request, answer, fault, call.request_id)


async def _pause(seconds: float) -> None:
    if seconds > 0:
        await anyio.sleep(seconds)
