"""An answer that is read up to a bound: what has no end is no answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import aiohttp

MOST: Final = 512 * 1024
"""Bytes of a body. A page of a hundred invitations has some hundred thousand at most; headers are bounded by
aiohttp, to 128 of eight thousand bytes each."""


@dataclass(frozen=True, slots=True)
class BoundedResponse:
    """As much of aiohttp's response as the SDK uses."""

    response: aiohttp.ClientResponse

    @property
    def url(self) -> object:
        return self.response.url

    @property
    def status(self) -> int:
        return self.response.status

    @property
    def raw_headers(self) -> Sequence[tuple[bytes, bytes]]:
        return self.response.raw_headers

    async def read(self) -> bytes:
        """The body. Raises ClientPayloadError where it is longer than `MOST`, and closes the connection."""
        body = bytearray()
        try:
            async for chunk in self.response.content.iter_any():
                body += chunk
                if len(body) > MOST:
                    raise aiohttp.ClientPayloadError("The body has no end.")  # noqa: TRY301 - closed below
        except BaseException:
            self.response.close()
            raise
        return bytes(body)
