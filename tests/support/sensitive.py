"""The sensitive texts of a request: what tests search for where it must not be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bulk_invite.validation.service_model import REQUEST, ServiceModel, is_sensitive


def sensitive_values(model: ServiceModel, request: object) -> set[str]:
    """Every text of `request` (parsed JSON) under a sensitive member or element.

    Empty texts are left out: they can be searched for nowhere. What the model does not know is skipped.
    """
    return {text for text in _sensitive_texts(model, {"shape": REQUEST}, request) if text}


def _sensitive_texts(model: ServiceModel, reference: Mapping[str, Any], value: object) -> Iterator[str]:
    if is_sensitive(model, reference):
        yield from _texts(value)
        return
    shape = model.shape(reference["shape"])
    if isinstance(value, dict):
        for member, inner in shape.get("members", {}).items():
            yield from _sensitive_texts(model, inner, value.get(member))
    elif isinstance(value, list) and "member" in shape:
        for item in value:
            yield from _sensitive_texts(model, shape["member"], item)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
