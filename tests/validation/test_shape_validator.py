"""Every shape of the model is checked; other models than the shipped one are used or refused."""

from __future__ import annotations

import orjson
import pytest
from row_checks import (
    LEAD,
    MODEL,
    TODAY,
    accepted,
    changed,
    validate,
    without,
)

from bulk_invite.domain.errors import ServiceModelError
from bulk_invite.domain.rows import Rejection
from bulk_invite.domain.tokens import canonical_json, derive_token
from bulk_invite.validation import RowValidator, ShapeValidator
from bulk_invite.validation.service_model import REQUEST, ServiceModel


@pytest.mark.parametrize("name", sorted(MODEL.shapes))
def test_every_shape_of_the_model_compiles(name: str) -> None:
    assert ShapeValidator(MODEL, name).errors(object()) != ()


def test_a_read_request_is_checked_too() -> None:
    validator = ShapeValidator(MODEL, "ListEngagementInvitationsRequest")
    fine = {
        "Catalog": "AWS",
        "ParticipantType": "SENDER",
        "MaxResults": 100,
        "EngagementIdentifier": ["arn:x"],
    }
    assert validator.errors(fine) == ()
    wrong = {
        **fine,
        "MaxResults": 101,
        "EngagementIdentifier": [],
        "Status": ["PENDING"] * 11,
        "ParticipantType": 1,
    }
    assert {(error.path, error.code) for error in validator.errors(wrong)} == {
        ("$.MaxResults", "out_of_range"),
        ("$.EngagementIdentifier", "too_few"),
        ("$.Status", "too_many"),
        ("$.ParticipantType", "wrong_type"),
    }
    for value in (0, 1.5, True, "1", 2**70):
        assert [error.path for error in validator.errors({**fine, "MaxResults": value})] == ["$.MaxResults"]


def test_a_request_needs_its_catalog_and_token() -> None:
    validator = ShapeValidator(MODEL, REQUEST)
    found = validator.errors(without(LEAD, "Catalog", "ClientToken"))
    assert [(error.path, error.code) for error in found] == [
        ("$.Catalog", "missing"),
        ("$.ClientToken", "missing"),
    ]


def test_a_lone_surrogate_is_an_error_and_no_exception() -> None:
    found = ShapeValidator(MODEL, REQUEST).errors(
        {**LEAD, "Catalog": "\ud800", "EngagementIdentifier": "\ud800"}
    )
    assert {error.code for error in found} == {"invalid_format"}


def altered(name: str, **shape: object) -> ServiceModel:
    return ServiceModel(MODEL.path, {**MODEL.shapes, name: {**MODEL.shapes[name], **shape}})


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (altered("InvitationMessage", pattern="(?<=a)b"), "cannot be compiled"),
        (altered("InvitationMessage", type="document"), "not supported"),
        (altered("Invitation", members={"Message": {"shape": "Invitation"}}), "contains itself"),
        (altered("Invitation", members={"Message": {"shape": "Nowhere"}}), "has no shape Nowhere"),
        (altered("Invitation", required=["Message"]), "does not require Invitation.Payload"),
    ],
)
def test_an_unusable_model_is_refused(model: ServiceModel, sentence: str) -> None:
    with pytest.raises(ServiceModelError, match=sentence):
        RowValidator(model, catalog="Sandbox", campaign="", today=TODAY)


def test_a_model_with_other_members_is_used() -> None:
    members = {**MODEL.shapes[REQUEST]["members"], "Category": {"shape": "PageSize"}}
    model = altered(REQUEST, members=members)
    validator = RowValidator(model, catalog="Sandbox", campaign="", today=TODAY)
    row = {**without(LEAD, "Catalog", "ClientToken"), "Category": 7}
    invitation = accepted(orjson.dumps(row), validator)
    sent = orjson.loads(invitation.body)
    assert invitation.body == canonical_json(
        {**row, "Catalog": "Sandbox", "ClientToken": invitation.client_token}
    )
    assert sent["ClientToken"] == derive_token("", canonical_json(without(sent, "ClientToken")))
    assert isinstance(validate(orjson.dumps({**row, "Category": 0}), validator), Rejection)


def test_a_later_model_may_require_less() -> None:
    model = altered("OpportunityInvitationPayload", required=[])
    validator = RowValidator(model, catalog="Sandbox", campaign="", today=TODAY)
    data = changed("Invitation.Payload.OpportunityInvitation", {})
    assert accepted(data, validator).warnings == ()


def test_a_number_in_short_form_hides_no_unknown_member() -> None:
    shapes = {**MODEL.shapes, "Level": {"type": "double"}}
    members = {**MODEL.shapes[REQUEST]["members"], "Level": {"shape": "Level"}}
    shapes[REQUEST] = {**MODEL.shapes[REQUEST], "members": members}
    validator = RowValidator(ServiceModel(MODEL.path, shapes), catalog="Sandbox", campaign="", today=TODAY)
    row = orjson.dumps(LEAD)
    accepted(b'{"Level":1E9,' + row[1:], validator)
    result = validate(b'{"Level":1E9,"a":"xy",' + row[1:], validator)
    assert isinstance(result, Rejection)
    assert [(error.path, error.code) for error in result.errors] == [("$.?2", "unknown_member")]


def test_a_union_in_a_list_has_one_member_too() -> None:
    shapes = {**MODEL.shapes, "Others": {"type": "list", "member": {"shape": "Receiver"}}}
    members = {**MODEL.shapes["Invitation"]["members"], "Others": {"shape": "Others"}}
    shapes["Invitation"] = {**MODEL.shapes["Invitation"], "members": members}
    validator = RowValidator(ServiceModel(MODEL.path, shapes), catalog="Sandbox", campaign="", today=TODAY)
    receiver = LEAD["Invitation"]["Receiver"]
    accepted(changed("Invitation.Others", [receiver, receiver], LEAD), validator)
    result = validate(changed("Invitation.Others", [receiver, {}], LEAD), validator)
    assert isinstance(result, Rejection)
    assert [(error.path, error.code) for error in result.errors] == [
        ("$.Invitation.Others[1]", "not_exactly_one")
    ]
