"""The shipped model, another one by path, and which members are sensitive."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import botocore.loaders
import orjson
import pytest
from sensitive import sensitive_values

from bulk_invite.domain.errors import ServiceModelError
from bulk_invite.validation import examples
from bulk_invite.validation.service_model import FOLDER, REQUEST, load, sensitive_members


def test_botocore_finds_the_shipped_model_in_the_folder() -> None:
    loader = botocore.loaders.Loader()
    loader.search_paths.insert(0, str(FOLDER))
    document = loader.load_service_model("partnercentral-selling", "service-2")
    assert document["shapes"] == load().shapes
    assert "LeadInvitation" in document["shapes"]["Payload"]["members"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "Cannot read the service model"),
        (b"shapes: {}", "is not JSON"),
        (b"[]", "it has no shapes"),
        (b'{"shapes": []}', "it has no shapes"),
        (b'{"shapes": {"A": 1}}', "it has no shapes"),
        (b'{"shapes": {}}', f"does not describe {REQUEST}"),
        (b'{"shapes": {"CreateEngagementInvitationRequest": {"type": "string"}}}', "does not describe"),
    ],
)
def test_a_file_that_is_no_service_model_is_refused_at_loading(
    tmp_path: Path, content: bytes | None, sentence: str
) -> None:
    path = tmp_path / "service-2.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ServiceModelError, match=sentence) as caught:
        load(path)
    assert str(path) in str(caught.value)
    assert "service-2.json of partnercentral-selling" in caught.value.hint


def test_a_folder_is_no_service_model(tmp_path: Path) -> None:
    with pytest.raises(ServiceModelError, match="directory"):
        load(tmp_path)


def test_sensitive_members_are_those_that_the_model_marks() -> None:
    sensitive = sensitive_members(load())
    assert {"Email", "Phone", "AwsAccountId", "Alias", "CompanyName", "Amount", "Message"} <= sensitive
    assert not sensitive & {"EngagementIdentifier", "Catalog", "ClientToken", "Industry", "Title", "Payload"}


def test_sensitive_values_are_all_texts_under_such_members() -> None:
    model = load()
    for example in examples(model):
        values = sensitive_values(model, example)
        by_name = set(_texts_by_name(example))
        assert values == {text for name, text in by_name if name in sensitive_members(model)}


def test_a_mark_on_a_member_or_list_counts_too(tmp_path: Path) -> None:
    document: dict[str, Any] = orjson.loads(
        (FOLDER / "partnercentral-selling/2022-07-26/service-2.json").read_bytes()
    )
    shapes = document["shapes"]
    shapes["ProjectDetails"]["members"]["Title"]["sensitive"] = True
    shapes["ReceiverResponsibilityList"]["sensitive"] = True
    path = tmp_path / "service-2.json"
    path.write_bytes(orjson.dumps(document))
    model = load(path)
    assert {"Title", "ReceiverResponsibilities"} <= sensitive_members(model)
    assert {"Stock reporting in minutes", "Services Partner"} <= sensitive_values(model, examples(model)[0])


def test_values_of_unknown_shape_are_skipped() -> None:
    request = {"Invitation": {"Message": "m", "Payload": [1, {"x": "y"}]}, "Unknown": "u"}
    assert sensitive_values(load(), request) == {"m"}
    assert sensitive_values(load(), None) == set()


def _texts_by_name(value: object, name: str = "") -> list[tuple[str, str]]:
    if isinstance(value, str):
        return [(name, value)]
    if isinstance(value, list):
        return [pair for item in value for pair in _texts_by_name(item, name)]
    assert isinstance(value, dict)
    return [pair for inner, item in value.items() for pair in _texts_by_name(item, inner)]
