"""A Partner Central that answers every call at once, for a small part of the cost of a sender.

Run as a program, it prints its URL and answers until it is ended: a Create call with an Id of its own for
each client token, STS with an account, a List call with an empty page, and a Get call with "not found". It
verifies nothing; `GET /counts` says what came since the last `GET /counts`.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from typing import Final, cast

import uvloop

_HEAD: Final = (
    "HTTP/1.1 {status}\r\nContent-Type: {type}\r\nContent-Length: {length}\r\n"
    "x-amzn-RequestId: 00000000-0000-4000-8000-{number:012x}\r\nDate: {date}\r\n\r\n"
)
_JSON: Final = "application/x-amz-json-1.0"
_ARN: Final = "arn:aws:partnercentral::111122223333:Sandbox/engagement-invitation"
_PAGE: Final = '{"EngagementInvitationSummaries":[]}'
_NOT_FOUND: Final = '{"__type":"com.amazonaws#ResourceNotFoundException","Message":"Not found"}'
_IDENTITY: Final = (
    '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>'
    "<Arn>arn:aws:iam::111122223333:user/any</Arn><UserId>any</UserId><Account>111122223333</Account>"
    "</GetCallerIdentityResult></GetCallerIdentityResponse>"
)


@dataclass(frozen=True)
class Counts:
    """What a server got. creates: Create calls; tokens: new client tokens among them."""

    creates: int
    tokens: int


@dataclass(frozen=True)
class InstantServer:
    """A running one. url: without a trailing slash."""

    url: str

    def counts(self) -> Counts:
        """What came since the last call of this."""
        with urllib.request.urlopen(f"{self.url}/counts", timeout=10) as answer:
            return Counts(**json.load(answer))


@contextmanager
def instant_server() -> Iterator[InstantServer]:
    """One in its own process, until the block ends."""
    with subprocess.Popen([sys.executable, __file__], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield InstantServer(process.stdout.readline().strip())
        finally:
            process.terminate()


class _Service:
    """What all connections share: the answers, and what was counted."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._ids: dict[bytes, int] = {}
        self._creates = self._known = 0
        self._date = (0.0, "")

    def answer(self, head: bytes, body: bytes) -> bytes:
        """head: in lower case."""
        if b".createengagementinvitation\r" in head:
            return self._created(body)
        if b".listengagementinvitations\r" in head:
            return self._reply(_PAGE)
        if b".getengagementinvitation\r" in head:
            return self._reply(_NOT_FOUND, status="400 Bad Request")
        if head.startswith(b"get "):
            return self._reply(self._counts(), content_type="application/json")
        return self._reply(_IDENTITY, content_type="text/xml")

    def _created(self, body: bytes) -> bytes:
        self._creates += 1
        start = body.index(b'"', body.index(b":", body.index(b'"ClientToken"')))
        token = body[start + 1 : body.index(b'"', start + 1)]
        invitation = f"engi-{self._ids.setdefault(token, len(self._ids)):013x}"
        return self._reply(f'{{"Id":"{invitation}","Arn":"{_ARN}/{invitation}"}}')

    def _counts(self) -> str:
        counts = {"creates": self._creates, "tokens": len(self._ids) - self._known}
        self._known, self._creates = len(self._ids), 0
        return json.dumps(counts)

    def _reply(self, body: str, *, status: str = "200 OK", content_type: str = _JSON) -> bytes:
        number = next(self._numbers)
        head = _HEAD.format(
            status=status, type=content_type, length=len(body), number=number, date=self._now()
        )
        return (head + body).encode()

    def _now(self) -> str:
        now = time.time()
        if now - self._date[0] >= 1:
            self._date = (now, formatdate(now, usegmt=True))
        return self._date[1]


class _Connection(asyncio.Protocol):
    def __init__(self, service: _Service) -> None:
        self._service = service
        self._received = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's are of no class of asyncio

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[: end + 2].lower()
            _, found, length = head.partition(b"\r\ncontent-length:")
            size = end + 4 + (int(length[: length.index(b"\r")]) if found else 0)
            if len(self._received) < size:
                return
            body, self._received = self._received[end + 4 : size], self._received[size:]
            assert self._transport is not None
            self._transport.write(self._service.answer(head, body))


async def _serve() -> None:
    service = _Service()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(service), "127.0.0.1", 0, backlog=1024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve())
