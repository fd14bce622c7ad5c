from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulk_invite.domain.denials import PermissionGuard
from bulk_invite.domain.findings import MAY_BE_MISSING, Absent, DoubtfulRow, Finding, TooEarly, Unclear
from bulk_invite.domain.outcomes import Outcome
from bulk_invite.domain.rows import RowError
from bulk_invite.domain.transitions import Transition, after_answer, after_look_up
from bulk_invite.domain.verdicts import (
    Conflict,
    Created,
    Denied,
    Doubtful,
    EngagementFull,
    Refused,
    SenderRefused,
    State,
    Throttled,
    Unknown,
    Unreachable,
    Verdict,
    Withheld,
)

_CREATED = Created("engi-1", "arn:1")
_DENIED = Denied("AccessDeniedException", whole_account=False)

_EVERY: list[Verdict] = [
    _CREATED,
    Throttled("ThrottlingException", None),
    EngagementFull("ServiceQuotaExceededException"),
    Doubtful("500"),
    Unreachable("ClientConnectorError"),
    Withheld("TokenTooOld"),
    Conflict("ConflictException"),
    Refused("ValidationException", (RowError("$.A", "X", ""),)),
    _DENIED,
    Denied("AccessDeniedException", whole_account=True),
    SenderRefused("ExpiredToken"),
    Unknown("418"),
]
_VERDICTS = st.sampled_from(_EVERY)


@dataclass(frozen=True)
class _Attempt:
    """One attempt in a row's life, over any number of runs."""

    verdict: Verdict
    doubt_since: float | None
    sent_at: float
    transition: Transition


@st.composite
def _lives(draw: st.DrawFn) -> list[_Attempt]:
    guard = PermissionGuard(proven=draw(st.booleans()))
    doubt_since: float | None = None
    steps = []
    for attempt, verdict in enumerate(draw(st.lists(_VERDICTS, max_size=12))):
        sent_at = 1000.0 + attempt
        judged = guard.judge(verdict, f"eng-{attempt}", sent_at)
        transition = after_answer(judged, doubt_since=doubt_since, sent_at=sent_at)
        steps.append(_Attempt(verdict, doubt_since, sent_at, transition))
        doubt_since = transition.doubt_since
        if transition.state in {State.CREATED, State.FAILED}:
            break
    return steps


@given(_lives())
def test_only_an_id_ends_doubt(life: list[_Attempt]) -> None:
    for step in life:
        if step.doubt_since is not None and step.transition.doubt_since is None:
            assert isinstance(step.verdict, Created)
        if step.doubt_since is not None and isinstance(step.verdict, Conflict | EngagementFull | Refused):
            assert step.transition.state is State.IN_DOUBT


@pytest.mark.parametrize("verdict", _EVERY, ids=lambda verdict: type(verdict).__name__)
def test_after_doubt_any_answer_without_an_id_keeps_the_doubt_and_its_date(
    verdict: Verdict,
) -> None:
    transition = after_answer(verdict, doubt_since=900.0, sent_at=1000.0)
    created = isinstance(verdict, Created)
    assert transition.state is (State.CREATED if created else State.IN_DOUBT)
    assert transition.doubt_since == (None if created else 900.0)


@given(_lives())
def test_doubt_dates_from_its_first_attempt(life: list[_Attempt]) -> None:
    for step in life:
        if step.transition.doubt_since is not None:
            expected = step.sent_at if step.doubt_since is None else step.doubt_since
            assert step.transition.doubt_since == expected


@given(_lives())
def test_state_and_doubt_agree(life: list[_Attempt]) -> None:
    for step in life:
        state, since = step.transition.state, step.transition.doubt_since
        assert (state is State.IN_DOUBT) == (since is not None)


@given(_lives())
def test_a_row_is_created_exactly_if_it_has_an_id(life: list[_Attempt]) -> None:
    for step in life:
        created = step.transition.state is State.CREATED
        assert created == isinstance(step.verdict, Created) == bool(step.transition.invitation_id)


@given(_lives())
def test_only_refusals_of_the_row_fail_it(life: list[_Attempt]) -> None:
    for step in life:
        if step.transition.state is State.FAILED:
            assert isinstance(step.verdict, Refused | Conflict | Denied)


@given(_lives())
def test_a_throttle_a_dead_endpoint_or_a_withheld_call_changes_nothing(
    life: list[_Attempt],
) -> None:
    for step in life:
        if isinstance(step.verdict, Throttled | Unreachable | Withheld):
            assert step.transition.doubt_since == step.doubt_since
            assert step.transition.state in {State.PENDING, State.IN_DOUBT}


@pytest.mark.parametrize("verdict", [Unreachable("X"), Withheld("X"), SenderRefused("ExpiredToken")])
def test_a_fault_of_the_sender_or_service_does_not_count_against_the_row(verdict: Verdict) -> None:
    assert not after_answer(verdict, doubt_since=None, sent_at=1).counted


