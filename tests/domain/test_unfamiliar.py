"""Whether an unfamiliar answer concerns the row or the service: by rule, and in whole runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import anyio
import pytest
from fakes import (
    CONFLICT,
    DENIED,
    DOWN,
    FULL,
    REFUSED,
    SERVER_ERROR,
    THROTTLED,
    UNKNOWN,
    Call,
    Entry,
    MemoryJournal,
    Reply,
    ScriptedSender,
    arrival,
    created,
    invitation,
)
from runs import EPOCH, HOUR, Run
from structlog.testing import capture_logs
from virtual_time import VIRTUAL_TIME

from bulk_invite.domain.classify import classify
from bulk_invite.domain.unfamiliar import UnfamiliarAnswer, UnfamiliarGuard
from bulk_invite.domain.verdicts import Answer, HttpAnswer, State

pytestmark = pytest.mark.anyio

OK = created("t1")
PAGE = HttpAnswer(403, "403", content_type="text/html", length=5123)
CODE = "Unfamiliar.403.text-html"


@pytest.fixture
def anyio_backend() -> object:
    return VIRTUAL_TIME


def judge(
    guard: UnfamiliarGuard, answer: Answer, before: UnfamiliarAnswer | None = None
) -> UnfamiliarAnswer | None:
    return guard.judge(classify(answer), before)


def is_due_to_row(strange: UnfamiliarAnswer | None) -> bool:
    assert strange is not None
    return strange.is_due_to_row


# By rule


@pytest.mark.parametrize(
    ("between", "is_rows"),
    [
        ([OK], True),
        ([REFUSED], True),
        ([CONFLICT], True),
        ([FULL], True),
        ([SERVER_ERROR, OK, THROTTLED], True),
        ([], False),
        ([SERVER_ERROR], False),
        ([THROTTLED], False),
        ([DOWN], False),
        ([DENIED], False),
        ([UNKNOWN], False),
    ],
)
def test_a_repeated_answer_fails_the_row_only_if_other_rows_succeeded_meanwhile(
    between: list[Answer], *, is_rows: bool
) -> None:
    guard = UnfamiliarGuard()
    judge(guard, OK)
    first = judge(guard, PAGE)
    for answer in between:
        judge(guard, answer)
    again = judge(guard, PAGE, first)
    assert (is_due_to_row(first), is_due_to_row(again)) == (False, is_rows)


def test_a_different_unfamiliar_answer_counts_as_the_first() -> None:
    guard = UnfamiliarGuard()
    strange = judge(guard, PAGE)
    judge(guard, OK)
    assert judge(guard, UNKNOWN, strange) == UnfamiliarAnswer("Unfamiliar.TeapotException", 1)


def test_a_familiar_answer_resets_the_count_of_the_row() -> None:
    """Its own familiar answer proves nothing about other rows."""
    guard = UnfamiliarGuard()
    strange = judge(guard, PAGE)
    assert judge(guard, FULL, strange) is None
    assert judge(guard, SERVER_ERROR, strange) == strange


# In a run


def rows(count: int) -> list[str]:
    return [f"t{number} eng-{number}" for number in range(count)]


def poisoned(*numbers: int) -> dict[str, list[Reply]]:
    return {f"t{number}": [PAGE] for number in numbers}


def states(run: Run) -> Counter[State]:
    return Counter(run.journal.states().values())


@pytest.mark.parametrize("in_flight", [1, 8])
@pytest.mark.parametrize("bad", [[0], [7, 8, 9, 60], [199]])
async def test_rows_with_unfamiliar_answers_hold_up_no_other_row(bad: list[int], in_flight: int) -> None:
    run = await Run(rows(200), ScriptedSender(poisoned(*bad)), in_flight=in_flight).go()
    assert run.finished
    assert states(run) == {State.CREATED: 200 - len(bad), State.IN_DOUBT: len(bad)}
    for number in bad:
        entry = run.journal.rows[f"t{number}"]
        assert (entry.state, entry.code, entry.doubt_since is not None) == (State.IN_DOUBT, CODE, True)
        assert len(run.sender.calls_of(f"t{number}")) <= run.tries
    assert len(run.sender.lists) == len(bad), "each of them was looked up"


async def test_two_calls_suffice_if_other_rows_succeed_meanwhile() -> None:
    run = await Run(rows(50), ScriptedSender(poisoned(3)), rate=50.0).go()
    assert len(run.sender.calls_of("t3")) == 2
    assert run.journal.outcomes("t3") == ["sent", "unknown"] * 2


async def test_a_row_that_arrived_despite_an_unfamiliar_answer_is_found() -> None:
    sender = ScriptedSender(poisoned(3), arrived=[arrival("t3 eng-3", EPOCH + 0.1)])
    run = await Run(rows(50), sender).go()
    assert states(run) == {State.CREATED: 50}
    assert run.journal.rows["t3"].invitation_id == "engi-t3-1"


async def test_an_unfamiliar_answer_is_reported_without_its_text() -> None:
    with capture_logs() as logs:
        await Run(rows(20), ScriptedSender(poisoned(3))).go()
    (first, *_) = [line for line in logs if line["event"] == "response.unrecognized"]
    assert first == {
        "event": "response.unrecognized",
        "log_level": "warning",
        "position": "rows:4",
        "code": CODE,
        "length": 5123,
    }
    assert [line["code"] for line in logs if line["event"] == "invitation.in_doubt"] == [CODE]


def until(moment: float) -> Callable[[Call], Reply]:
    return lambda call: PAGE if anyio.current_time() < moment else created(call.token)


@pytest.mark.parametrize("begins", [0.0, 4.0])
async def test_if_every_answer_is_unfamiliar_all_rows_wait_and_one_probes(begins: float) -> None:
    """As long as a dead endpoint would be waited for, and as loudly; no row loses a retry to it."""

    def reply(call: Call) -> Reply:
        return PAGE if begins <= anyio.current_time() < begins + 600 else created(call.token)

    with capture_logs() as logs:
        run = await Run(rows(200), ScriptedSender(otherwise=reply), tries=8, in_flight=20).go()
    assert run.finished
    assert states(run) == {State.CREATED: 200}
    meanwhile = [call for call in run.sender.calls if begins + 5 < call.began < begins + 600]
    assert len(meanwhile) <= 50, "one call at a time, with a backoff of half a minute at most"
    said = [line for line in logs if line["event"] == "endpoint.failing"]
    assert len(said) >= 15
    assert {line["reason"] for line in said} == {CODE}


async def test_a_run_waits_for_a_wrong_endpoint_and_a_stop_ends_the_wait_at_once() -> None:
    run = Run(rows(500), ScriptedSender(otherwise=lambda _: PAGE), in_flight=20)
    await run.when(HOUR, run.stop.drain)
    assert run.took == pytest.approx(HOUR, abs=0.2)
    assert State.FAILED not in states(run)
    assert len(run.sender.calls) < 400, "an hour of probes"


async def test_the_next_run_looks_up_first_and_makes_a_bounded_number_of_calls() -> None:
    journal = MemoryJournal()
    journal.rows["t3"] = Entry(
        invitation("t3", engagement="eng-3").body_hash,
        State.IN_DOUBT,
        doubt_since=EPOCH - HOUR,
        last_sent=EPOCH - HOUR,
        code=CODE,
        engagement="eng-3",
    )
    run = await Run(rows(50), ScriptedSender(poisoned(3)), journal=journal).go()
    assert journal.outcomes("t3")[0] == "absent"
    assert len(run.sender.calls_of("t3")) == 2
    assert states(run) == {State.CREATED: 49, State.IN_DOUBT: 1}
    assert run.sender.lists[0][0] < run.sender.calls_of("t3")[0].began
