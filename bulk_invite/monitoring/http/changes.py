"""What may be done to a run over HTTP: pause, resume, rate, rows in flight, drain."""

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
from bulk_invite.monitoring.http.api import Told
from bulk_invite.monitoring.http.guard import Refusal, Refused, check_change
from bulk_invite.monitoring.status import Rate

_log = structlog.get_logger()

_DEADLINE: Final = 5.0
"""Seconds for a body: it takes no time to send one."""

_Body = Mapping[str, object]
_Said = dict[str, object]


class Controls(Protocol):
    """What can be changed. Each says what it was before; ValueError for what cannot be."""

    @property
    def ending(self) -> bool: ...

    def pause(self) -> bool: ...

    def resume(self) -> bool: ...

    def change_rate(self, rate: Rate) -> Rate: ...

    def change_max_in_flight(self, limit: int) -> int: ...

    def drain(self) -> None: ...


_Change = Callable[[Controls, _Body], _Said]


def change_routes(run: Told, controls: Controls, token: str | None) -> list[web.RouteDef]:
    """token: what a change has to come with; None where there are none to be."""
    refused = Refused()

    def check(request: web.Request, what: str) -> None:
        try:
            check_change(request.headers, token)
        except Refusal as refusal:
            if times := refused.note(time.monotonic()):
                _log.warning(
                    "control.refused", action=what, remote=request.remote, reason=str(refusal), times=times
                )
            raise

    def route(what: str, change: _Change) -> web.RouteDef:
        async def changed(request: web.Request) -> web.Response:
            check(request, what)
            body = await _object(request)
            if controls.ending:
                raise Refusal(409, "The run is ending already.")
            try:
                told = change(controls, body)
            except ValueError as error:
                raise Refusal(400, str(error)) from error
            _log.warning("control.changed", action=what, remote=request.remote, **told)
            return answer(await run.status())

        return web.post(f"/api/{what}", changed)

    return [route(what, change) for what, change in _CHANGES.items()]


def _pause(controls: Controls, _: _Body) -> _Said:
    return {"now": "paused", "was": "paused" if controls.pause() else "sending"}


def _resume(controls: Controls, _: _Body) -> _Said:
    return {"now": "sending", "was": "paused" if controls.resume() else "sending"}


def _change_rate(controls: Controls, body: _Body) -> _Said:
    wanted = _rate(body.get("rate"))
    return {"now": wanted, "was": controls.change_rate(wanted)}


def _change_max_in_flight(controls: Controls, body: _Body) -> _Said:
    wanted = body.get("max_in_flight")
    if not isinstance(wanted, int) or isinstance(wanted, bool):
        raise ValueError('Send {"max_in_flight": N}, a whole number.')  # noqa: TRY004 - of the body
    return {"now": wanted, "was": controls.change_max_in_flight(wanted)}


def _drain(controls: Controls, _: _Body) -> _Said:
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
    raise ValueError('Send {"rate": N}, more than 0 calls per second, or {"rate": "auto"}.')


async def _object(request: web.Request) -> _Body:
    """The body, an object; none counts as an empty one."""
    text: bytes | None = None
    try:
        with anyio.move_on_after(_DEADLINE):
            text = await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise Refusal(413, "The body is too large.") from error
    except web.RequestPayloadError as error:
        raise Refusal(400, "The body is not what the headers say.") from error
    if text is None:
        raise Refusal(408, "The body did not come.")
    try:
        value = orjson.loads(text) if text else {}
    except orjson.JSONDecodeError:
        value = None
    if not isinstance(value, dict):
        raise Refusal(400, "The body has to be a JSON object.")
    return value
