"""The JSON Schema agrees with the validator about every row."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from bulk_invite.domain.rows import Invitation, Position, Row
from bulk_invite.validation import RowValidator, examples, row_json_schema
from bulk_invite.validation.service_model import load

MODEL = load()
SCHEMA = row_json_schema(MODEL)
VALIDATOR = RowValidator(MODEL, catalog="Sandbox", campaign="", today=dt.date(2026, 1, 1))
TYPES = {"object": dict, "array": list, "string": str}

# As much of draft 2020-12 as the schema uses: by keyword, its value, the instance and the schema -> it fits.
Check = Callable[[Any, Any, dict[str, Any]], bool]
CHECKS: dict[str, Check] = {
    "type": lambda name, value, _: isinstance(value, TYPES[name]),
    "enum": lambda values, value, _: value in values,
    "minLength": lambda count, value, _: not isinstance(value, str) or len(value) >= count,
    "maxLength": lambda count, value, _: not isinstance(value, str) or len(value) <= count,
    "pattern": lambda form, value, _: not isinstance(value, str) or re.search(form, value) is not None,
    "minItems": lambda count, value, _: not isinstance(value, list) or len(value) >= count,
    "maxItems": lambda count, value, _: not isinstance(value, list) or len(value) <= count,
    "items": lambda inner, value, _: not isinstance(value, list) or all(fits(inner, item) for item in value),
    "required": lambda names, value, _: not isinstance(value, dict) or value.keys() >= set(names),
    "properties": lambda inner, value, _: all(
        fits(inner[name], value[name])
        for name in (inner.keys() & value.keys() if isinstance(value, dict) else ())
    ),
    "additionalProperties": lambda extra, value, schema: (
        extra or not isinstance(value, dict) or value.keys() <= schema["properties"].keys()
    ),
    "oneOf": lambda schemas, value, _: sum(fits(schema, value) for schema in schemas) == 1,
    "$ref": lambda name, value, _: fits(SCHEMA["$defs"][name.removeprefix("#/$defs/")], value),
}
ANNOTATIONS = {"$schema", "$defs", "title", "description"}


def fits(schema: dict[str, Any], value: object) -> bool:
    """An unknown keyword fails the test."""
    words = schema.keys() - ANNOTATIONS
    return all(CHECKS[word](schema[word], value, schema) for word in sorted(words))


def changes(value: Any) -> list[Any]:
    """Copies of a value with one thing changed somewhere."""
    others: list[Any] = [7, "", "x" * 300, [], {}, [value, value, value, value]]
    if isinstance(value, dict):
        others += [{**value, "Nothing": 1}]
        others += [{name: inner for name, inner in value.items() if name != left_out} for left_out in value]
        others += [{**value, name: other} for name, inner in value.items() for other in changes(inner)]
    if isinstance(value, list):
        others += [[other] for other in changes(value[0])]
    if isinstance(value, str):
        others += [f"{value}!", f"!{value}", value.lower(), value[1:]]
    return others


@pytest.mark.parametrize("row", examples(MODEL))
def test_schema_and_validator_agree(row: dict[str, Any]) -> None:
    verdicts = set()
    for changed in [row, *changes(row)]:
        result = VALIDATOR.validate(Row(Position("-", 1), orjson.dumps(changed)))
        valid = isinstance(result, Invitation) or {error.code for error in result.errors} == {"wrong_catalog"}
        assert fits(SCHEMA, changed) == valid, result
        verdicts.add(valid)
    assert verdicts == {True, False}


def test_catalog_token_and_metadata_are_optional() -> None:
    row = examples(MODEL)[0]
    assert fits(SCHEMA, row)
    del row["Catalog"], row["ClientToken"]
    assert fits(SCHEMA, row)
    assert SCHEMA["required"] == ["EngagementIdentifier", "Invitation"]
    assert "_bulk_invite" in SCHEMA["properties"]


def test_an_editor_has_titles_and_values_to_show() -> None:
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert SCHEMA["properties"]["EngagementIdentifier"]["title"] == "Engagement identifier"
    assert SCHEMA["$defs"]["Industry"]["enum"] == MODEL.shapes["Industry"]["enum"]
    assert SCHEMA["$defs"]["Payload"]["oneOf"] == [
        {"required": ["OpportunityInvitation"]},
        {"required": ["LeadInvitation"]},
    ]
    orjson.dumps(SCHEMA)


def test_every_definition_is_used_and_exists() -> None:
    referred = set(re.findall(r'"#/\$defs/(\w+)"', orjson.dumps(SCHEMA).decode()))
    assert referred == set(SCHEMA["$defs"])
