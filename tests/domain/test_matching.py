"""Which invitation is which row: real rows, and what the emulator shows of them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from row_checks import LEAD, OPPORTUNITY, accepted
from rows import make_row
from shown import BOTH, LATER, SENT, SETTLING, doubtful, look, made, shown

from bulk_invite.domain.findings import (
    Absent,
    Content,
    DoubtfulRow,
    Finding,
    Found,
    Listed,
    TooEarly,
    Unclear,
)
from bulk_invite.domain.matching import (
    CLOCK_SKEW,
    NOT_COMPARABLE,
    SEVERAL_INVITATIONS,
    SEVERAL_ROWS,
    Similarity,
    similarity,
)
from bulk_invite.domain.tokens import body_hash, canonical_json


def numbered(arrived: tuple[Listed, Content], number: int) -> tuple[Listed, Content]:
    return replace(arrived[0], invitation_id=f"engi-{number}"), arrived[1]


def bare(row: DoubtfulRow) -> DoubtfulRow:
    """The row as the checkpoint knows it."""
    return replace(row, body=None)


@BOTH
def test_a_row_is_found_if_exactly_one_invitation_matches_its_request(example: dict[str, Any]) -> None:
    invitation = made(example)
    listed, content = shown(invitation, SENT + 1)
    assert look(doubtful(invitation, SENT), [(listed, content)]) == Found(listed, 1)


@BOTH
def test_a_row_without_a_matching_invitation_is_absent(example: dict[str, Any]) -> None:
    assert look(doubtful(made(example), SENT), []) == Absent(0, 3600.0)


OTHERS = {
    "message": "Invitation.Message",
    "receiver": "Invitation.Receiver.Account.AwsAccountId",
    "engagement": "EngagementIdentifier",
}
OTHER_VALUES = {"message": "Another one.", "receiver": "999988887777", "engagement": "eng-zzzzzzzzzzzzzz"}


@BOTH
@pytest.mark.parametrize("what", OTHERS)
def test_an_invitation_that_differs_is_not_the_row(example: dict[str, Any], what: str) -> None:
    other = shown(made(example, OTHERS[what], OTHER_VALUES[what]), SENT)
    assert look(doubtful(made(example), SENT), [other]) == Absent(1, 3600.0)


def test_an_invitation_with_the_other_payload_type_is_not_the_row() -> None:
    opportunity, lead = made(OPPORTUNITY), made(LEAD)
    assert look(doubtful(opportunity, SENT), [shown(lead, SENT)]) == Absent(1, 3600.0)
    assert look(doubtful(lead, SENT), [shown(opportunity, SENT)]) == Absent(1, 3600.0)


# Exactly one fits exactly one


@settings(deadline=None)
@given(st.integers(1, 5), st.integers(0, 4), st.integers(0, 4))
def test_a_row_is_found_only_if_one_invitation_fits_one_row(same: int, others: int, rivals: int) -> None:
    invitation = made(OPPORTUNITY)
    row = doubtful(invitation, SENT)
    arrived = [numbered(shown(invitation, SENT), each) for each in range(same)]
    arrived += [
        numbered(shown(made(OPPORTUNITY, "Invitation.Message", f"No. {each}"), SENT), 10 + each)
        for each in range(others)
    ]
    waiting = [doubtful(made(OPPORTUNITY, "ClientToken", f"rival-{each}"), SENT) for each in range(rivals)]
    finding = look(row, arrived, waiting)
    if same > 1:
        assert finding == Unclear(SEVERAL_INVITATIONS, tuple(f"engi-{each}" for each in range(same)))
    elif rivals:
        tokens = tuple(each.client_token for each in waiting)
        assert finding == Unclear(SEVERAL_ROWS, ("engi-0",), tokens)
    else:
        assert finding == Found(arrived[0][0], 1 + others)


@BOTH
def test_a_rival_known_only_by_its_hash_is_still_a_rival(example: dict[str, Any]) -> None:
    row, rival = doubtful(made(example), SENT), bare(doubtful(made(example, "ClientToken", "rival"), SENT))
    arrived = shown(made(example), SENT)
    assert look(row, [arrived], [rival]) == Unclear(SEVERAL_ROWS, (arrived[0].invitation_id,), ("rival",))
    assert look(bare(row), [arrived], [rival]) == look(row, [arrived], [rival])


@BOTH
def test_a_row_in_doubt_with_another_request_is_no_rival(example: dict[str, Any]) -> None:
    others = [
        doubtful(made({**example, "ClientToken": name}, path, OTHER_VALUES[name]), SENT)
        for name, path in OTHERS.items()
        if name != "engagement"
    ]
    arrived = shown(made(example), SENT)
    for rivals in (others, [bare(each) for each in others]):
        assert isinstance(look(doubtful(made(example), SENT), [arrived], rivals), Found)


def test_an_invitation_of_another_row_is_not_this_row() -> None:
    first, second = (numbered(shown(made(LEAD), SENT), each) for each in (1, 2))
    row = doubtful(made(LEAD), SENT)
    assert look(row, [first], taken=["engi-1"]) == Absent(1, 3600.0)
    assert look(row, [first, second], taken=["engi-1"]) == Found(second[0], 2)


def test_each_row_of_a_file_finds_its_own_invitation() -> None:
    invitations = [
        accepted(orjson.dumps(make_row(each, EngagementIdentifier="eng-0123456789abcd"))) for each in range(8)
    ]
    rows = [doubtful(each, SENT) for each in invitations]
    arrived = [numbered(shown(each, SENT), number) for number, each in enumerate(invitations)]
    for number, row in enumerate(rows):
        assert look(row, arrived[::-1], rows) == Found(arrived[number][0], 8)
        assert look(row, arrived[:number] + arrived[number + 1 :], rows) == Absent(7, 3600.0)


# By the hash alone


@BOTH
def test_a_row_without_its_request_is_found_by_its_hash(example: dict[str, Any]) -> None:
    invitation = made(example)
    arrived = shown(invitation, SENT)
    assert look(bare(doubtful(invitation, SENT)), [arrived]) == Found(arrived[0], 1)


@BOTH
def test_without_the_request_an_invitation_with_another_hash_may_still_be_the_row(
    example: dict[str, Any],
) -> None:
    other = shown(made(example, "Invitation.Message", "Another one."), SENT)
    finding = look(bare(doubtful(made(example), SENT)), [other])
    assert finding == Unclear(NOT_COMPARABLE, (other[0].invitation_id,))


def test_a_row_of_the_live_catalog_has_a_hash_too() -> None:
    invitation = made(LEAD)
    live = canonical_json({**orjson.loads(invitation.body), "Catalog": "AWS"})
    row = bare(doubtful(invitation, SENT, body_hash=body_hash(live)))
    assert similarity(row, shown(invitation, SENT)[1]) is Similarity.SAME
    assert similarity(replace(row, client_token="other"), shown(invitation, SENT)[1]) is Similarity.UNSURE


# Time


@pytest.mark.parametrize(
    ("invited_at", "kind"),
    [
        (SENT - CLOCK_SKEW - 0.001, Absent),
        (SENT - CLOCK_SKEW, Unclear),
        (SENT - 3, Unclear),
        (SENT - 1, Found),
        (SENT + 86400, Found),
        (None, Found),
    ],
)
def test_an_invitation_from_before_the_first_attempt_is_not_the_row(
    invited_at: float | None, kind: type[Finding]
) -> None:
    listed, content = shown(made(LEAD), SENT)
    finding = look(doubtful(made(LEAD), SENT), [(replace(listed, invited_at=invited_at), content)])
    assert isinstance(finding, kind)


def test_a_first_attempt_dated_by_a_fast_clock_excludes_nothing() -> None:
    invitation = made(LEAD)
    row = doubtful(invitation, LATER + CLOCK_SKEW + 1)
    arrived = shown(invitation, SENT)
    assert look(row, [arrived]) == Found(arrived[0], 1)


@pytest.mark.parametrize("hidden", [{"payload_type": ""}, {"receiver": ""}])
def test_members_missing_from_the_list_rule_nothing_out(hidden: dict[str, Any]) -> None:
    listed, content = shown(made(LEAD), SENT)
    listed = replace(listed, **hidden)
    assert look(doubtful(made(LEAD), SENT), [(listed, content)]) == Found(listed, 1)


def test_an_invitation_without_its_engagement_leaves_the_row_unclear() -> None:
    invitation = made(LEAD)
    listed, content = shown(invitation, SENT)
    hidden = (replace(listed, engagement="", invitation_id="engi-x"), content)
    assert look(doubtful(invitation, SENT), [hidden]) == Unclear(NOT_COMPARABLE, ("engi-x",))
    finding = look(doubtful(invitation, SENT), [(listed, content), hidden])
    assert finding == Unclear(SEVERAL_INVITATIONS, (listed.invitation_id, "engi-x"))


@settings(deadline=None)
@given(st.floats(-1e7, 1e7))
def test_absence_counts_as_soon_as_the_settling_time_is_over(passed: float) -> None:
    finding = look(doubtful(made(LEAD), SENT - 9, last_sent=SENT), [], now=SENT + passed)
    elapsed = (SENT + passed) - SENT
    if elapsed >= SETTLING:
        assert finding == Absent(0, elapsed)
    else:
        assert isinstance(finding, TooEarly)
        assert 0 < finding.seconds <= SETTLING
        assert finding.seconds == SETTLING or math.isclose(finding.seconds + elapsed, SETTLING, abs_tol=1e-6)


def test_a_candidate_that_cannot_be_compared_is_never_absence() -> None:
    other = shown(made(LEAD, "Invitation.Message", "Another one."), SENT)
    assert isinstance(look(bare(doubtful(made(LEAD), SENT)), [other], now=SENT), Unclear)