@pytest.mark.parametrize(
    ("verdict", "outcome"),
    [(Doubtful("500"), Outcome.DOUBTFUL), (Unknown("Unfamiliar.418"), Outcome.UNKNOWN)],
)
def test_doubt_is_dated_from_the_attempt(verdict: Doubtful | Unknown, outcome: Outcome) -> None:
    transition = after_answer(verdict, doubt_since=None, sent_at=7)
    assert transition == Transition(State.IN_DOUBT, outcome, verdict.code, 7)


def test_a_fault_that_concerns_every_row_stops_the_run() -> None:
    assert after_answer(SenderRefused("ExpiredToken"), doubt_since=None, sent_at=1).stops_run


@pytest.mark.parametrize("finding", [TooEarly(0, 1.0), Unclear("LookUpDenied"), Absent(0, 61.0)])
def test_a_row_keeps_its_refusal_whatever_a_look_up_finds(finding: Finding) -> None:
    errors = (RowError("$.A", "X", ""),)
    row = DoubtfulRow("t", "h", "eng-1", "LeadInvitation", 1.0, 2.0, "ValidationException", errors)
    resolved = after_look_up(finding, row)
    assert (resolved.code, resolved.errors) == ("ValidationException", errors)


@pytest.mark.parametrize("finding", [TooEarly(0, 1.0), Unclear("LookUpDenied")])
def test_a_row_whose_call_may_have_left_stays_so_until_a_look_up(finding: Finding) -> None:
    row = DoubtfulRow("t", "h", "eng-1", "LeadInvitation", 1.0, 2.0, MAY_BE_MISSING)
    resolved = after_look_up(finding, row)
    assert (resolved.state, resolved.code, resolved.doubt_since) == (State.IN_DOUBT, MAY_BE_MISSING, 1.0)
    absent = after_look_up(Absent(0, 61.0), row)
    assert (absent.state, absent.doubt_since) == (State.PENDING, None)


def test_full_engagement_defers_the_row() -> None:
    assert after_answer(EngagementFull("Full"), doubt_since=None, sent_at=1).state is State.DEFERRED


def _denied(guard: PermissionGuard, denial: Denied = _DENIED, engagement: str = "eng-1") -> Transition:
    return after_answer(guard.judge(denial, engagement, 1.0), doubt_since=None, sent_at=1)


@pytest.mark.parametrize(
    ("engagements", "held"),
    [([f"eng-{n}" for n in range(30)], 4), (["eng-1"] * 30, 19), (["eng-1", "eng-2"] * 15, 19)],
)
def test_the_first_denials_are_held_and_then_the_run_stops(engagements: list[str], held: int) -> None:
    guard = PermissionGuard(proven=False)
    transitions = [_denied(guard, engagement=engagement) for engagement in engagements]
    assert [each.stops_run for each in transitions[: held + 1]] == [False] * held + [True]
    assert {each.state for each in transitions} == {State.PENDING}


@pytest.mark.parametrize(
    "verdict", [_CREATED, Refused("ValidationException"), Conflict("C"), EngagementFull("Q")]
)
def test_an_answer_about_a_row_proves_the_sender_and_denials_fail_their_rows(verdict: Verdict) -> None:
    guard = PermissionGuard(proven=False)
    assert not _denied(guard).stops_run
    assert guard.blames_sender(5)
    assert guard.judge(verdict, "eng-2", 2.0) == verdict
    assert guard.proven_until == 2.0
    assert not guard.blames_sender(5)


@pytest.mark.parametrize(
    ("engagements", "held"), [([f"eng-{n}" for n in range(90)], 19), (["eng-1"] * 90, 79)]
)
def test_a_lost_permission_stops_a_proven_sender_too(engagements: list[str], held: int) -> None:
    guard = PermissionGuard(proven=True)
    transitions = [_denied(guard, engagement=engagement) for engagement in engagements]
    assert [each.stops_run for each in transitions[: held + 1]] == [False] * held + [True]
    assert {each.state for each in transitions} == {State.PENDING}


@pytest.mark.parametrize("verdict", [Throttled("T", None), Doubtful("500"), Unreachable("X")])
def test_other_answers_prove_nothing(verdict: Verdict) -> None:
    guard = PermissionGuard(proven=False)
    assert guard.judge(verdict, "eng-2", 2.0) == verdict
    assert guard.blames_sender(5)


def test_a_denial_of_the_whole_account_stops_even_a_proven_sender_and_fails_no_row() -> None:
    denied = _denied(PermissionGuard(proven=True), Denied("AccessDeniedException", whole_account=True))
    assert (denied.state, denied.stops_run) == (State.PENDING, True)
