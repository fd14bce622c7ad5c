"""CreateEngagementInvitation by the client's own method, by public API only.

In place of the body that the SDK would serialize, the frozen one leaves: every attempt is the same bytes, by
whichever way it goes.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Final, Protocol

import orjson

from bulk_invite.partner_central.transport import Recording, Transmission, under_way

CREATE: Final = "CreateEngagementInvitation"

_frozen: ContextVar[bytes] = ContextVar("frozen")


class CreateCall(Protocol):
    """One attempt. body: the frozen request. credentials: frozen, about to sign it.

    Raises like the SDK's client: ClientError for refusals.
    """

    async def __call__(
        self, body: bytes, transmission: Transmission, credentials: Any
    ) -> Mapping[str, Any]: ...


class PlainCall:
    """Implements `CreateCall`."""

    def __init__(self, client: Any) -> None:
        self._client = client
        service = client.meta.service_model.service_id.hyphenize()
        client.meta.events.register(f"before-call.{service}.{CREATE}", freeze_body)

    async def __call__(
        self, body: bytes, transmission: Transmission | Recording, credentials: Any
    ) -> Mapping[str, Any]:
        del credentials  # the client has them, too
        token = _frozen.set(body)
        try:
            with under_way(transmission):
                response: Mapping[str, Any] = await self._client.create_engagement_invitation(
                    **orjson.loads(body)
                )
        finally:
            _frozen.reset(token)
        return response


def freeze_body(params: dict[str, Any], **_: object) -> None:
    """A listener of the SDK. params: the request before it is signed."""
    params["body"] = _frozen.get()
