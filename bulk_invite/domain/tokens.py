"""Client tokens and frozen bodies: the same row in the same campaign always has the same token."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from uuid import UUID

import orjson

# Changing this, or what is hashed after it, would invite everybody a second time.
NAMESPACE = UUID("6d1f0f5e-0c0b-5b1e-9a35-6f3a2d6c8e41")

_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


def canonical_json(value: object) -> bytes:
    """JSON with sorted keys and no whitespace, in UTF-8. `value` must come from JSON."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def derive_token(campaign: str, request_without_token: bytes) -> str:
    """`uuid5(NAMESPACE, campaign NUL request)`; the request canonical, with Catalog, without ClientToken.

    The NUL separates the two without doubt: canonical JSON holds none.
    """
    digest = _campaign_digest(campaign).copy()
    digest.update(request_without_token)
    name = digest.hexdigest()
    # What uuid.UUID makes of a SHA-1 (version and variant), at a third of the price: this runs once per row.
    return f"{name[:8]}-{name[8:12]}-5{name[13:16]}-{_VARIANT[name[16]]}{name[17:20]}-{name[20:32]}"


def derive_key_token(campaign: str, key: str) -> str:
    """`uuid5(NAMESPACE, campaign NUL "key:" key)`. No canonical request begins like that."""
    return derive_token(campaign, b"key:" + key.encode("utf-8", "surrogatepass"))


@lru_cache(maxsize=16)
def _campaign_digest(campaign: str) -> hashlib._Hash:
    # A lone surrogate (a command line that is not UTF-8) must not end a run, hence surrogatepass.
    name = campaign.encode("utf-8", "surrogatepass") + b"\0"
    return hashlib.sha1(NAMESPACE.bytes + name, usedforsecurity=False)


def body_hash(body: bytes) -> str:
    """Hex SHA-256 of what is sent."""
    return hashlib.sha256(body).hexdigest()
