from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulk_invite.domain.denials import PermissionGuard
from bulk_invite.domain.findings import MAY_BE_MISSING, Absent, DoubtfulRow, Finding, TooEarly, Unclear
from bulk_invite.domain.rows import RowError
from bulk_invite.domain.transitions import Disposition, Next, dispose, resolve
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
class _Step:
    """One attempt in a row's life, over any number of runs."""

    verdict: Verdict
    doubt_since: float | None
    sent_at: float
    disposition: Disposition


@st.composite
def _lives(draw: st.DrawFn) -> list[_Step]:
    guard = PermissionGuard(proven=draw(st.booleans()))
    doubt_since: float | None = None
    steps = []
    for attempt, verdict in enumerate(draw(st.lists(_VERDICTS, max_size=12))):
        sent_at = 1000.0 + attempt
        disposition = guard.judge(
            verdict,
            dispose(verdict, doubt_since=doubt_since, sent_at=sent_at, tries_left=draw(st.integers(-1, 3))),
            f"eng-{attempt}",
        )
        steps.append(_Step(verdict, doubt_since, sent_at, disposition))
        doubt_since = disposition.doubt_since
        if disposition.state in {State.CREATED, State.FAILED}:
            break
    return steps


@given(_lives())
def test_only_an_id_takes_doubt_away_and_a_no_is_looked_up(life: list[_Step]) -> None:
    for step in life:
        if step.doubt_since is not None and step.disposition.doubt_since is None:
            assert isinstance(step.verdict, Created)
        if step.doubt_since is not None and isinstance(step.verdict, Conflict | EngagementFull | Refused):
            assert (step.disposition.state, step.disposition.next) == (State.IN_DOUBT, Next.LOOK_UP)


@pytest.mark.parametrize("verdict", _EVERY, ids=lambda verdict: type(verdict).__name__)
def test_after_doubt_whatever_is_answered_but_an_id_leaves_it_with_its_date(
    verdict: Verdict,
) -> None:
    disposition = dispose(verdict, doubt_since=900.0, sent_at=1000.0, tries_left=1)
    created = isinstance(verdict, Created)
    assert disposition.state is (State.CREATED if created else State.IN_DOUBT)
    assert disposition.doubt_since == (None if created else 900.0)


@given(_lives())
def test_doubt_dates_from_its_first_attempt(life: list[_Step]) -> None:
    for step in life:
        if step.disposition.doubt_since is not None:
            expected = step.sent_at if step.doubt_since is None else step.doubt_since
            assert step.disposition.doubt_since == expected


@given(_lives())
def test_state_and_doubt_agree(life: list[_Step]) -> None:
    for step in life:
        state, since = step.disposition.state, step.disposition.doubt_since
        assert (state is State.IN_DOUBT) == (since is not None)


@given(_lives())
def test_created_exactly_with_an_id(life: list[_Step]) -> None:
    for step in life:
        created = step.disposition.state is State.CREATED
        assert created == isinstance(step.verdict, Created) == bool(step.disposition.invitation_id)


@given(_lives())
def test_only_refusals_of_the_row_fail_it(life: list[_Step]) -> None:
    for step in life:
        if step.disposition.state is State.FAILED:
            assert isinstance(step.verdict, Refused | Conflict | Denied)


@given(_lives())
def test_a_throttle_a_dead_endpoint_or_a_call_held_back_changes_nothing_and_is_tried_again(
    life: list[_Step],
) -> None:
    for step in life:
        if isinstance(step.verdict, Throttled | Unreachable | Withheld):
            assert step.disposition.next in {Next.AGAIN, Next.AGAIN_WHEN_REACHABLE}
            assert step.disposition.doubt_since == step.doubt_since
            assert step.disposition.state in {State.PENDING, State.IN_DOUBT}
            assert not step.disposition.is_end


@pytest.mark.parametrize("verdict", [Unreachable("X"), Withheld("X"), SenderRefused("ExpiredToken")])
def test_what_is_not_the_rows_is_not_counted_on_it(verdict: Verdict) -> None:
    assert not dispose(verdict, doubt_since=None, sent_at=1, tries_left=5).counted


@pytest.mark.parametrize(("tries_left", "step"), [(1, Next.AGAIN), (0, Next.LOOK_UP), (-1, Next.LOOK_UP)])
def test_doubt_is_tried_again_as_long_as_the_run_has_patience(tries_left: int, step: Next) -> None:
    disposition = dispose(Doubtful("500"), doubt_since=None, sent_at=7, tries_left=tries_left)
    assert disposition == Disposition(State.IN_DOUBT, step, "doubtful", "500", 7)
    disposition = dispose(Unknown("Unfamiliar.418"), doubt_since=None, sent_at=7, tries_left=tries_left)
    assert disposition == Disposition(State.IN_DOUBT, step, "unknown", "Unfamiliar.418", 7)


