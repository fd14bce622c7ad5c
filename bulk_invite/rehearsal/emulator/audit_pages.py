"""The emulator's own endpoints under `/_emulator`, for audits and tests, without credentials.

`/_emulator/health`  `{"status": "ok", "ledger": path or null, "calls": n, "invitations": n}`
`/_emulator/audit`   totals, see `ServiceState.report` and `Audit.report`
`/_emulator/ledger`  every committed invitation as NDJSON, oldest first, with `?since=NUMBER`, `?limit=N` and
                     `?full=1`, which adds the request as received
`/_emulator/calls`   every call as NDJSON, oldest first, with `?since=NUMBER` and `?limit=N`
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice
from typing import Final

import anyio
import anyio.lowlevel
import orjson
from aiohttp import web

from bulk_invite.rehearsal.emulator.ledger import Ledger
from bulk_invite.rehearsal.emulator.ledger_entries import CALL_MARK, INVITATION_MARK
from bulk_invite.rehearsal.emulator.state import ServiceState

_NDJSON: Final = "application/x-ndjson"
_BATCH: Final = 256


def control_routes(state: ServiceState, ledger: Ledger) -> list[web.RouteDef]:
    async def health(_: web.Request) -> web.Response:
        path = None if ledger.path is None else str(ledger.path)
        counts = {"calls": state.next_call, "invitations": state.next_invitation}
        return _json({"status": "ok", "ledger": path, **counts})

    async def audit(_: web.Request) -> web.Response:
        return _json(state.report())

    async def invitations(request: web.Request) -> web.StreamResponse:
        since = _number(request, "since", 0)
        start = state.invited(since).offset if since < state.next_invitation else ledger.size
        found = (line for line in ledger.lines(start) if line.startswith(INVITATION_MARK))
        full = _number(request, "full", 0) == 1
        return await _stream(request, found if full else map(_without_request, found))

    async def calls(request: web.Request) -> web.StreamResponse:
        since = _number(request, "since", 0)
        found = (line for line in ledger.lines() if line.startswith(CALL_MARK))
        return await _stream(request, (line for line in found if orjson.loads(line)["number"] >= since))

    pages = {"health": health, "audit": audit, "ledger": invitations, "calls": calls}
    return [web.get(f"/_emulator/{name}", page) for name, page in pages.items()]


def _json(value: object) -> web.Response:
    return web.Response(body=orjson.dumps(value), content_type="application/json")


def _without_request(line: bytes) -> bytes:
    entry = orjson.loads(line)
    del entry["request"]
    return orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE)


def _number(request: web.Request, name: str, default: int) -> int:
    text = request.query.get(name, str(default))
    if not (text.isascii() and text.isdigit()):
        raise web.HTTPBadRequest(text=f"{name} must be a whole number.\n")
    return int(text)


async def _stream(request: web.Request, lines: Iterator[bytes]) -> web.StreamResponse:
    limit = _number(request, "limit", sys.maxsize)
    answer = web.StreamResponse(headers={"Content-Type": _NDJSON})
    await answer.prepare(request)
    shown = islice(lines, limit)
    while batch := b"".join(islice(shown, _BATCH)):
        await answer.write(batch)
        # Writes return immediately while the client keeps up; calls must not wait for a long response.
        await anyio.lowlevel.checkpoint()
    await answer.write_eof()
    return answer
