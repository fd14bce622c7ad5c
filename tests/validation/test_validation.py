"""Rows become invitations, or rejections that name everything that is wrong at once."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from row_checks import (
    LEAD,
    MODEL,
    OPPORTUNITY,
    PAYLOAD,
    TODAY,
    VALIDATOR,
    accepted,
    at,
    changed,
    places,
    rejected,
    validate,
    without,
)

from bulk_invite.domain.rows import Position, Rejection, Row
from bulk_invite.domain.tokens import body_hash, canonical_json, derive_token
from bulk_invite.validation import RowValidator

# Valid rows


@pytest.mark.parametrize(("row", "kind"), [(OPPORTUNITY, "OpportunityInvitation"), (LEAD, "LeadInvitation")])
def test_a_valid_row_becomes_a_frozen_invitation(row: dict[str, Any], kind: str) -> None:
    invitation = accepted(orjson.dumps(row))
    assert invitation.body == canonical_json(row)
    assert invitation.body_hash == body_hash(invitation.body)
    assert invitation.client_token == row["ClientToken"]
    assert invitation.engagement == row["EngagementIdentifier"]
    assert invitation.payload_type == kind
    assert invitation.warnings == ()


@pytest.mark.parametrize("row", [OPPORTUNITY, LEAD])
@pytest.mark.parametrize("absent", [("ClientToken",), ("Catalog",), ("Catalog", "ClientToken")])
def test_a_missing_catalog_and_token_are_filled_in(row: dict[str, Any], absent: tuple[str, ...]) -> None:
    bare = {**without(row, "ClientToken"), "Catalog": "Sandbox"}
    token = derive_token("spring", canonical_json(bare)) if "ClientToken" in absent else row["ClientToken"]
    invitation = accepted(orjson.dumps(without(row, *absent)))
    assert invitation.client_token == token
    assert invitation.body == canonical_json({**bare, "ClientToken": token})


def test_the_token_depends_on_campaign_and_catalog() -> None:
    data = orjson.dumps(without(LEAD, "Catalog", "ClientToken"))
    runs = [("Sandbox", "spring"), ("Sandbox", "autumn"), ("AWS", "spring")]
    validators = [RowValidator(MODEL, catalog=catalog, campaign=name, today=TODAY) for catalog, name in runs]
    assert len({accepted(data, validator).client_token for validator in validators}) == 3


@pytest.mark.parametrize(
    "write",
    [
        lambda row: json.dumps(row).encode(),
        lambda row: json.dumps(row, indent=2).encode().replace(b"\n", b"\r"),
        lambda row: json.dumps(row, ensure_ascii=False).encode(),
        lambda row: b"\xef\xbb\xbf" + orjson.dumps(row),
        lambda row: orjson.dumps(row).replace(b"+", b"\\u002b"),
        lambda row: orjson.dumps(row).replace(b"Example:", b"Example\\u003a"),
        lambda row: orjson.dumps({**row, "_bulk_invite": {"position": "a:1", "errors": [1.5, None, {}]}}),
        lambda row: orjson.dumps(dict(reversed(row.items()))),
        lambda row: orjson.dumps(row)[:-1] + b',"_bulk_invite":' + b"[" * 600 + b"]" * 600 + b"}",
    ],
)
def test_the_formatting_of_a_row_does_not_matter(write: Callable[[dict[str, Any]], bytes]) -> None:
    row = orjson.loads(
        changed("Invitation.Message", 'Grüße, Example: \U0001f44b \\ / " \t', without(LEAD, "ClientToken"))
    )
    assert accepted(write(row)).body == accepted(orjson.dumps(row)).body


def test_a_pattern_beside_an_enum_is_ignored() -> None:
    spend = "Invitation.Payload.OpportunityInvitation.Project.ExpectedCustomerSpend.0.CurrencyCode"
    for currency in MODEL.shapes["ExpectedCustomerSpendCurrencyCodeEnum"]["enum"]:
        accepted(changed(spend, currency))


@pytest.mark.parametrize(
    ("path", "value", "where", "code"),
    [
        (
            "Project.ExpectedCustomerSpend.0.TargetCompany",
            "Other",
            ".ExpectedCustomerSpend[0]",
            "target_company",
        ),
        (
            "Project.ExpectedCustomerSpend.0.CurrencyCode",
            "SEK",
            ".ExpectedCustomerSpend[0]",
            "unusual_currency",
        ),
        ("Project.TargetCompletionDate", "2026-04-30", "", "date_in_past"),
    ],
)
def test_a_probable_mistake_is_a_warning(path: str, value: str, where: str, code: str) -> None:
    (warning,) = accepted(changed(f"Invitation.Payload.OpportunityInvitation.{path}", value)).warnings
    assert (warning.path, warning.code) == (f"{PAYLOAD}.Project{where}.{path.rsplit('.', 1)[1]}", code)


@pytest.mark.parametrize("token", ["\0", "a\0b"])
def test_a_token_that_the_checkpoint_could_not_tell_from_another_is_rejected(token: str) -> None:
    assert rejected(changed("ClientToken", token)) == {"$.ClientToken": "nul_character"}


def test_today_is_not_in_the_past() -> None:
    data = changed("Invitation.Payload.OpportunityInvitation.Project.TargetCompletionDate", "2026-05-01")
    assert accepted(data).warnings == ()


@pytest.mark.parametrize("token", ["x" * 65, "two words", "é"])
def test_an_unusual_token_is_a_warning(token: str) -> None:
    (warning,) = accepted(changed("ClientToken", token)).warnings
    assert (warning.path, warning.code) == ("$.ClientToken", "unusual_client_token")
    assert accepted(changed("ClientToken", "x" * 64)).warnings == ()


# What is not a row


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", {"$": "invalid_json"}),
        (b"{", {"$": "invalid_json"}),
        (b"{} {}", {"$": "invalid_json"}),
        (b'{"a": NaN}', {"$": "invalid_json"}),
        (b'{"a": "\\ud800"}', {"$": "invalid_json"}),
        (b'{"a": "\n"}', {"$": "invalid_json"}),
        (b"\xef\xbb\xbf\xef\xbb\xbf{}", {"$": "invalid_json"}),
        (b'{"a": "\xff"}', {"$": "invalid_utf8"}),
        (b'{"a": "\xed\xa0\x80"}', {"$": "invalid_utf8"}),
        (b"[]", {"$": "not_an_object"}),
        (b"null", {"$": "not_an_object"}),
        (b'"text"', {"$": "not_an_object"}),
        (b"1" * 5000, {"$": "invalid_json"}),
        (b"1" * 30, {"$": "not_an_object"}),
        (b'[{"a": 1, "a": 2}]', {"$": "not_an_object", "$[0].?2": "duplicate_key"}),
    ],
)
def test_a_line_that_is_no_row_is_rejected(data: bytes, found: dict[str, str]) -> None:
    assert rejected(data) == found


def test_an_oversized_line_is_rejected() -> None:
    result = VALIDATOR.validate(Row(Position("rows.ndjson", 7), b"", oversized=True))
    assert isinstance(result, Rejection)
    assert [(error.path, error.code) for error in result.errors] == [("$", "line_too_long")]


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b'{"Catalog": "Sandbox", "Catalog": "Sandbox"}', {"$.Catalog"}),
        (b'{"Catalog": "Sandbox", "C\\u0061talog": "Sandbox"}', {"$.Catalog"}),
        (b'{"a": {"b": 1, "b": [{"c": {}, "c": 2}]}}', {"$.?1.?2", "$.?1.?2[0].?2"}),
        (b'{"a": 1, "a": 2, "a": 3}', {"$.?2", "$.?3"}),
        (b'{"_bulk_invite": {"x": 1, "x": 1}}', {"$._bulk_invite.?2"}),
        (b'{"d@e.f": 1, "d@e.f": 1}', {"$.?2"}),
        (b'{"a": ' + b"1" * 5000 + b', "a": 1}', set()),
    ],
)
def test_a_duplicate_member_is_an_error_at_any_depth(data: bytes, found: set[str]) -> None:
    errors = rejected(data)
    assert {path for path, code in errors.items() if "duplicate_key" in code} == found


@pytest.mark.parametrize("row", [OPPORTUNITY, LEAD])
def test_a_valid_row_with_a_duplicate_member_is_rejected_only_for_that(row: dict[str, Any]) -> None:
    for extra in (
        b'"Catalog":"Sandbox",',
        b'"Invitation":{"Message":":"},',
        b'"\\u0043atalog" : ":\\u003a",',
    ):
        (code,) = rejected(b"{" + extra + orjson.dumps(row)[1:]).values()
        assert code == "duplicate_key"


# What the service model says


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        ("Nothing", 1, "unknown_member"),
        ("Invitation.Payload.OpportunityInvitation.Customer.Nothing", None, "unknown_member"),
        ("EngagementIdentifier", ..., "missing"),
        (
            "Invitation.Payload.OpportunityInvitation.Project.ExpectedCustomerSpend.0.Frequency",
            ...,
            "missing",
        ),
        ("Invitation.Message", 1, "wrong_type"),
        ("Invitation.Message", None, "wrong_type"),
        ("Catalog", None, "wrong_type"),
        ("ClientToken", None, "wrong_type"),
        ("Invitation", [], "wrong_type"),
        ("Invitation.Payload.OpportunityInvitation.SenderContacts", {}, "wrong_type"),
        ("Invitation.Payload.OpportunityInvitation.Customer.CountryCode", ["GB"], "wrong_type"),
        ("Invitation.Payload.OpportunityInvitation.Customer.CountryCode", "gb", "not_in_enum"),
        ("Invitation.Payload.OpportunityInvitation.ReceiverResponsibilities.0", "", "not_in_enum"),
        ("EngagementIdentifier", "eng-0123456789abcd\n", "invalid_format"),
        ("Invitation.Receiver.Account.AwsAccountId", "12345678901é", "invalid_format"),
        ("Invitation.Payload.OpportunityInvitation.SenderContacts.0.Email", "a" * 81, "too_long"),
        ("Invitation.Payload.OpportunityInvitation.SenderContacts.0.Email", "a b@c", "invalid_format"),
        ("Invitation.Payload.OpportunityInvitation.Customer.WebsiteUrl", "a.b", "too_short"),
        ("Invitation.Message", "", "too_short"),
        ("Invitation.Message", "x" * 256, "too_long"),
        ("ClientToken", "x" * 256, "too_long"),
        ("ClientToken", "a\nb", "invalid_format"),
        ("Invitation.Payload.OpportunityInvitation.SenderContacts", [], "too_few"),
        ("Invitation.Payload.OpportunityInvitation.SenderContacts", [{"Email": "a@b.c"}] * 4, "too_many"),
        ("Invitation.Receiver", {}, "not_exactly_one"),
        (
            "Invitation.Payload.LeadInvitation",
            LEAD["Invitation"]["Payload"]["LeadInvitation"],
            "not_exactly_one",
        ),
        ("Catalog", "AWS", "wrong_catalog"),
        ("Catalog", "4WS", "invalid_format"),
        (
            "Invitation.Payload.OpportunityInvitation.Project.TargetCompletionDate",
            "2026-02-31",
            "no_such_date",
        ),
        (
            "Invitation.Payload.OpportunityInvitation.Project.TargetCompletionDate",
            "20260228",
            "invalid_format",
        ),
        (
            "Invitation.Payload.OpportunityInvitation.Project.TargetCompletionDate",
            "2026-2-31",
            "invalid_format",
        ),
    ],
)
def test_one_mistake_is_one_error_at_its_place(path: str, value: object, code: str) -> None:
    where = "$" + "".join(f"[{step}]" if step.isdigit() else f".{step}" for step in path.split("."))
    if code == "unknown_member":  # its name is not shown, only that it is the last one there
        data = orjson.loads(changed(path, value))
        holder: Any = at(data, path.rpartition(".")[0]) if "." in path else data
        where = f"{where.removesuffix('Nothing')}?{len(holder)}"
    if code == "not_exactly_one":
        where = where.removesuffix(".LeadInvitation")
    assert rejected(changed(path, value)) == {where: code}


@pytest.mark.parametrize(
    "name", ["JaneDoe", "123456789012", "Jane Doe", "", "\n", "?1", "Catalog.", "x" * 100]
)
def test_an_unknown_member_is_reported_by_its_place(name: str) -> None:
    row = {"_bulk_invite": {name: 1}, **copy.deepcopy(OPPORTUNITY)}
    row["Invitation"]["Payload"] |= {name: {name: 1}}
    row |= {name: {name: 1}}
    data = orjson.dumps(row)
    result = validate(data[:-1] + b"," + orjson.dumps({name: 2})[1:])
    assert isinstance(result, Rejection)
    count = len(row)
    assert [(error.path, error.code) for error in result.errors] == [
        (f"$.?{count + 1}", "duplicate_key"),
        ("$.Invitation.Payload.?2", "unknown_member"),
        (f"$.?{count + 1}", "unknown_member"),  # of one given twice the last one counts
    ]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("CompnayName", "CompanyName"),
        ("companyName", "CompanyName"),
        ("CountryCodes", "CountryCode"),
        ("JaneDoe", None),
        ("CompanyName" * 8, None),
    ],
)
def test_a_misspelled_member_gets_the_name_of_the_model(name: str, meant: str | None) -> None:
    result = validate(changed(f"Invitation.Payload.OpportunityInvitation.Customer.{name}", "x"))
    assert isinstance(result, Rejection)
    (error,) = result.errors
    assert error.message.partition("(did you mean ")[2] == (f"{meant}?)" if meant else "")
    assert meant == name or name not in error.message + error.path


def test_lengths_count_characters_not_bytes() -> None:
    accepted(changed("Invitation.Message", "\U0001f44b" * 255))


def test_a_date_is_checked_even_if_other_members_are_wrong() -> None:
    row = orjson.loads(
        changed("Invitation.Payload.OpportunityInvitation.Project.TargetCompletionDate", "2027-02-29")
    )
    assert rejected(changed("Invitation.Message", "", row)) == {
        "$.Invitation.Message": "too_short",
        f"{PAYLOAD}.Project.TargetCompletionDate": "no_such_date",
    }


def test_all_mistakes_of_a_row_are_found_at_once() -> None:
    row: dict[str, Any] = copy.deepcopy(OPPORTUNITY)
    opportunity = row["Invitation"]["Payload"]["OpportunityInvitation"]
    row["Invitation"]["Payload"]["LeadInvitation"] = {"Customer": 1}
    row |= {"Catalog": "AWS", "ClientToken": "", "bad key": 1, "Fine-Key_1": 1}
    opportunity["SenderContacts"] = [{"Email": "x"}, {}, {"Email": "a@b.c", "Phone": "1"}, []]
    opportunity["Customer"]["Industry"] = "Retailing"
    opportunity["Project"]["ExpectedCustomerSpend"][0] |= {"Amount": "1,5", "Frequency": 12}
    del opportunity["Project"]["Title"]
    assert rejected(b'{"Invitation":{},' + orjson.dumps(row)[1:]) == {
        "$.Invitation": "duplicate_key",
        "$.Catalog": "wrong_catalog",
        "$.ClientToken": "too_short",
        "$.?6": "unknown_member",
        "$.?7": "unknown_member",
        "$.Invitation.Payload": "not_exactly_one",
        "$.Invitation.Payload.LeadInvitation.Customer": "wrong_type",
        "$.Invitation.Payload.LeadInvitation.Interaction": "missing",
        f"{PAYLOAD}.SenderContacts": "too_many",
        f"{PAYLOAD}.SenderContacts[0].Email": "invalid_format",
        f"{PAYLOAD}.SenderContacts[1].Email": "missing",
        f"{PAYLOAD}.SenderContacts[2].Phone": "invalid_format",
        f"{PAYLOAD}.SenderContacts[3]": "wrong_type",
        f"{PAYLOAD}.Customer.Industry": "not_in_enum",
        f"{PAYLOAD}.Project.Title": "missing",
        f"{PAYLOAD}.Project.ExpectedCustomerSpend[0].Amount": "invalid_format",
        f"{PAYLOAD}.Project.ExpectedCustomerSpend[0].Frequency": "wrong_type",
    }


@pytest.mark.parametrize("row", [OPPORTUNITY, LEAD])
@pytest.mark.parametrize("wrong", [17, None, True, "\n" * 3000, [[]], {"Nothing": 1}])
def test_a_wrong_value_anywhere_is_found_at_its_place(row: dict[str, Any], wrong: object) -> None:
    for place in places(row):
        where = "$" + "".join(f"[{step}]" if step.isdigit() else f".{step}" for step in place.split("."))
        found = rejected(changed(place, wrong, row))
        assert any(path == where or path.startswith((f"{where}.", f"{where}[")) for path in found), place
