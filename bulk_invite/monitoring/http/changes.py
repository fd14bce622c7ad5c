"""Endpoints that change a run: pause, resume, rate, rows in flight, drain."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Final, Protocol

import anyio
import orjson
import structlog
from aiohttp import web

from bulk_invite.monitoring.http.answers import answer
from bulk_invite.monitoring.http.api import WatchedRun
from bulk_invite.monitoring.http.guard import Refusal, RefusalCounter, check_change
from bulk_invite.monitoring.status import Rate

_log = structlog.get_logger()

_DEADLINE: Final = 5.0
"""Seconds for the body of a request to arrive."""

_Body = Mapping[str, object]
_Result = dict[str, object]


class Controls(Protocol):
    """What can be changed. Each method returns the previous value; ValueError for an invalid one."""

    @property
    def ending(self) -> bool: ...

    def pause(self) -> bool: ...

    def resume(self) -> bool: ...

    def change_rate(self, rate: Rate) -> Rate: ...

    def change_max_in_flight(self, limit: int) -> int: ...

    def drain(self) -> None: ...


_Change = Callable[[Controls, _Body], _Result]


def change_routes(run: WatchedRun, controls: Controls, token: str | None) -> list[web.RouteDef]:
    """token: required for every change; None where changes are not allowed."""
    refusals = RefusalCounter()

    def check(request: web.Request, what: str) -> None:
        try:
            check_change(request.headers, token)
        except Refusal as refusal:
            if times := refusals.count(time.monotonic()):
                _log.warning(
                    "control.refused", action=what, remote=request.remote, reason=str(refusal), times=times
                )
            raise

    def route(what: str, change: _Change) -> web.RouteDef:
        async def changed(request: web.Request) -> web.Response:
            check(request, what)
            body = await _object(request)
            if controls.ending:
                raise Refusal(409, "The run is already ending.")
            try:
                result = change(controls, body)
            except ValueError as error:
                raise Refusal(400, str(error)) from error
            _log.warning("control.changed", action=what, remote=request.remote, **result)
            return answer(await run.status())

        return web.post(f"/api/{what}", changed)

    return [route(what, change) for what, change in _CHANGES.items()]


def _pause(controls: Controls, _: _Body) -> _Result:
    return {"now": "paused", "was": "paused" if controls.pause() else "sending"}


def _resume(controls: Controls, _: _Body) -> _Result:
    return {"now": "sending", "was": "paused" if controls.resume() else "sending"}


def _change_rate(controls: Controls, body: _Body) -> _Result:
    wanted = _rate(body.get("rate"))
    return {"now": wanted, "was": controls.change_rate(wanted)}


def _change_max_in_flight(controls: Controls, body: _Body) -> _Result:
    wanted = body.get("max_in_flight")
    if not isinstance(wanted, int) or isinstance(wanted, bool):
        raise ValueError('Send {"max_in_flight": N} with a whole number.')  # noqa: TRY004 - a bad body, not a bad type in our code
    return {"now": wanted, "was": controls.change_max_in_flight(wanted)}


def _drain(controls: Controls, _: _Body) -> _Result:
    controls.drain()
    return {"now": "finishing calls in flight"}


_CHANGES: Final[Mapping[str, _Change]] = {
    "pause": _pause,
    "resume": _resume,
    "rate": _change_rate,
    "max-in-flight": _change_max_in_flight,
    "drain": _drain,
}


def _rate(value: object) -> Rate:
    if value == "auto":
        return "auto"
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf:
        return float(value)
    raise ValueError('Send {"rate": N} with N > 0 calls per second, or {"rate": "auto"}.')


async def _object(request: web.Request) -> _Body:
    """The body as a JSON object; a missing body is an empty object."""
    text: bytes | None = None
    try:
        with anyio.move_on_after(_DEADLINE):
            text = await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise Refusal(413, "The body is too large.") from error
    except web.RequestPayloadError as error:
        raise Refusal(400, "The body does not match the headers.") from error
    if text is None:
        raise Refusal(408, "The body took too long to arrive.")
    try:
        value = orjson.loads(text) if text else {}
    except orjson.JSONDecodeError:
        value = None
    if not isinstance(value, dict):
        raise Refusal(400, "The body must be a JSON object.")
    return value
