"""Read an answer up to a size limit: an endless one is no answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import aiohttp

MOST: Final = 512 * 1024
"""Maximum bytes of a body.

A page of a hundred invitations has some hundred thousand at most; aiohttp limits headers to 128 of eight
thousand bytes each.
"""


@dataclass(frozen=True, slots=True)
class BoundedResponse:
    """The part of aiohttp's response that the SDK uses."""

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
        """Read the body. Raises ClientPayloadError if it exceeds `MOST`, and closes the connection."""
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
