"""Client tokens and canonical bodies: the same row in the same campaign always has the same token."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from uuid import UUID

import orjson

# Changing this, or the hashed input below, would send every invitation a second time.
NAMESPACE = UUID("6d1f0f5e-0c0b-5b1e-9a35-6f3a2d6c8e41")

_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


def canonical_json(value: object) -> bytes:
    """Serialize to JSON with sorted keys and no whitespace, in UTF-8. `value` must come from JSON."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def derive_token(campaign: str, request_without_token: bytes) -> str:
    """Return `uuid5(NAMESPACE, campaign NUL request)`.

    The request is canonical, with Catalog and without ClientToken. The NUL separates the two unambiguously:
    canonical JSON contains none.
    """
    digest = _campaign_digest(campaign).copy()
    digest.update(request_without_token)
    name = digest.hexdigest()
    # Same result as uuid.UUID on a SHA-1 (version and variant), at a third of the cost: this runs once per
    # row.
    return f"{name[:8]}-{name[8:12]}-5{name[13:16]}-{_VARIANT[name[16]]}{name[17:20]}-{name[20:32]}"


def derive_key_token(campaign: str, key: str) -> str:
    """Return `uuid5(NAMESPACE, campaign NUL "key:" key)`. No canonical request begins with "key:"."""
    return derive_token(campaign, b"key:" + key.encode("utf-8", "surrogatepass"))


@lru_cache(maxsize=16)
def _campaign_digest(campaign: str) -> hashlib._Hash:
    # A lone surrogate (a command line that is not UTF-8) must not end a run, hence surrogatepass.
    name = campaign.encode("utf-8", "surrogatepass") + b"\0"
    return hashlib.sha1(NAMESPACE.bytes + name, usedforsecurity=False)


def body_hash(body: bytes) -> str:
    """Return the hex SHA-256 of a request body."""
    return hashlib.sha256(body).hexdigest()
