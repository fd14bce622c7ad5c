"""A row as JSON Schema (draft 2020-12), for editors. Built from the same shapes as the validator."""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet
from typing import Any, Final

from bulk_invite.domain.rows import METADATA
from bulk_invite.validation.descriptions import description
from bulk_invite.validation.service_model import REQUEST, ServiceModel, sensitive_members
from bulk_invite.validation.shapes import (
    MAY_BE_ABSENT,
    Choice,
    Listing,
    Record,
    Scalar,
    Shape,
    Text,
    resolve,
)

_WORD_START = re.compile(r"(?<=[a-z])(?=[A-Z])")
_TYPES = {"integer": "integer", "float": "number", "boolean": "boolean"}


def row_json_schema(model: ServiceModel) -> dict[str, Any]:
    """One row: Catalog and ClientToken are optional, `_bulk_invite` may be anything."""
    row = resolve(model, REQUEST, optional=MAY_BE_ABSENT)
    definitions: dict[str, Any] = {}
    _schema(row, definitions, sensitive_members(model))
    top: dict[str, Any] = definitions.pop(REQUEST)
    top["title"] = "Invitation row"
    top["properties"][METADATA] = _METADATA
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **top, "$defs": definitions}


_METADATA: Final = {
    "title": "Metadata",
    "description": "Never sent. Unknown fields of it are ignored.",
    "properties": {
        "key": {"title": "Key", "description": "With --token-from key: what identifies the row."},
        "label": {"title": "Label", "description": "Your own name for the row, to find it again."},
    },
}


def _schema(shape: Shape, definitions: dict[str, Any], sensitive: AbstractSet[str]) -> dict[str, Any]:
    """A reference to `shape`, which is added to `definitions` with everything below it."""
    if shape.name not in definitions:
        definitions[shape.name] = {}
        definitions[shape.name] = _definition(shape, definitions, sensitive)
    return {"$ref": f"#/$defs/{shape.name}"}


def _definition(shape: Shape, definitions: dict[str, Any], sensitive: AbstractSet[str]) -> dict[str, Any]:
    match shape:
        case Text(pattern=pattern):
            limits = {
                "minLength": pattern.min_length or None,
                "maxLength": pattern.max_length,
                "pattern": pattern.ecma,
            }
            return {"type": "string", **_given(limits)}
        case Choice(values=values):
            return {"type": "string", "enum": list(values)}
        case Scalar(kind="timestamp"):
            return {"type": ["string", "number"]}
        case Scalar(kind=kind):
            return {"type": _TYPES[kind], **_given({"minimum": shape.minimum, "maximum": shape.maximum})}
        case Listing(item=item):
            limits = {"minItems": shape.min_items or None, "maxItems": shape.max_items}
            return {"type": "array", "items": _schema(item, definitions, sensitive), **_given(limits)}
        case Record():
            return _object(shape, definitions, sensitive)


def _object(record: Record, definitions: dict[str, Any], sensitive: AbstractSet[str]) -> dict[str, Any]:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {
            name: {
                "title": _title(name),
                **_described(description(record.name, name, member, sensitive=name in sensitive)),
                **_schema(member, definitions, sensitive),
            }
            for name, member in record.members.items()
        },
        "additionalProperties": False,
    }
    if record.union:
        schema["oneOf"] = [{"required": [name]} for name in record.members]
    else:
        schema["required"] = [name for name in record.members if name in record.required]
    return schema


def _described(text: str) -> dict[str, str]:
    return {"description": text} if text else {}


def _title(name: str) -> str:
    first, *others = _WORD_START.split(name)
    return " ".join([first, *(word.lower() for word in others)])


def _given(limits: dict[str, Any]) -> dict[str, Any]:
    return {name: limit for name, limit in limits.items() if limit is not None}
