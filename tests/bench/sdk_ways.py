"""Ways to make the calls of a file of rows without `send`, each in a process of its own: what a call costs.

    python tests/bench/sdk_ways.py WAY URL FILE

It prints the seconds between the first call and the last answer as JSON. `bench_send.py` compares them.

floor: botocore's SigV4 and one aiohttp session, nothing else. bytes: an aioboto3 client that gets the body as
bytes, resolves the endpoint once, validates no parameters and has a short User-Agent. lean: the same client
without the first two. bare: a loop over aioboto3 as a user would write it. own: the house's own client.
paced: bare, but 10 calls a second.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import uvloop

IN_FLIGHT: Final = 64
_REGION: Final = "us-east-1"
_SERVICE: Final = "partnercentral-selling"
_TARGET: Final = "AWSPartnerCentralSelling.CreateEngagementInvitation"
_HEADERS: Final = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": _TARGET}
_USER_AGENT: Final = "bench/1"

Call = Callable[[bytes], Awaitable[object]]
"""Makes the call of one line of the file, and returns when its answer is read."""


async def _work(call: Call, lines: list[bytes]) -> float:
    """Make the call of every line, as many at a time as `send` does; returns seconds."""
    began = time.monotonic()
    waiting = iter(lines)

    async def worker() -> None:
        for line in waiting:
            await call(line)

    await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))
    return time.monotonic() - began


def _body(line: bytes) -> bytes:
    return b'{"Catalog":"Sandbox","ClientToken":"%s",%s' % (str(uuid.uuid4()).encode(), line[1:])


@asynccontextmanager
async def _floor(url: str) -> AsyncIterator[Call]:
    import os  # noqa: PLC0415 - every way imports what it needs, which is part of its cost

    import aiohttp  # noqa: PLC0415
    from botocore.auth import SigV4Auth  # noqa: PLC0415
    from botocore.awsrequest import AWSRequest  # noqa: PLC0415
    from botocore.credentials import Credentials  # noqa: PLC0415

    keys = Credentials(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
    signer = SigV4Auth(keys, _SERVICE, _REGION)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=IN_FLIGHT)) as session:

        async def call(line: bytes) -> None:
            request = AWSRequest("POST", f"{url}/", data=_body(line), headers=_HEADERS)
            signer.add_auth(request)
            async with session.post(f"{url}/", data=request.data, headers=dict(request.headers)) as answer:
                answer.raise_for_status()
                await answer.read()

        yield call


@asynccontextmanager
async def _client(url: str, **more: Any) -> AsyncIterator[Any]:
    import aioboto3  # noqa: PLC0415
    from aiobotocore.config import AioConfig  # noqa: PLC0415

    from bulk_invite.validation import service_model  # noqa: PLC0415

    session = aioboto3.Session(region_name=_REGION)
    session._session.get_component("data_loader").search_paths.insert(0, str(service_model.FOLDER))
    retries = {"total_max_attempts": 1, "mode": "standard"}
    config = AioConfig(max_pool_connections=IN_FLIGHT, retries=retries, **more)
    async with session.client(_SERVICE, endpoint_url=url, config=config) as client:
        yield client


def _by_members(client: Any) -> Call:
    async def call(line: bytes) -> None:
        row = json.loads(line)
        await client.create_engagement_invitation(
            **{**row, "Catalog": "Sandbox", "ClientToken": str(uuid.uuid4())}
        )

    return call


@asynccontextmanager
async def _bare(url: str) -> AsyncIterator[Call]:
    async with _client(url) as client:
        yield _by_members(client)


@asynccontextmanager
async def _paced(url: str) -> AsyncIterator[Call]:
    async with _bare(url) as call:
        turn = asyncio.Lock()

        async def later(line: bytes) -> None:
            async with turn:
                await asyncio.sleep(0.1)
            await call(line)

        yield later


@asynccontextmanager
async def _lean(url: str) -> AsyncIterator[Call]:
    async with _client(url, parameter_validation=False, user_agent=_USER_AGENT) as client:
        yield _by_members(client)


@asynccontextmanager
async def _bytes(url: str) -> AsyncIterator[Call]:
    async with _client(url, parameter_validation=False, user_agent=_USER_AGENT) as client:

        def serialized(members: Mapping[str, Any], _: object) -> dict[str, Any]:
            head = {"url_path": "/", "query_string": "", "method": "POST", "headers": {**_HEADERS}}
            return {**head, "body": members["body"]}

        async def resolved(*_: object) -> tuple[str, dict[str, str], dict[str, object]]:
            return url, {}, {}

        client._serializer.serialize_to_request = serialized
        client._resolve_endpoint_ruleset = resolved

        async def call(line: bytes) -> None:
            await client.create_engagement_invitation(ClientToken="", body=_body(line))

        yield call


@asynccontextmanager
async def _own(url: str) -> AsyncIterator[Call]:
    from bulk_invite.domain.clearance import Clearance  # noqa: PLC0415
    from bulk_invite.domain.verdicts import HttpAnswer  # noqa: PLC0415
    from bulk_invite.partner_central import Connection, connect  # noqa: PLC0415

    async def nothing() -> None:
        pass

    connection = Connection(_REGION, None, url, "Sandbox", None, IN_FLIGHT, 30)
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(connect(connection))

        async def call(line: bytes) -> None:
            answer = await client.create(_body(line), Clearance(nothing, lambda: ""))
            assert isinstance(answer, HttpAnswer), answer

        yield call


WAYS: Final = {"floor": _floor, "bytes": _bytes, "lean": _lean, "bare": _bare, "paced": _paced, "own": _own}
_ON_ASYNCIO: Final = ("bare",)
"""On asyncio's own loop, as a user would start it; the others on uvloop, as `send` does."""


async def _main(way: str, url: str, file: str) -> None:
    lines = Path(file).read_bytes().splitlines()  # noqa: ASYNC240 - before traffic
    async with WAYS[way](url) as call:
        print(json.dumps({"elapsed_s": await _work(call, lines)}))


if __name__ == "__main__":
    (asyncio if sys.argv[1] in _ON_ASYNCIO else uvloop).run(_main(*sys.argv[1:]))
