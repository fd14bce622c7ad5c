"""What tests send to an emulator, and with what: real aioboto3 clients and plain HTTP."""

from __future__ import annotations

import http.client
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import aioboto3
import anyio
from botocore.config import Config
from botocore.exceptions import ClientError

from bulk_invite.validation import examples
from bulk_invite.validation.service_model import FOLDER, load

OPPORTUNITY, LEAD = examples(load())


def create_request(number: int = 0, *, engagement: str | None = None, **members: Any) -> dict[str, Any]:
    """A valid Create request of its own token and, unless one is named, of its own engagement."""
    own = {"ClientToken": f"token-{number}", "EngagementIdentifier": engagement or f"eng-{number:014d}"}
    return {**OPPORTUNITY, **own, **members}


@asynccontextmanager
async def aws_client(
    url: str, service: str = "partnercentral-selling", *, key: str = "AKIDEXAMPLE", secret: str = "example"
) -> AsyncIterator[Any]:
    """An aioboto3 client that calls once and knows LeadInvitation."""
    session = aioboto3.Session(aws_access_key_id=key, aws_secret_access_key=secret, region_name="us-east-1")
    session._session.get_component("data_loader").search_paths.insert(0, str(FOLDER))
    config = Config(retries={"total_max_attempts": 1, "mode": "standard"}, read_timeout=10)
    async with session.client(service, endpoint_url=url, config=config) as client:
        yield client


async def refused(call: Awaitable[Any]) -> dict[str, Any]:
    """The parsed error answer of a call that must be refused."""
    try:
        answer = await call
    except ClientError as error:
        response: dict[str, Any] = error.response
        return response
    raise AssertionError(f"the call was not refused: {answer}")


async def code(call: Awaitable[Any]) -> str:
    answer: str = (await refused(call))["Error"]["Code"]
    return answer


def post(
    url: str,
    body: Mapping[str, Any] | bytes,
    *,
    operation: str = "CreateEngagementInvitation",
    timeout: float = 10,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, dict[str, str], bytes]:
    """POST without a signature over a new connection: status, headers in lower case, body.

    Raises what http.client raises, ConnectionResetError for instance.
    """
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=timeout)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    target = {"X-Amz-Target": f"AWSPartnerCentralSelling.{operation}"}
    try:
        connection.request(
            "POST", "/", data, {"Content-Type": "application/x-amz-json-1.0", **target, **(headers or {})}
        )
        response = connection.getresponse()
        names = {name.lower(): value for name, value in response.getheaders()}
        return response.status, names, response.read()
    finally:
        connection.close()


async def eventually(holds: Callable[[], bool | Awaitable[bool]]) -> None:
    """Wait until something holds that no event announces; fails after ten seconds."""
    with anyio.fail_after(10):
        while True:
            now = holds()
            if now is True or (not isinstance(now, bool) and await now):
                return
            await anyio.sleep(0.02)
