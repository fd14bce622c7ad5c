"""The finding that follows from a list: found, absent, too early, or unclear rather than a guess."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rows import make_row

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
    DATED_BEFORE,
    NOT_COMPARABLE,
    SEVERAL_INVITATIONS,
    SEVERAL_ROWS,
    Similarity,
    Times,
    candidates,
    conclude,
    similarity,
)
from bulk_invite.domain.rows import Invitation, Position, Row
from bulk_invite.rehearsal.emulator.list_and_get import _as_stored
from bulk_invite.validation import RowValidator
from bulk_invite.validation.service_model import load

NOW = 1_800_000_000.0
SETTLING = 60.0
VALIDATOR = RowValidator(load(), catalog="Sandbox", campaign="", today=date(2026, 1, 1))
KINDS = pytest.mark.parametrize("number", [0, 1], ids=["opportunity", "lead"])


def doubtful(number: int, *, token: str = "", body: bool = True, since: float = NOW - 600) -> DoubtfulRow:
    """A valid row, sent once."""
    members = {"ClientToken": token} if token else {}
    row = Row(Position("rows", 1), json.dumps(make_row(number, **members)).encode())
    valid = VALIDATOR.validate(row)
    assert isinstance(valid, Invitation)
    return DoubtfulRow(
        valid.client_token,
        valid.body_hash,
        valid.engagement,
        valid.payload_type,
        since,
        since,
        body=valid.body if body else None,
    )


def request(number: int) -> Any:
    return json.loads(json.dumps(make_row(number)))["Invitation"]


def shown(number: int, **changes: Any) -> Content:
    """The row's invitation as the service shows it."""
    invitation = request(number)
    usual = {
        "message": invitation["Message"],
        "receiver": invitation["Receiver"],
        "payload": _as_stored(invitation["Payload"]),
    }
    return Content(**{**usual, **changes})


def listed(row: DoubtfulRow, number: int, *, invitation_id: str = "engi-1", **changes: Any) -> Listed:
    usual = {
        "arn": "arn:1",
        "engagement": row.engagement,
        "payload_type": row.payload_type,
        "receiver": request(number)["Receiver"]["Account"]["AwsAccountId"],
        "invited_at": row.doubt_since + 1,
    }
    return Listed(invitation_id, **{**usual, **changes})


def found(
    row: DoubtfulRow,
    *pairs: tuple[Listed, Content],
    rivals: tuple[DoubtfulRow, ...] = (),
    ahead: float = 0.0,
) -> Finding:
    compared = [(each, content, similarity(row, content)) for each, content in pairs]
    return conclude(
        row, compared, [row, *rivals], listed=len(pairs), times=Times(NOW, ahead), settling_time=SETTLING
    )


@KINDS
@pytest.mark.parametrize("body", [True, False], ids=["at hand", "by its hash"])
def test_exactly_one_equal_invitation_is_the_row(number: int, *, body: bool) -> None:
    row = doubtful(number, body=body)
    invitation = listed(row, number)
    stored = shown(number, payload=request(number)["Payload"])
    assert found(row, (invitation, stored)) == Found(invitation, 1)


@KINDS
@pytest.mark.parametrize(
    ("earlier", "ahead", "is_found"),
    [(-1.0, 0.0, True), (1.9, 0.0, True), (17.0, 0.0, False), (17.0, 20.0, True), (299.0, 0.0, False)],
)
def test_an_invitation_from_before_the_first_attempt_is_not_taken_for_the_row(
    number: int, earlier: float, ahead: float, *, is_found: bool
) -> None:
    row = doubtful(number)
    invitation = listed(row, number, invited_at=row.doubt_since - earlier)
    finding = found(row, (invitation, shown(number)), ahead=ahead)
    assert finding == (Found(invitation, 1) if is_found else Unclear(DATED_BEFORE, ("engi-1",)))


@KINDS
def test_a_slow_clock_hides_no_invitation(number: int) -> None:
    row = doubtful(number)
    invitation = listed(row, number)
    assert candidates(row, [invitation], set(), Times(NOW, -1e6)) == [invitation]
    assert found(row, (invitation, shown(number)), ahead=-1e6) == Found(invitation, 1)


@KINDS
def test_an_invitation_that_equals_another_rows_request_causes_no_doubt(
    number: int,
) -> None:
    row, rival = doubtful(number, body=False), doubtful(number, token="another", body=False)
    row = replace(row, body_hash="0" * 64)
    theirs = (listed(rival, number), shown(number, payload=request(number)["Payload"]))
    assert found(row, theirs) == Unclear(NOT_COMPARABLE, ("engi-1",))
    assert isinstance(found(row, theirs, rivals=(rival,)), Absent | TooEarly)


@KINDS
def test_an_earlier_invitation_does_not_hide_a_later_one(number: int) -> None:
    row = doubtful(number)
    before = listed(row, number, invitation_id="engi-0", invited_at=row.doubt_since - 17)
    after = listed(row, number)
    assert found(row, (before, shown(number)), (after, shown(number))) == Found(after, 2)


@KINDS
def test_changes_made_by_the_service_do_not_hide_the_row(number: int) -> None:
    row = doubtful(number)
    text = json.dumps(shown(number).payload)
    more = {**json.loads(text), "SomethingNew": {"x": 1}}
    assert similarity(row, shown(number, payload=more)) is Similarity.SAME
    spaced = shown(number).message.replace(" ", "  ") + "\n"
    assert similarity(row, shown(number, message=spaced)) is Similarity.SAME
    account = {"Account": {**shown(number).receiver["Account"], "Alias": "another name"}}
    assert similarity(row, shown(number, receiver=account)) is Similarity.SAME


