"""Keys from which tokens are derived, and labels by which rows are found again."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from row_checks import LEAD, MODEL, OPPORTUNITY, TODAY, VALIDATOR, accepted, validate

from bulk_invite.domain.member_path import KEY, MemberPath
from bulk_invite.domain.rows import Invitation, Position, Rejection, Row
from bulk_invite.domain.tokens import derive_key_token
from bulk_invite.runs.settings.loading import load
from bulk_invite.runs.wiring.validator import make_validator
from bulk_invite.validation import RowValidator

BY_KEY = RowValidator(MODEL, catalog="Sandbox", campaign="spring", today=TODAY, key=KEY)
BY_TITLE = RowValidator(
    MODEL,
    catalog="Sandbox",
    campaign="spring",
    today=TODAY,
    key=MemberPath.parse("$.Invitation.Payload.OpportunityInvitation.Project.Title"),
)
ANY_LABEL = RowValidator(MODEL, catalog="Sandbox", campaign="spring", today=TODAY, sensitive_labels=True)

keys = st.integers(min_value=-(2**63), max_value=2**64 - 1) | st.text(
    st.characters(exclude_categories=["Cs"]), min_size=1, max_size=256
).filter(lambda text: text == text.strip())
leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
values = st.recursive(
    leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner), max_leaves=5
)


def without_token(row: dict[str, Any] = LEAD, **members: Any) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "ClientToken"} | members


def keyed(key: object, message: str = "Would you join us?", **ours: Any) -> bytes:
    invitation = {**LEAD["Invitation"], "Message": message}
    row = without_token(Invitation=invitation, _bulk_invite={"key": key, **ours})
    return json.dumps(row).encode()


def labeled(label: object, row: dict[str, Any] = LEAD) -> bytes:
    return json.dumps({**row, "_bulk_invite": {"label": label}}).encode()


def only_error(result: Invitation | Rejection) -> tuple[str, str]:
    assert isinstance(result, Rejection)
    ((path, code),) = [(error.path, error.code) for error in result.errors]
    return path, code


# Keys


@given(keys, keys, st.sampled_from(["other.ndjson", "-"]))
def test_the_token_follows_the_key_and_nothing_else(one: str | int, other: str | int, source: str) -> None:
    first = accepted(keyed(one), BY_KEY)
    edited = BY_KEY.validate(Row(Position(source, 9), keyed(str(one), "Edited", label="new")))
    assert isinstance(edited, Invitation)
    assert first.client_token == edited.client_token == derive_key_token("spring", str(one))
    assert first.body_hash != edited.body_hash
    assert first.has_key_token
    assert b"_bulk_invite" not in first.body
    assume(str(one) != str(other))
    assert accepted(keyed(other), BY_KEY).client_token != first.client_token


def test_a_row_of_a_database_has_the_key_of_its_column() -> None:
    of_database = BY_KEY.validate(Row(Position("db", key="17"), json.dumps(without_token()).encode()))
    assert isinstance(of_database, Invitation)
    assert of_database.client_token == accepted(keyed(17), BY_KEY).client_token


@pytest.mark.parametrize(
    ("key", "code"),
    [
        (None, "missing_key"),
        ("", "missing_key"),
        *((key, "invalid_key") for key in (True, 1.0, 2**64, ["a"], {"a": 1}, "a ", "\ta", " ", "x" * 257)),
    ],
)
def test_what_is_no_key_is_rejected(key: object, code: str) -> None:
    assert only_error(validate(keyed(key), BY_KEY)) == ("$._bulk_invite.key", code)


@pytest.mark.parametrize("metadata", [None, 7, "key", [], {}, {"Key": 1}])
def test_without_keys_metadata_of_any_kind_is_ignored_and_with_keys_it_lacks_one(metadata: object) -> None:
    row = json.dumps(without_token(_bulk_invite=metadata)).encode()
    assert accepted(row).body == accepted(json.dumps(without_token()).encode()).body
    assert only_error(validate(row, BY_KEY)) == ("$._bulk_invite.key", "missing_key")


def test_a_missing_key_is_reported_with_all_other_errors() -> None:
    result = validate(json.dumps(without_token(EngagementIdentifier=5)).encode(), BY_KEY)
    assert isinstance(result, Rejection)
    assert {error.code for error in result.errors} == {"missing_key", "wrong_type"}


def test_a_row_with_its_own_token_keeps_it_and_needs_no_key() -> None:
    own = accepted(json.dumps(LEAD).encode(), BY_KEY)
    assert (own.client_token, own.has_key_token) == (LEAD["ClientToken"], False)


def test_a_path_leads_to_a_member_of_the_request() -> None:
    row = without_token(OPPORTUNITY)
    title = row["Invitation"]["Payload"]["OpportunityInvitation"]["Project"]["Title"]
    assert accepted(json.dumps(row).encode(), BY_TITLE).client_token == derive_key_token("spring", title)
    path = "$.Invitation.Payload.OpportunityInvitation.Project.Title"
    assert only_error(validate(json.dumps(without_token()).encode(), BY_TITLE)) == (path, "missing_key")


@pytest.mark.parametrize("text", ["$.a", "$[0]", "$.a[0].b_1", "$._bulk_invite.key"])
def test_a_path_is_written_in_one_way(text: str) -> None:
    assert str(MemberPath.parse(text)) == text
    assert MemberPath.parse("$.a[0].b_1").value_in({"a": [{"b_1": 5}]}) == 5
    others: list[object] = [{"a": []}, {"a": {"0": 1}}, [], None, {"a": [5]}]
    for row in others:
        assert MemberPath.parse("$.a[0].b_1").value_in(row) is None


@pytest.mark.parametrize(
    "text", ["$", "$a", "$.", "$..a", "$.a[*]", "$.a[-1]", "$.a b", "$['a']", "$.a.", "$.a\n"]
)
def test_anything_else_is_no_path(text: str) -> None:
    with pytest.raises(ValueError, match="expected a path such as"):
        MemberPath.parse(text)


# Labels


@pytest.mark.parametrize(
    ("label", "kept"),
    [
        ("North, wave 2", "North, wave 2"),
        (4711, "4711"),
        ("  padded ", "padded"),
        ("two\nlines \x1b[31m\u202e", "two\\nlines \\x1b[31m\\u202e"),
        ("x" * 300, "x" * 200),
        (None, ""),
        ("", ""),
    ],
)
def test_a_label_is_one_line_and_not_a_part_of_the_invitation(label: object, kept: str) -> None:
    invitation = accepted(labeled(label))
    assert (invitation.label, invitation.warnings) == (kept, ())
    plain = accepted(json.dumps(LEAD).encode())
    assert (invitation.body, invitation.client_token) == (plain.body, plain.client_token)


@pytest.mark.parametrize("label", [True, 1.5, ["a"], {"a": 1}])
def test_a_label_that_is_no_text_is_left_out_with_a_warning(label: object) -> None:
    invitation = accepted(labeled(label))
    assert invitation.label == ""
    assert [(each.path, each.code) for each in invitation.warnings] == [
        ("$._bulk_invite.label", "invalid_label")
    ]


@pytest.mark.parametrize(
    "label",
    [
        "{AwsAccountId}",
        "No. {AwsAccountId}, wave 2",
        "{company}",
        "{COMPANY}",
        "for_{company}!",
        "{country}",
    ],
)
def test_a_label_that_repeats_a_sensitive_value_is_left_out_with_a_warning(label: str) -> None:
    customer = LEAD["Invitation"]["Payload"]["LeadInvitation"]["Customer"]
    account = LEAD["Invitation"]["Receiver"]["Account"]["AwsAccountId"]
    text = label.format(
        AwsAccountId=f"{account[:4]}-{account[4:8]}-{account[8:]}",
        company=customer["CompanyName"],
        COMPANY=customer["CompanyName"].upper(),
        country=customer["CountryCode"],
    )
    invitation = accepted(labeled(text))
    assert invitation.label == ""
    assert [each.code for each in invitation.warnings] == ["sensitive_label"]
    assert text not in repr(invitation.warnings)
    assert accepted(labeled(text), ANY_LABEL).label == text


def test_short_values_within_a_label_and_plain_members_are_no_reason_to_leave_it_out() -> None:
    customer = LEAD["Invitation"]["Payload"]["LeadInvitation"]["Customer"]
    for label in (f"{customer['CountryCode']} wave 2", LEAD["EngagementIdentifier"], customer["Industry"]):
        assert accepted(labeled(label)).label == label


def test_the_label_of_a_rejected_row_is_kept_unless_it_repeats_what_may_be_sensitive() -> None:
    wrong = {**LEAD, "EngagementIdentifier": "wrong", "Surname": "Quixote", "Phone": 441632960000}
    for label, kept in (("North", "North"), ("Don Quixote", ""), ("+44 1632 960000", "")):
        result = validate(labeled(label, wrong))
        assert isinstance(result, Rejection)
        assert result.label == kept
    for data in (b"{", b"[" * 5000, b'{"a":' * 1000 + b'"North"' + b"}" * 1000):
        row = Row(Position("db", key="1"), data, label="North")
        unread = VALIDATOR.validate(row)
        assert isinstance(unread, Rejection)
        assert unread.label == ""
        kept_anyway = ANY_LABEL.validate(row)
        assert isinstance(kept_anyway, Rejection)
        assert kept_anyway.label == "North"


def test_a_column_takes_precedence_over_the_row() -> None:
    both = VALIDATOR.validate(Row(Position("db", key="1"), labeled("of the row"), label="of the column"))
    assert isinstance(both, Invitation)
    assert both.label == "of the column"


def test_settings_name_the_member_of_the_label() -> None:
    path = "$.Invitation.Payload.LeadInvitation.Interaction.SourceId"
    validator = make_validator(load({"label": path}, None, {}))
    interaction = LEAD["Invitation"]["Payload"]["LeadInvitation"]["Interaction"]
    assert accepted(labeled("other"), validator).label == interaction["SourceId"]


# Metadata beside the request


@settings(max_examples=50)
@given(values)
def test_metadata_changes_nothing_about_a_row(metadata: object) -> None:
    row = without_token(OPPORTUNITY)
    plain = accepted(json.dumps(row).encode())
    row["_bulk_invite"] = {"other": metadata}
    with_it = accepted(json.dumps(row, allow_nan=False).encode()) if _is_json(metadata) else plain
    assert (with_it.body, with_it.client_token) == (plain.body, plain.client_token)


def _is_json(value: object) -> bool:
    try:
        json.dumps(value, allow_nan=False).encode("ascii").decode()
        json.dumps(value, ensure_ascii=False).encode()
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(
    "metadata",
    [
        '{"key": 1, "key": 1}',
        '{"key": 1, "errors": [{"path": "$", "path": "$"}]}',
        '{"key": 1}, "_bulk_invite": {"key": 1}',
        '{"key": "a:b", "key": 1}',
        '{"key": "a:b", "Surprise": {}}, "Surprise": 1',
    ],
)
def test_metadata_hides_no_member_that_is_given_twice_or_unknown(metadata: str) -> None:
    row = json.dumps(without_token())[:-1] + f', "_bulk_invite": {metadata}}}'
    result = validate(row.encode())
    assert isinstance(result, Rejection)
    assert {error.code for error in result.errors} <= {"duplicate_key", "unknown_member"}
