"""What makes an invitation differ, and what does not: members left out, added or written differently."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from row_checks import LEAD, OPPORTUNITY, at, changed, places
from shown import BOTH, SENT, doubtful, look, made, shown

from bulk_invite.domain.findings import Absent, Content, Found, Listed, Unclear
from bulk_invite.domain.matching import (
    NOT_COMPARABLE,
)


def shown_again(arrived: tuple[Listed, Content], path: str, value: object) -> tuple[Listed, Content]:
    """The same invitation, where the service gives one member of its payload back changed."""
    listed, content = arrived
    return listed, replace(content, payload=orjson.loads(changed(path, value, dict(content.payload))))


def _texts(example: dict[str, Any]) -> list[str]:
    payload = example["Invitation"]["Payload"]
    return [place for place in places(payload) if isinstance(at(payload, place), str)]


@BOTH
def test_a_payload_differs_in_any_member_except_the_one_that_the_service_sets(
    example: dict[str, Any],
) -> None:
    row, arrived = doubtful(made(example), SENT), shown(made(example), SENT)
    fits = [
        place for place in _texts(example) if isinstance(look(row, [shown_again(arrived, place, "x")]), Found)
    ]
    assert [place.rpartition(".")[2] for place in fits] == (
        ["TargetCompany"] if example is OPPORTUNITY else []
    )


@BOTH
def test_a_withheld_member_leaves_the_row_in_doubt(example: dict[str, Any]) -> None:
    row, arrived = doubtful(made(example), SENT), shown(made(example), SENT)
    payload = example["Invitation"]["Payload"]
    elements = [place for place in places(payload) if place.rpartition(".")[2].isdigit()]
    for place in set(places(payload)) - set(elements):
        if not place.endswith("TargetCompany"):
            finding = look(row, [shown_again(arrived, place, ...)])
            assert finding == Unclear(NOT_COMPARABLE, (arrived[0].invitation_id,)), place


@BOTH
@pytest.mark.parametrize("kept_back", [{"message": ""}, {"receiver": {}}, {"payload": {}}])
def test_an_invitation_shown_in_part_leaves_the_row_in_doubt(
    example: dict[str, Any], kept_back: dict[str, Any]
) -> None:
    listed, content = shown(made(example), SENT)
    finding = look(doubtful(made(example), SENT), [(listed, replace(content, **kept_back))])
    assert finding == Unclear(NOT_COMPARABLE, (listed.invitation_id,))


@BOTH
def test_members_added_by_the_service_are_ignored(example: dict[str, Any]) -> None:
    row, arrived = doubtful(made(example), SENT), shown(made(example), SENT)
    for place in places(example["Invitation"]["Payload"]):
        if isinstance(at(example["Invitation"]["Payload"], place), dict):
            assert isinstance(look(row, [shown_again(arrived, f"{place}.Added", "x")]), Found), place


def test_a_list_with_an_element_more_or_less_differs() -> None:
    place = "OpportunityInvitation.ReceiverResponsibilities"
    row, arrived = doubtful(made(OPPORTUNITY), SENT), shown(made(OPPORTUNITY), SENT)
    for value in ([], ["Services Partner", "Reseller"]):
        assert isinstance(look(row, [shown_again(arrived, place, value)]), Absent)


AMOUNT = "OpportunityInvitation.Project.ExpectedCustomerSpend.0.Amount"


@pytest.mark.parametrize("amount", ["12500", "12500.0", "12500.000", 12500, 12500.0])
def test_a_number_written_in_another_way_is_equal(amount: object) -> None:
    row, arrived = doubtful(made(OPPORTUNITY), SENT), shown(made(OPPORTUNITY), SENT)
    assert isinstance(look(row, [shown_again(arrived, AMOUNT, amount)]), Found)


@pytest.mark.parametrize("amount", ["12500.01", "-12500.00", "1250000", "12,500.00", True, None])
def test_another_number_differs(amount: object) -> None:
    row, arrived = doubtful(made(OPPORTUNITY), SENT), shown(made(OPPORTUNITY), SENT)
    assert not isinstance(look(row, [shown_again(arrived, AMOUNT, amount)]), Found)


def test_leading_zeros_make_a_text_different() -> None:
    place = "LeadInvitation.Interaction.SourceId"
    row = doubtful(made(LEAD, f"Invitation.Payload.{place}", "0042"), SENT)
    arrived = shown(made(LEAD, f"Invitation.Payload.{place}", "42"), SENT)
    assert isinstance(look(row, [arrived]), Absent)


@settings(deadline=None)
@given(st.lists(st.sampled_from([" ", "\n", "\t", "  ", "\r\n"]), min_size=7, max_size=7))
def test_white_space_changed_by_the_service_is_ignored(spaces: list[str]) -> None:
    listed, content = shown(made(OPPORTUNITY), SENT)
    words = content.message.split()
    text = "".join(word + space for word, space in zip(words, [*spaces, *[" "] * len(words)], strict=False))
    finding = look(doubtful(made(OPPORTUNITY), SENT), [(listed, replace(content, message=f" {text}"))])
    assert isinstance(finding, Found)
    joined = replace(content, message=content.message.replace(" ", "", 1))
    assert isinstance(look(doubtful(made(OPPORTUNITY), SENT), [(listed, joined)]), Absent)


def test_the_alias_of_the_receiver_is_ignored() -> None:
    listed, content = shown(made(LEAD), SENT)
    for alias in ({}, {"Alias": "Somebody Else"}):
        receiver = {"Account": {"AwsAccountId": "123456789012", **alias}}
        assert isinstance(
            look(doubtful(made(LEAD), SENT), [(listed, replace(content, receiver=receiver))]), Found
        )
