"""JSON responses; every error has the form `{"error": "a sentence"}`, except a page for a browser."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import orjson
from aiohttp import web

JSON: Final = "application/json"

_SENTENCES: Final[Mapping[int, str]] = {
    400: "Not a valid HTTP request.",
    404: "Not found.",
    405: "Method not allowed here.",
    408: "The request took too long to arrive.",
    413: "The body is too large.",
    415: "Compressed bodies are not supported: remove Content-Encoding.",
    417: "Only Expect: 100-continue is supported.",
    431: "The request is too large.",
    500: "Internal error; see the log.",
}


class ErrorPage(web.Response):
    """An error that a browser asked for: a page."""


def answer(value: object, *, status: int = 200) -> web.Response:
    """A value as a JSON response."""
    return web.Response(status=status, body=orjson.dumps(value), content_type=JSON)


def refused(status: int, sentence: str = "") -> web.Response:
    """An error response. sentence: what is wrong and what to do; by default the meaning of the status."""
    return answer({"error": sentence or _SENTENCES.get(status) or HTTPStatus(status).phrase}, status=status)


def in_json(response: web.StreamResponse) -> web.StreamResponse:
    """An error of the web server in our form; any other response unchanged."""
    if response.prepared or response.status < HTTPStatus.BAD_REQUEST or response.content_type == JSON:
        return response
    if isinstance(response, ErrorPage):
        return response
    error = refused(response.status)
    if "Allow" in response.headers:
        error.headers["Allow"] = response.headers["Allow"]
    # For an unreadable request, the server would add its name and version.
    error.headers["Server"] = "bulk-invite"
    return error


def written(response: web.Response) -> bytes:
    """The bytes of an error response, for a connection without a complete request."""
    body = response.body
    assert isinstance(body, bytes)  # noqa: S101 - as `answer` makes it
    head = f"HTTP/1.1 {response.status} {response.reason}\r\nContent-Type: {JSON}\r\n"
    return f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body
