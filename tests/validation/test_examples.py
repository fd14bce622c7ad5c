"""Examples show every member of the model and are valid without changes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from bulk_invite.domain.errors import ServiceModelError
from bulk_invite.domain.rows import Invitation, Position, Row
from bulk_invite.validation import RowValidator, examples
from bulk_invite.validation.service_model import REQUEST, ServiceModel, load

MODEL = load()
Path = tuple[str, ...]


def test_each_payload_type_has_one_valid_example_without_a_warning() -> None:
    in_twenty_years = dt.datetime.now(tz=dt.UTC).date() + dt.timedelta(days=20 * 365)
    validator = RowValidator(MODEL, catalog="Sandbox", campaign="", today=in_twenty_years)
    results = [validator.validate(Row(Position("-", 1), orjson.dumps(row))) for row in examples(MODEL)]
    assert [result.payload_type for result in results if isinstance(result, Invitation)] == list(
        MODEL.shapes["Payload"]["members"]
    )
    assert all(isinstance(result, Invitation) and not result.warnings for result in results)
    valid = [result for result in results if isinstance(result, Invitation)]
    assert len({result.client_token for result in valid}) == len(results)
    assert len({result.engagement for result in valid}) == len(results)


def test_every_member_that_a_request_can_have_is_shown() -> None:
    shown = {path for row in examples(MODEL) for path in _shown(row)}
    assert shown == set(_members(MODEL, REQUEST, ()))


def test_a_member_that_a_later_model_adds_is_shown_too() -> None:
    added = {
        "Website": "CompanyWebsiteUrl",
        "Level": "PageSize",
        "Note": "EngagementTitle",
        "Size": "MarketSegment",
    }
    members = {name: {"shape": shape} for name, shape in added.items()}
    shape = MODEL.shapes["AccountReceiver"]
    model = _altered("AccountReceiver", members={**shape["members"], **members}, required=["Level", "Note"])
    for row in examples(model):
        account: Any = row["Invitation"]
        assert set(account["Receiver"]["Account"]) == {"Alias", "AwsAccountId", "Level", "Note", "Size"}


def test_a_required_member_of_unknown_form_is_named() -> None:
    shape = MODEL.shapes["AccountReceiver"]
    members = {**shape["members"], "Website": {"shape": "CompanyWebsiteUrl"}}
    with pytest.raises(ServiceModelError, match="there is no example for Website"):
        examples(_altered("AccountReceiver", members=members, required=["Website"]))


def test_no_real_person_is_named() -> None:
    text = orjson.dumps(examples(MODEL)).decode()
    addresses = [
        word for word in text.split('"') if "@" in word or ("://" in word and "calculator.aws" not in word)
    ]
    assert addresses
    assert all(address.endswith("example.com") for address in addresses)


def _altered(name: str, **shape: object) -> ServiceModel:
    return ServiceModel(MODEL.path, {**MODEL.shapes, name: {**MODEL.shapes[name], **shape}})


def _members(model: ServiceModel, name: str, path: Path) -> Iterator[Path]:
    shape = model.shapes[name]
    if "member" in shape:
        yield from _members(model, shape["member"]["shape"], path)
    for member, reference in shape.get("members", {}).items():
        yield (*path, member)
        yield from _members(model, reference["shape"], (*path, member))


def _shown(value: object, path: Path = ()) -> Iterator[Path]:
    if isinstance(value, list):
        for item in value:
            yield from _shown(item, path)
    elif isinstance(value, dict):
        for member, inner in value.items():
            yield (*path, member)
            yield from _shown(inner, (*path, member))