def test_what_concerns_every_row_stops_the_run() -> None:
    refused = dispose(SenderRefused("ExpiredToken"), doubt_since=None, sent_at=1, tries_left=5)
    assert refused.next is Next.STOP_RUN


@pytest.mark.parametrize("finding", [TooEarly(0, 1.0), Unclear("LookUpDenied"), Absent(0, 61.0)])
def test_what_a_row_was_refused_for_stays_with_it_whatever_a_look_up_finds(finding: Finding) -> None:
    errors = (RowError("$.A", "X", ""),)
    row = DoubtfulRow("t", "h", "eng-1", "LeadInvitation", 1.0, 2.0, "ValidationException", errors)
    resolved = resolve(finding, row)
    assert (resolved.code, resolved.errors) == ("ValidationException", errors)


@pytest.mark.parametrize("finding", [TooEarly(0, 1.0), Unclear("LookUpDenied")])
def test_a_row_that_may_have_been_called_stays_one_until_it_is_found_out(finding: Finding) -> None:
    row = DoubtfulRow("t", "h", "eng-1", "LeadInvitation", 1.0, 2.0, MAY_BE_MISSING)
    resolved = resolve(finding, row)
    assert (resolved.state, resolved.code, resolved.doubt_since) == (State.IN_DOUBT, MAY_BE_MISSING, 1.0)
    assert resolve(Absent(0, 61.0), row).next is Next.AGAIN


def test_full_engagement_defers_the_row_and_its_engagement() -> None:
    disposition = dispose(EngagementFull("Full"), doubt_since=None, sent_at=1, tries_left=5)
    assert (disposition.state, disposition.next) == (State.DEFERRED, Next.SET_ENGAGEMENT_ASIDE)


def _denied(guard: PermissionGuard, denial: Denied = _DENIED, engagement: str = "eng-1") -> Disposition:
    return guard.judge(denial, dispose(denial, doubt_since=None, sent_at=1, tries_left=5), engagement)


@pytest.mark.parametrize(
    ("engagements", "held"),
    [([f"eng-{n}" for n in range(30)], 4), (["eng-1"] * 30, 19), (["eng-1", "eng-2"] * 15, 19)],
)
def test_the_first_denials_are_held_and_then_the_run_stops(engagements: list[str], held: int) -> None:
    guard = PermissionGuard(proven=False)
    told = [_denied(guard, engagement=engagement) for engagement in engagements]
    assert [each.next for each in told[: held + 1]] == [Next.HOLD] * held + [Next.STOP_RUN]
    assert {each.state for each in told} == {State.PENDING}


@pytest.mark.parametrize(
    "verdict", [_CREATED, Refused("ValidationException"), Conflict("C"), EngagementFull("Q")]
)
def test_a_judgement_of_a_row_proves_the_sender_and_denials_become_the_rows(verdict: Verdict) -> None:
    guard = PermissionGuard(proven=False)
    assert _denied(guard).next is Next.HOLD
    assert not guard.proven_now
    guard.judge(verdict, dispose(verdict, doubt_since=None, sent_at=1, tries_left=5), "eng-2")
    assert guard.proven_now


@pytest.mark.parametrize(
    ("engagements", "held"), [([f"eng-{n}" for n in range(90)], 19), (["eng-1"] * 90, 79)]
)
def test_a_permission_that_was_lost_stops_a_proven_sender_too(engagements: list[str], held: int) -> None:
    guard = PermissionGuard(proven=True)
    told = [_denied(guard, engagement=engagement) for engagement in engagements]
    assert [each.next for each in told[: held + 1]] == [Next.HOLD] * held + [Next.STOP_RUN]
    assert {each.state for each in told} == {State.PENDING}


@pytest.mark.parametrize("verdict", [Throttled("T", None), Doubtful("500"), Unreachable("X")])
def test_anything_else_proves_nothing(verdict: Verdict) -> None:
    guard = PermissionGuard(proven=False)
    guard.judge(verdict, dispose(verdict, doubt_since=None, sent_at=1, tries_left=5), "eng-2")
    assert not guard.proven_now


def test_denial_of_the_whole_account_stops_even_a_proven_sender_and_fails_no_row() -> None:
    denied = _denied(PermissionGuard(proven=True), Denied("AccessDeniedException", whole_account=True))
    assert (denied.state, denied.next) == (State.PENDING, Next.STOP_RUN)
