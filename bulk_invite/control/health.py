"""The pages that an orchestrator's probes ask.

`/livez`   200 `{"live": true}`: whoever gets an answer knows that the event loop turns
`/readyz`  200, or 503 with what does not answer: `{"ready": false, "reasons": {"endpoint": "ReadTimeout"}}`
"""

from __future__ import annotations

from collections.abc import Callable

import orjson
from aiohttp import web

from bulk_invite.health_view import HealthView


def health_routes(view: Callable[[], HealthView]) -> list[web.RouteDef]:
    async def live(_: web.Request) -> web.Response:
        return _json({"live": True})

    async def ready(_: web.Request) -> web.Response:
        now = view()
        return _json({"ready": now.ready, "reasons": now.reasons}, status=200 if now.ready else 503)

    return [web.get("/livez", live), web.get("/readyz", ready)]


def _json(value: object, *, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(value), content_type="application/json")
