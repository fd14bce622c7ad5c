"""Which engagements are full, and what speaks for the whole account."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulk_invite.delivery.sending.full_engagements import FullEngagements

_NAMES = st.sampled_from([f"eng-{number}" for number in range(8)])


def _refused(*names: str, expected: bool = False) -> FullEngagements:
    engagements = FullEngagements()
    for name in names:
        engagements.note_refused(name, expected=expected)
    return engagements


def test_an_engagement_is_full_once_a_call_for_it_was_refused() -> None:
    engagements = _refused("eng-1")
    assert engagements.is_full("eng-1")
    assert not engagements.is_full("eng-2")
    assert not engagements.is_account_full


def test_five_new_engagements_in_a_row_suggest_a_full_account() -> None:
    engagements = _refused("eng-1", "eng-2", "eng-3", "eng-4")
    assert not engagements.is_account_full
    engagements.note_refused("eng-5", expected=False)
    assert engagements.is_account_full


def test_one_engagement_refused_repeatedly_does_not_suggest_a_full_account() -> None:
    assert not _refused(*["eng-1"] * 100).is_account_full


def test_engagements_with_invitations_do_not_suggest_a_full_account() -> None:
    engagements = FullEngagements()
    names = [f"eng-{number}" for number in range(50)]
    for name in names:
        engagements.note_created(name)
    for name in names * 3:
        engagements.note_refused(name, expected=False)
        assert not engagements.is_account_full


def test_engagements_with_invitations_of_an_earlier_run_do_not_suggest_it() -> None:
    engagements = FullEngagements()
    for number in range(50):
        engagements.note_invitations(f"eng-{number}")
        engagements.note_refused(f"eng-{number}", expected=False)
    assert not engagements.is_account_full


def test_engagements_that_were_full_in_an_earlier_run_do_not_suggest_it() -> None:
    engagements = _refused(*(f"eng-{number}" for number in range(50)), expected=True)
    assert not engagements.is_account_full
    assert engagements.is_full("eng-49")


def test_engagements_with_invitations_do_not_reset_the_count_of_new_ones() -> None:
    engagements = FullEngagements()
    engagements.note_created("old")
    for number in range(5):
        engagements.note_refused("old", expected=False)
        engagements.note_refused(f"eng-{number}", expected=False)
    assert engagements.is_account_full


def test_earlier_invitations_say_nothing_about_the_account_today() -> None:
    engagements = _refused("eng-1", "eng-2", "eng-3", "eng-4", "eng-5")
    engagements.note_invitations("eng-6")
    assert engagements.is_account_full


def test_an_invitation_shows_that_the_account_is_not_full() -> None:
    engagements = _refused("eng-1", "eng-2", "eng-3", "eng-4")
    engagements.note_created("eng-0")
    found = list[bool]()
    for number in range(5, 10):
        engagements.note_refused(f"eng-{number}", expected=False)
        found.append(engagements.is_account_full)
    engagements.note_created("eng-0")
    assert [*found, engagements.is_account_full] == [False, False, False, False, True, False]


@given(events=st.lists(st.tuples(st.sampled_from(["refused", "invited", "before"]), _NAMES)))
def test_the_account_is_full_only_after_five_new_engagements_since_the_last_invitation(
    events: list[tuple[str, str]],
) -> None:
    engagements, known, strangers = FullEngagements(), set[str](), set[str]()
    for event, name in events:
        match event:
            case "refused":
                engagements.note_refused(name, expected=False)
                strangers |= {name} - known
            case "invited":
                engagements.note_created(name)
                known.add(name)
                strangers.clear()
            case _:
                engagements.note_invitations(name)
                known.add(name)
        assert engagements.is_account_full == (len(strangers) >= 5)


def test_full_engagements_are_tried_again_later() -> None:
    engagements = _refused("eng-1")
    engagements.forget_full()
    assert not engagements.is_full("eng-1")


@pytest.mark.parametrize("name", ["eng-1", "never seen"])
def test_after_giving_up_every_engagement_counts_as_full(name: str) -> None:
    engagements = _refused("eng-1")
    engagements.mark_all_full()
    engagements.forget_full()
    assert engagements.is_full(name)


def test_only_the_latest_engagements_are_remembered_up_to_a_limit() -> None:
    engagements = FullEngagements()
    for number in range(20_000):
        engagements.note_refused(f"eng-{number}", expected=True)
    assert engagements.is_full("eng-19999")
    assert not engagements.is_full("eng-0")
