"""The errors of a row in the words of the person who fills it in."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from row_checks import LEAD, MODEL, OPPORTUNITY, TODAY, changed, places, validate

from bulk_invite.domain.rows import Rejection
from bulk_invite.validation import RowValidator, ShapeValidator
from bulk_invite.validation.field_texts import _FORMS
from bulk_invite.validation.service_model import ServiceModel

OF_OPPORTUNITY = "Invitation.Payload.OpportunityInvitation"
CUSTOMER = f"{OF_OPPORTUNITY}.Customer"
CONTACT = f"{OF_OPPORTUNITY}.SenderContacts.0"
SPEND = f"{OF_OPPORTUNITY}.Project.ExpectedCustomerSpend.0"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("Invitation.Message", ..., "required field is missing"),
        ("Invitation.Mesage", "x", "unknown field (did you mean Message?)"),
        ("Invitation.Jane", "x", "unknown field, number 4 of its object"),
        ("Invitation._bulk_invite", 1, "unknown field"),
        (
            "Invitation.Receiver.Account.AwsAccountId",
            "1111-2222-3333",
            "must be 12 digits, such as 111122223333",
        ),
        (
            "Invitation.Receiver.Account.AwsAccountId",
            987654321098,
            "must be text, is a number; put it in quotes",
        ),
        ("Invitation.Message", None, "must be text, is null"),
        ("Invitation.Message", ["a"], "must be text, is a list"),
        ("Invitation.Receiver", "a", "must be an object, is text"),
        (f"{OF_OPPORTUNITY}.SenderContacts", True, "must be a list, is true or false"),
        ("Invitation.Message", "", "must not be empty"),
        ("Invitation.Message", "x" * 1203, "has 1,203 characters; at most 255"),
        (f"{OF_OPPORTUNITY}.Project.BusinessProblem", "x", "has 1 character; at least 20"),
        (f"{OF_OPPORTUNITY}.Project.BusinessProblem", "", "is empty; at least 20 characters"),
        (f"{OF_OPPORTUNITY}.SenderContacts", [], "has 0 elements; at least 1"),
        (f"{OF_OPPORTUNITY}.SenderContacts", [{"Email": "a@b.c"}] * 4, "has 4 elements; at most 3"),
        ("Invitation.Receiver", {}, "must have exactly the field Account"),
        ("Invitation.Payload", {}, "must have exactly one of: LeadInvitation, OpportunityInvitation"),
        ("ClientToken", "a\nb", "must be one line, without line breaks"),
        ("Catalog", "AWS", "must be Sandbox, the catalog of this run"),
        (f"{SPEND}.Frequency", "monthly", "must be Monthly"),
        (f"{CONTACT}.Email", "Maria", "must be an e-mail address, such as jane.doe@example.org"),
        (
            f"{CUSTOMER}.Industry",
            "Retailing",
            "must be one of 28 values, which `bulk-invite schema` lists; did you mean Retail?",
        ),
        (
            f"{CUSTOMER}.CountryCode",
            "UK",
            "must be a two-letter country code of ISO 3166 in capitals (GB, not UK), such as DE",
        ),
    ],
)
def test_a_message_says_what_the_field_has_to_be(path: str, value: object, message: str) -> None:
    result = validate(changed(path, value))
    assert isinstance(result, Rejection)
    assert [each.message for each in result.errors] == [message]


def test_a_short_choice_lists_its_values_and_names_the_nearest() -> None:
    row = "Invitation.Payload.LeadInvitation.Customer.MarketSegment"
    result = validate(changed(row, "medium-sized", LEAD))
    assert isinstance(result, Rejection)
    listed = "must be one of: Enterprise, Large, Medium, Small, Micro"
    assert [each.message for each in result.errors] == [listed]
    result = validate(changed(row, "LARGE", LEAD))
    assert isinstance(result, Rejection)
    assert [each.message for each in result.errors] == [f"{listed}; did you mean Large?"]


@pytest.mark.parametrize("name", sorted(_FORMS))
def test_every_example_is_valid(name: str) -> None:
    assert ShapeValidator(MODEL, name).errors(_FORMS[name][1]) == ()


@pytest.mark.parametrize(
    ("name", "shape", "value", "message"),
    [
        ("PhoneNumber", {"pattern": "00[0-9]+"}, "+44", "has characters or a form that the service does not"),
        (
            "Industry",
            {"sensitive": True},
            "Retailing",
            "must be one of 28 values, which `bulk-invite schema` lists",
        ),
        ("CountryCode", {"enum": ["DEU", "GBR"]}, "GBX", "must be one of: DEU, GBR"),
    ],
)
def test_another_model_is_described_without_the_words_for_ours(
    name: str, shape: dict[str, object], value: str, message: str
) -> None:
    model = ServiceModel(MODEL.path, {**MODEL.shapes, name: {**MODEL.shapes[name], **shape}})
    (error,) = ShapeValidator(model, name).errors(value)
    assert error.message.startswith(message)
    assert "did you mean" not in error.message
    assert "[" not in error.message


PLACES = [(row, place) for row in (OPPORTUNITY, LEAD) for place in places(row)]
MARK = "Zx7Qw"
LIVE = RowValidator(MODEL, catalog="AWS", campaign="", today=TODAY)


@given(
    where=st.sampled_from(PLACES),
    value=st.one_of(
        st.text(max_size=12).map(lambda text: f"{MARK}{text}"),
        st.text(max_size=12).map(lambda text: f" {text}{MARK}"),
        st.integers(min_value=10**9, max_value=2**63 - 1),
        st.dictionaries(st.text(max_size=4).map(lambda text: f"{text}{MARK}"), st.none(), min_size=1),
        st.lists(st.just(MARK), min_size=1, max_size=12),
    ),
)
def test_no_message_holds_a_value_or_a_pattern(where: tuple[dict[str, Any], str], value: object) -> None:
    row, place = where
    real = orjson.loads(orjson.dumps({**row, "Catalog": "AWS"}))
    for result in (validate(changed(place, value, row)), validate(changed(place, value, real), LIVE)):
        errors = result.errors if isinstance(result, Rejection) else result.warnings
        for error in errors:
            said = error.path + error.message
            assert MARK not in said
            assert str(value) not in said
            assert not any(
                each in error.message for each in ("[", "\\", "{", "expected", "Input", "Value error")
            )
