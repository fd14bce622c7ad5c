"""Whether a denial concerns the row or the sender: by rule, and in whole runs."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import pytest
from facts import RowFacts, RunFacts
from fakes import (
    CONFLICT,
    DENIED,
    FULL,
    REFUSED,
    SERVER_ERROR,
    THROTTLED,
    Call,
    Reply,
    ScriptedSender,
    created,
)
from hypothesis import given
from hypothesis import strategies as st
from runs import Run
from virtual_time import VIRTUAL_TIME

from bulk_invite.domain.classify import classify
from bulk_invite.domain.clearance import Clearance
from bulk_invite.domain.denials import PermissionGuard
from bulk_invite.domain.errors import SenderError
from bulk_invite.domain.next_step import Hold, OnHold, StopRun, next_step
from bulk_invite.domain.transitions import Transition, after_answer
from bulk_invite.domain.verdicts import Answer, HttpAnswer, State

pytestmark = pytest.mark.anyio

OK = created("t1")


@pytest.fixture
def anyio_backend() -> object:
    return VIRTUAL_TIME


def judge(
    guard: PermissionGuard, answer: Answer, engagement: str = "eng-1", left_at: float = 0.0
) -> Transition:
    verdict = guard.judge(classify(answer), engagement, left_at)
    return after_answer(verdict, doubt_since=None, sent_at=0.0)


def is_held(transition: Transition) -> bool:
    return next_step(transition, RowFacts(), RunFacts()) == Hold(OnHold.DENIED)


def stops(transition: Transition) -> bool:
    return next_step(transition, RowFacts(), RunFacts()) == StopRun(transition)


def denials_until_stop(guard: PermissionGuard, engagements: int) -> int:
    """The number of consecutive denials until the stop, with that many engagements in turn."""
    for number in range(1, 1000):
        if stops(judge(guard, DENIED, f"eng-{number % engagements}")):
            return number
    raise AssertionError("it puts up with everything")


# By rule


@pytest.mark.parametrize(
    ("proven", "engagements", "denials"),
    [(False, 1000, 5), (False, 4, 20), (False, 1, 20), (True, 1000, 20), (True, 19, 80), (True, 1, 80)],
)
def test_a_sender_that_is_denied_everywhere_stops_in_the_end(
    *, proven: bool, engagements: int, denials: int
) -> None:
    assert denials_until_stop(PermissionGuard(proven=proven), engagements) == denials


def test_a_denial_of_the_account_stops_even_a_proven_sender_at_once() -> None:
    whole = HttpAnswer(400, "AccessDeniedException", reason="INCOMPATIBLE_BENEFIT_AWS_PARTNER_STATE")
    denied = judge(PermissionGuard(proven=True), whole)
    assert stops(denied)
    assert (denied.state, denied.counted) == (State.PENDING, False)


def test_a_denial_is_held_and_the_one_that_stops_the_run_is_not_counted() -> None:
    guard = PermissionGuard(proven=False)
    held = [judge(guard, DENIED, f"eng-{number}") for number in range(4)]
    assert all(map(is_held, held))
    assert {(each.state, each.counted) for each in held} == {(State.PENDING, True)}
    last = judge(guard, DENIED, "eng-4")
    assert stops(last)
    assert (last.state, last.counted) == (State.PENDING, False)


@pytest.mark.parametrize("answer", [OK, REFUSED, CONFLICT, FULL])
def test_an_answer_about_the_row_proves_the_sender_and_resets_the_count(answer: Answer) -> None:
    guard = PermissionGuard(proven=False)
    for number in range(4):
        judge(guard, DENIED, f"eng-{number}")
    assert guard.blames_sender(5)
    judge(guard, answer, left_at=7.0)
    judge(guard, answer, left_at=6.0)
    assert guard.proven_until == 7.0
    assert not guard.blames_sender(5)
    assert denials_until_stop(guard, 1000) == 20


@pytest.mark.parametrize("answer", [SERVER_ERROR, THROTTLED, HttpAnswer(403, "ExpiredTokenException")])
def test_an_answer_that_is_not_about_the_row_proves_nothing(answer: Answer) -> None:
    guard = PermissionGuard(proven=False)
    for number in range(4):
        judge(guard, DENIED, f"eng-{number}")
    judge(guard, answer, left_at=7.0)
    assert guard.proven_until < 0
    assert guard.blames_sender(5)
    assert not guard.blames_sender(4)
    assert stops(judge(guard, DENIED, "eng-4"))


@given(st.lists(st.sampled_from([OK, REFUSED, DENIED, THROTTLED, SERVER_ERROR]), max_size=60))
def test_other_answers_pass_unchanged(answers: list[HttpAnswer]) -> None:
    guard = PermissionGuard(proven=True)
    for number, answer in enumerate(answers):
        verdict = classify(answer)
        judged = guard.judge(verdict, f"eng-{number}", number)
        assert judged == verdict or answer is DENIED


# In a run


def rows(count: int, engagements: int) -> list[str]:
    return [f"t{number} eng-{number % engagements}" for number in range(count)]


def denied_from(moment: float) -> Callable[[Call], Reply]:
    """A permission that is lost at a moment: calls that left before it are accepted."""
    return lambda call: DENIED if call.began >= moment else created(call.token)


@pytest.mark.parametrize("engagements", [1, 400])
@pytest.mark.parametrize("proven", [False, True])
async def test_a_permission_lost_during_a_run_stops_it_and_fails_no_row(
    engagements: int, *, proven: bool
) -> None:
    sender = ScriptedSender(otherwise=denied_from(10.0), seconds=0.5)
    run = await Run(rows(400, engagements), sender, proven=proven).fails(SenderError)
    states = run.tally.counts.states
    assert states[State.FAILED] == 0
    assert states[State.CREATED] == sum(call.began < 10.0 for call in sender.calls)
    denied = sum(call.began >= 10.0 for call in sender.calls)
    assert denied <= (80 if engagements == 1 else 20) + run.in_flight
    assert run.journal.states()["t399"] is not State.CREATED


async def test_a_late_answer_to_an_earlier_call_does_not_fail_rows_denied_later() -> None:
    """One call takes long; it left while the sender was allowed, and is answered when it is not any more."""

    class Uneven(ScriptedSender):
        async def create(self, body: bytes, clearance: Clearance) -> Answer:
            answer = await super().create(body, clearance)
            if b'"t5"' in body:
                await anyio.sleep(3.0)
            return answer

    def reply(call: Call) -> Reply:
        return created(call.token) if call.token in {"t0", "t1", "t2", "t3", "t4", "t5"} else DENIED

    sender = Uneven(otherwise=reply, seconds=0.1)
    run = await Run(rows(200, 200), sender).fails(SenderError)
    assert run.tally.counts.states[State.CREATED] == 6
    assert run.tally.counts.states[State.FAILED] == 0


async def test_engagements_of_another_account_fail_only_their_own_rows() -> None:
    def reply(call: Call) -> Reply:
        return DENIED if int(call.token[1:]) % 3 == 0 else created(call.token)

    run = await Run(rows(300, 300), ScriptedSender(otherwise=reply)).go()
    assert run.finished
    assert run.tally.counts.states[State.FAILED] == 100
    assert run.tally.counts.states[State.CREATED] == 200
    assert len(run.sender.calls) == 300


@pytest.mark.parametrize(("denied", "fails"), [(4, False), (5, True), (80, True)])
async def test_a_run_of_denials_fails_a_few_rows_at_most_even_after_successes(
    denied: int, *, fails: bool
) -> None:
    texts = [f"t{number} eng-1" for number in range(denied)]
    run = Run(texts, ScriptedSender(otherwise=lambda _: DENIED), proven=True)
    await (run.fails(SenderError) if fails else run.go())
    assert run.tally.counts.states[State.PENDING if fails else State.FAILED] == denied
