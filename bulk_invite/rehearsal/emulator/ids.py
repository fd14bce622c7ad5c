"""Identifiers of the emulator, derived from a seed and a number so that a run is reproducible."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final
from uuid import UUID

_LETTERS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_ID_LENGTH: Final = 13


def seeded(seed: int, purpose: str, number: int) -> bytes:
    """24 bytes that depend only on the arguments."""
    return blake2b(f"{seed}/{purpose}/{number}".encode(), digest_size=24).digest()


def invitation_id(seed: int, number: int, client_token: str) -> str:
    """An Id that depends on the token, too: a restarted emulator never reuses an Id for another row."""
    value = int.from_bytes(seeded(seed, f"invitation/{client_token}", number), "big")
    letters = []
    for _ in range(_ID_LENGTH):
        value, remainder = divmod(value, len(_LETTERS))
        letters.append(_LETTERS[remainder])
    return "engi-" + "".join(letters)


def invitation_arn(account: str, catalog: str, identifier: str) -> str:
    """An Arn in the real format, with region and `catalog/`; the pattern of the model does not match it."""
    return f"arn:aws:partnercentral:us-east-1:{account}:catalog/{catalog}/engagement-invitation/{identifier}"


def request_id(seed: int, number: int) -> str:
    return str(UUID(bytes=seeded(seed, "request", number)[:16], version=4))
