"""Which engagements are full, and what shows that it is the whole account."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulk_invite.domain.engagement_retries import EngagementRetries
from bulk_invite.domain.full_engagements import FullEngagements

_SUSPICIOUS, _PATIENCE = 5, 200
_NAMES = st.sampled_from([f"eng-{number}" for number in range(12)])


def _names(count: int, kind: str = "eng") -> list[str]:
    return [f"{kind}-{number}" for number in range(count)]


def _refuse(engagements: FullEngagements, names: Iterable[str], *, was_full: bool = False) -> FullEngagements:
    for name in names:
        engagements.note_full(name)
        engagements.note_refused(name, was_full=was_full)
    return engagements


def _refused(count: int) -> FullEngagements:
    return _refuse(FullEngagements(), _names(count))


def _each_with(note: Callable[[FullEngagements, str], None]) -> FullEngagements:
    """Many engagements, refused after something was noted of each."""
    engagements = FullEngagements()
    for name in _names(300):
        note(engagements, name)
        _refuse(engagements, [name])
    return engagements


def test_an_engagement_is_full_once_a_call_for_it_was_refused() -> None:
    engagements = _refused(1)
    assert engagements.is_full("eng-0")
    assert not engagements.is_full("eng-1")


@pytest.mark.parametrize(
    ("refused", "is_suspected", "is_full"),
    [(4, False, False), (5, True, False), (120, True, False), (199, True, False), (200, True, True)],
)
def test_only_many_fresh_engagements_refused_in_succession_mean_a_full_account(
    *, refused: int, is_suspected: bool, is_full: bool
) -> None:
    engagements = _refused(refused)
    assert engagements.is_account_suspected == is_suspected
    assert engagements.is_account_full == is_full
    assert engagements.may_show_room("fresh", was_full=False) != is_full


@pytest.mark.parametrize(
    "engagements",
    [
        _refuse(FullEngagements(), ["eng-0"] * 300),
        _each_with(FullEngagements.note_created),
        _each_with(FullEngagements.note_invitation),
        _each_with(lambda engagements, name: engagements.count_invitations(name, 1)),
        _refuse(FullEngagements(), _names(300), was_full=True),
    ],
    ids=["one engagement", "created now", "created by earlier runs", "in the checkpoint", "was full before"],
)
def test_engagements_that_are_full_by_themselves_say_nothing_about_the_account(
    engagements: FullEngagements,
) -> None:
    assert not engagements.is_account_suspected


def test_engagements_refused_while_others_got_invitations_are_full_by_themselves() -> None:
    engagements = _refused(199)
    engagements.note_created("other")
    _refuse(engagements, _names(199))
    assert not engagements.is_account_suspected


def test_an_invitation_shows_that_the_account_has_room() -> None:
    engagements = _refused(300)
    engagements.note_created("eng-0")
    assert (engagements.is_account_suspected, engagements.is_account_full) == (False, False)


def test_after_a_park_few_refusals_suffice_until_invitations_have_been_made() -> None:
    engagements = _refused(200)
    allowed = []
    for number in range(8):
        engagements.note_created("other")
        fresh = (f"after-{number}-{each}" for each in range(1000))
        allowed.append(next(n for n, name in enumerate(fresh, 1) if _is_full_after(engagements, name)))
        for _ in range(number):
            engagements.note_created("other")
    # The first one follows one invitation; each further one, one invitation more than the one before.
    assert allowed == [10, 10, 20, 40, 80, 160, 200, 200]


def _is_full_after(engagements: FullEngagements, name: str) -> bool:
    return _refuse(engagements, [name]).is_account_full


@pytest.mark.parametrize(
    ("was_full", "invitations", "is_called"),
    [(False, 0, True), (False, 8, True), (False, 9, False), (True, 0, False)],
)
def test_a_suspected_account_is_asked_only_for_fresh_engagements(
    *, was_full: bool, invitations: int, is_called: bool
) -> None:
    engagements = _refused(4)
    engagements.count_invitations("this", invitations)
    assert not engagements.is_full("this", was_full=was_full), "not suspected yet"
    _refuse(engagements, ["eng-5"])
    assert engagements.is_full("this", was_full=was_full) != is_called
    assert engagements.may_show_room("this", was_full=was_full) == is_called


def test_a_run_that_begins_parked_counts_what_an_earlier_one_found_full() -> None:
    engagements = FullEngagements(parked=True)
    assert engagements.is_account_suspected
    assert engagements.may_show_room("fresh", was_full=False), "which may be new in the source"
    for name in _names(200):
        engagements.note_deferred(name)
    assert engagements.is_account_full
    engagements.note_created("fresh")
    for name in _names(400):
        engagements.note_deferred(name)
    assert not engagements.is_account_suspected, "these are full by themselves, or were not asked"


@pytest.mark.parametrize(
    ("refused", "created", "waits"),
    [(4, False, False), (5, False, True), (199, True, False), (200, True, True)],
)
def test_a_run_waits_for_room_if_every_engagement_was_refused(
    *, refused: int, created: bool, waits: bool
) -> None:
    engagements = FullEngagements()
    if created:
        engagements.note_created("other")
    _refuse(engagements, _names(refused))
    assert engagements.begin_probing() == waits
    assert not engagements.is_full("eng-0"), "it is asked again"


def test_the_last_round_asks_a_suspected_account_once() -> None:
    engagements = _refused(5)
    engagements.begin_last_round()
    assert not engagements.is_full("eng-0")
    _refuse(engagements, ["eng-0"])
    assert all(map(engagements.is_full, [*_names(5), "never seen"]))
    engagements.begin_round()
    assert not engagements.is_full("eng-0")
    assert engagements.is_full("eng-0", was_full=True), "the account is still suspected"


def test_the_last_round_asks_for_every_engagement_that_is_full_by_itself() -> None:
    engagements = _refused(20)
    engagements.note_created("other")
    engagements.begin_last_round()
    for name in _names(20):
        assert not engagements.is_full(name)
        _refuse(engagements, [name])


@pytest.mark.parametrize(("has_parked", "asked"), [(False, 200), (True, 10)])
def test_the_last_round_ends_when_many_engagements_are_refused_again(*, has_parked: bool, asked: int) -> None:
    engagements = _refused(300 if has_parked else 199)
    engagements.note_created("other")
    _refuse(engagements, _names(100, "more"), was_full=True)
    engagements.begin_last_round()
    names = _names(300)
    assert next(n for n, name in enumerate(names, 1) if _gives_up_after(engagements, name)) == asked


def _gives_up_after(engagements: FullEngagements, name: str) -> bool:
    return _refuse(engagements, [name], was_full=True).is_full("never seen")


@given(
    events=st.lists(st.tuples(st.sampled_from(["refused", "was full", "created", "earlier"]), _NAMES)),
    parked=st.booleans(),
)
def test_no_fresh_engagement_waits_before_the_account_counts_as_full(
    events: list[tuple[str, str]], *, parked: bool
) -> None:
    """Whatever was answered before: fewer than 200 engagements never keep a fresh one from being asked."""
    engagements, silent, streak = FullEngagements(parked=parked), set[str](), set[str]()
    for event, name in events:
        match event:
            case "refused":
                _refuse(engagements, [name])
                streak |= {name} - silent
            case "was full":
                _refuse(engagements, [name], was_full=True)
            case "created":
                engagements.note_created(name)
                silent |= {name, *streak}
                streak.clear()
                parked = False
            case _:
                engagements.note_invitation(name)
                silent.add(name)
        assert engagements.is_account_suspected == (parked or len(streak) >= _SUSPICIOUS)
        assert not engagements.is_account_full
        assert engagements.may_show_room("fresh", was_full=False)
        assert not engagements.is_full("fresh")


def test_only_the_latest_engagements_are_remembered_up_to_a_limit() -> None:
    engagements = _refuse(FullEngagements(), _names(20_000), was_full=True)
    assert engagements.is_full("eng-19999")
    assert not engagements.is_full("eng-0")


def test_an_invitation_that_was_in_flight_does_not_end_the_wait_of_an_engagement() -> None:
    now = 0.0
    engagements = FullEngagements(retries=EngagementRetries(300.0, lambda: now))
    retries = engagements.retries
    assert retries is not None
    _refuse(engagements, ["eng-0"])
    engagements.note_created("eng-0")
    assert (engagements.is_full("eng-0"), retries.next_due()) == (True, 300.0)
    now = 300.0
    assert retries.take(["eng-0"], 1) == ["eng-0"]
    engagements.begin_last_round()
    assert not engagements.is_full("eng-0")
    engagements.note_created("eng-0")
    assert retries.next_due() is None


def test_an_engagement_whose_rows_are_gone_from_the_source_is_forgotten() -> None:
    """Else a service would begin a round for it at every interval, and log it as waiting."""
    now = 0.0
    engagements = FullEngagements(retries=EngagementRetries(300.0, lambda: now))
    retries = engagements.retries
    assert retries is not None
    engagements.begin_round()
    _refuse(engagements, ["full", "gone"])
    engagements.begin_round()
    assert retries.engagements == 2, "the rows are still to be read again"
    engagements.note_full_before("full")
    now = 300.0
    assert retries.take(["full"], 1) == ["full"]
    engagements.begin_last_round()
    _refuse(engagements, ["full"])
    engagements.begin_round()
    assert (retries.engagements, retries.next_due()) == (1, 900.0)


def test_a_run_after_the_rounds_of_a_service_is_as_any_run() -> None:
    """When every source of a service has ended, its rows get their last chance without a wait."""
    engagements = FullEngagements(retries=EngagementRetries(300.0, lambda: 0.0))
    _refuse(engagements, ["eng-0"])
    engagements.begin_probing()
    engagements.begin_last_round()
    assert not engagements.is_full("eng-0")