@KINDS
def test_another_message_payload_or_receiver_makes_another_invitation(number: int) -> None:
    row = doubtful(number)
    assert similarity(row, shown(number, message="Another message")) is Similarity.OTHER
    other = {"Account": {"AwsAccountId": "999988887777"}}
    assert similarity(row, shown(number, receiver=other)) is Similarity.OTHER
    assert similarity(row, shown(number, payload=request(number + 1)["Payload"])) is not Similarity.SAME
    (kind,) = request(number)["Payload"]
    changed = request(number)["Payload"]
    changed[kind]["Customer"] = {**changed[kind]["Customer"], "CompanyName": "Example Rivals"}
    if kind == "LeadInvitation":
        assert similarity(row, shown(number, payload=changed)) is Similarity.OTHER


@KINDS
def test_a_member_that_the_service_withholds_is_neither_equal_nor_different(number: int) -> None:
    row = doubtful(number)
    (kind,) = request(number)["Payload"]
    part = request(number)["Payload"]
    part[kind].pop(next(iter(part[kind])))
    assert found(row, (listed(row, number), shown(number, payload=part))) == Unclear(
        NOT_COMPARABLE, ("engi-1",)
    )
    assert found(row, (listed(row, number), shown(number, message=""))) == Unclear(
        NOT_COMPARABLE, ("engi-1",)
    )


def test_a_row_without_its_request_is_only_known_by_its_hash() -> None:
    row = doubtful(0, body=False)
    finding = found(row, (listed(row, 0), shown(0, message="Another message")))
    assert finding == Unclear(NOT_COMPARABLE, ("engi-1",))


def test_two_equal_invitations_are_never_told_apart_by_a_guess() -> None:
    row = doubtful(0)
    pairs = [(listed(row, 0, invitation_id=name), shown(0)) for name in ("engi-1", "engi-2")]
    assert found(row, *pairs) == Unclear(SEVERAL_INVITATIONS, ("engi-1", "engi-2"))


@pytest.mark.parametrize("body", [True, False])
@pytest.mark.parametrize("rival_body", [True, False])
def test_one_invitation_for_two_rows_belongs_to_neither(*, body: bool, rival_body: bool) -> None:
    row, rival = doubtful(1, body=body), doubtful(1, token="a-token-of-its-own", body=rival_body)
    finding = found(row, (listed(row, 1), shown(1)), rivals=(rival,))
    assert finding == Unclear(SEVERAL_ROWS, ("engi-1",), (rival.client_token,))


def test_a_row_with_another_request_is_no_rival() -> None:
    row = doubtful(1)
    rival = doubtful(3, token="another", body=False)
    invitation = listed(row, 1)
    assert found(row, (invitation, shown(1)), rivals=(rival,)) == Found(invitation, 1)


@settings(deadline=None)
@given(st.floats(-10_000, 10_000))
def test_absence_counts_only_after_the_settling_time(ago: float) -> None:
    row = doubtful(0, since=NOW - ago)
    finding = found(row)
    if ago >= SETTLING:
        assert finding == Absent(0, NOW - row.last_sent)
    else:
        assert isinstance(finding, TooEarly)
        assert 0 < finding.seconds <= SETTLING


@KINDS
def test_the_members_in_a_list_decide_which_invitations_are_candidates(number: int) -> None:
    row = doubtful(number)
    fits = [
        listed(row, number),
        listed(row, number, payload_type=""),
        listed(row, number, receiver=""),
        listed(row, number, invited_at=None),
        listed(row, number, invited_at=row.doubt_since - CLOCK_SKEW),
        listed(row, number, invited_at=NOW + 1e6),
    ]
    others = [
        listed(row, number, invitation_id="engi-taken"),
        listed(row, number, payload_type="AnotherInvitation"),
        listed(row, number, receiver="999988887777"),
        listed(row, number, engagement="eng-another0000000"),
        listed(row, number, invited_at=row.doubt_since - CLOCK_SKEW - 1),
    ]
    assert candidates(row, [*fits, *others], {"engi-taken"}, Times(NOW)) == fits


def test_an_engagement_arn_matches_the_id_in_a_list() -> None:
    row = doubtful(0)
    by_arn = replace(row, engagement=f"arn:aws:partnercentral:::catalog/Sandbox/engagement/{row.engagement}")
    assert candidates(by_arn, [listed(row, 0)], set(), Times(NOW)) == [listed(row, 0)]


def test_a_row_sent_by_a_fast_clock_is_compared_with_every_invitation() -> None:
    row = doubtful(0, since=NOW + 2 * CLOCK_SKEW)
    invitation = listed(row, 0, invited_at=NOW - 1e6)
    assert candidates(row, [invitation], set(), Times(NOW)) == [invitation]
    assert candidates(doubtful(0, since=NOW), [invitation], set(), Times(NOW)) == []


@pytest.mark.parametrize(("ahead", "is_candidate"), [(9e3, False), (1e4, True), (1e6, True), (-1e6, False)])
def test_a_clock_ahead_of_the_service_now_may_have_been_ahead_at_the_first_attempt(
    ahead: float, *, is_candidate: bool
) -> None:
    row = doubtful(0, since=NOW - 1)
    invitation = listed(row, 0, invited_at=NOW - 1 - 1e4 - CLOCK_SKEW)
    assert bool(candidates(row, [invitation], set(), Times(NOW, ahead))) == is_candidate
