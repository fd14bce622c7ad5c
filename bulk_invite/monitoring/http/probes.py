"""Endpoints for the probes of an orchestrator.

`/livez`   200 `{"live": true}`: any response shows that the event loop is running
`/readyz`  200, or 503 with what does not respond: `{"ready": false, "reasons": {"endpoint": "ReadTimeout"}}`
"""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from bulk_invite.monitoring.health_view import HealthView
from bulk_invite.monitoring.http.answers import answer


def health_routes(view: Callable[[], HealthView]) -> list[web.RouteDef]:
    async def live(_: web.Request) -> web.Response:
        return answer({"live": True})

    async def ready(_: web.Request) -> web.Response:
        now = view()
        return answer({"ready": now.ready, "reasons": now.reasons}, status=200 if now.ready else 503)

    return [web.get("/livez", live), web.get("/readyz", ready)]
