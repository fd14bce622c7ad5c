"""Answers in JSON; what went wrong always has the form `{"error": "a sentence"}`."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import orjson
from aiohttp import web

JSON: Final = "application/json"

_SENTENCES: Final[Mapping[int, str]] = {
    400: "This is not a request that can be read as HTTP.",
    404: "There is no such page.",
    405: "This page does not take this method.",
    408: "The request did not come in time.",
    413: "The body is too large.",
    415: "A body has to come as it is: take Content-Encoding away.",
    417: "Only Expect: 100-continue can be met.",
    431: "The request is too large.",
    500: "This page has a defect; the log says where.",
}


def answer(value: object, *, status: int = 200) -> web.Response:
    """Anything of ours as JSON."""
    return web.Response(status=status, body=orjson.dumps(value), content_type=JSON)


def refused(status: int, sentence: str = "") -> web.Response:
    """sentence: what is wrong and what to do; by default what the status itself means."""
    return answer({"error": sentence or _SENTENCES.get(status) or HTTPStatus(status).phrase}, status=status)


def in_json(response: web.StreamResponse) -> web.StreamResponse:
    """An error of the web server itself in the form of ours; any other answer as it is."""
    if response.prepared or response.status < HTTPStatus.BAD_REQUEST or response.content_type == JSON:
        return response
    told = refused(response.status)
    if "Allow" in response.headers:
        told.headers["Allow"] = response.headers["Allow"]
    # Where a request could not be read, the server would name itself with its version.
    told.headers["Server"] = "bulk-invite"
    return told


def written(response: web.Response) -> bytes:
    """The bytes of an error for whom no request was read."""
    body = response.body
    assert isinstance(body, bytes)  # noqa: S101 - as `answer` makes it
    head = f"HTTP/1.1 {response.status} {response.reason}\r\nContent-Type: {JSON}\r\n"
    return f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body
