"""The JSON Schema agrees with the validator about every row."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from bulk_invite.domain.rows import METADATA, Invitation, Position, Row
from bulk_invite.validation import RowValidator, examples, row_json_schema
from bulk_invite.validation.descriptions import DESCRIPTIONS
from bulk_invite.validation.service_model import REQUEST, ServiceModel, load, sensitive_members

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
    assert set(SCHEMA["properties"]["_bulk_invite"]["properties"]) == {"key", "label"}
    metadata: list[object] = [None, 7, [], {"key": 7, "label": "North", "position": {}}]
    for each in metadata:
        assert fits(SCHEMA, row | {"_bulk_invite": each})


def test_an_editor_has_titles_and_values_to_show() -> None:
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert SCHEMA["properties"]["EngagementIdentifier"]["title"] == "Engagement identifier"
    assert SCHEMA["$defs"]["Industry"]["enum"] == MODEL.shapes["Industry"]["enum"]
    assert SCHEMA["$defs"]["Payload"]["oneOf"] == [
        {"required": ["OpportunityInvitation"]},
        {"required": ["LeadInvitation"]},
    ]
    orjson.dumps(SCHEMA)


def properties(model: ServiceModel) -> dict[str, dict[str, Any]]:
    """Every property of the schema by its record and name."""
    schema = row_json_schema(model)
    records = {REQUEST: schema, **schema["$defs"]}
    return {
        f"{record}.{name}": each
        for record, definition in records.items()
        for name, each in definition.get("properties", {}).items()
    }


def test_every_member_is_described_and_nothing_else() -> None:
    described = properties(MODEL)
    assert set(DESCRIPTIONS) == set(described) - {f"{REQUEST}.{METADATA}"}
    assert len(described) > 40
    for name, each in described.items():
        assert re.fullmatch(r"[A-Z].{8,}[.]", each["description"]), name
    sensitive = {
        name.partition(".")[2] for name, each in described.items() if "Sensitive" in each["description"]
    }
    assert sensitive == sensitive_members(MODEL)


def test_a_description_has_the_limits_of_the_model() -> None:
    described = {name: each["description"] for name, each in properties(MODEL).items()}
    assert described["SenderContact.Phone"].endswith(
        ", such as +442079460123. Sensitive: it never reaches the log or the checkpoint."
    )
    assert described["Invitation.Message"].startswith("What the partner reads first. 1 to 255 characters.")
    assert " 20 to 2000 characters." in described["ProjectDetails.BusinessProblem"]
    assert " 1 to 3 entries." in described["OpportunityInvitationPayload.SenderContacts"]


def test_what_a_description_gives_as_an_example_is_valid() -> None:
    for name, each in properties(MODEL).items():
        found = re.search(r"such as ([^,]+?)\.(?: |$)", each["description"])
        if found and "$ref" in each and not each["$ref"].endswith("List"):
            assert fits(SCHEMA["$defs"][each["$ref"].removeprefix("#/$defs/")], found[1]), name


def test_a_member_that_a_later_model_adds_has_what_the_model_says() -> None:
    shape = MODEL.shapes["Invitation"]
    added = {"Greeting": {"shape": "InvitationMessage"}, "Segment": {"shape": "MarketSegment"}}
    later = {**MODEL.shapes, "Invitation": {**shape, "members": {**shape["members"], **added}}}
    described = properties(ServiceModel(MODEL.path, later))
    assert described["Invitation.Greeting"]["description"] == (
        "1 to 255 characters. Sensitive: it never reaches the log or the checkpoint."
    )
    assert "description" not in described["Invitation.Segment"]
    assert described["Invitation.Segment"]["title"] == "Segment"


def test_every_definition_is_used_and_exists() -> None:
    referred = set(re.findall(r'"#/\$defs/(\w+)"', orjson.dumps(SCHEMA).decode()))
    assert referred == set(SCHEMA["$defs"])
