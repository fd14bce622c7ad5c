"""The circuit breaker: what opens it, which row probes and when, what closes it; then whole runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import anyio
import pytest
from fakes import DOWN, REFUSED, RESET, SERVER_ERROR, THROTTLED, Call, Reply, ScriptedSender, created
from hypothesis import given
from hypothesis import strategies as st
from runs import Run
from structlog.testing import capture_logs
from virtual_time import VIRTUAL_TIME, running_loop

from bulk_invite.delivery.sending.circuit_breaker import CircuitBreaker
from bulk_invite.domain.backoff import Backoff
from bulk_invite.domain.verdicts import HttpAnswer, State

pytestmark = pytest.mark.anyio

HOUR = 3600.0
MINUTES = 60.0
HTML_503 = HttpAnswer(503, "503")


@pytest.fixture
def anyio_backend() -> object:
    return VIRTUAL_TIME


def new_breaker(rows: int = 10) -> CircuitBreaker:
    return CircuitBreaker("the endpoint", Backoff(1.0, 8.0), lambda: 1.0, rows=lambda: rows)


def open_breaker(breaker: CircuitBreaker) -> None:
    for row in range(10):
        breaker.doubtful(row)
    assert breaker.is_open


# What shuts it


async def test_doubt_for_ten_rows_in_a_row_opens_the_breaker_and_one_answer_closes_it() -> None:
    breaker = new_breaker()
    for row in range(9):
        breaker.doubtful(row)
    states = [breaker.is_open]
    breaker.doubtful(9)
    states.append(breaker.is_open)
    breaker.answered()
    states.append(breaker.is_open)
    for row in range(9):  # a new streak begins from nothing
        breaker.doubtful(row)
    assert [*states, breaker.is_open] == [False, True, False, False]


@given(st.lists(st.integers(0, 8), max_size=300))
def test_fewer_rows_than_the_threshold_never_open_the_breaker(endings: list[int]) -> None:
    async def endings_of_few() -> bool:
        breaker = new_breaker()
        for row in endings:
            breaker.doubtful(row)
        return breaker.is_open

    assert not anyio.run(endings_of_few)


@given(st.lists(st.sampled_from(["doubt", "answer"]), max_size=120))
def test_only_ten_doubtful_rows_in_a_row_open_the_breaker(endings: list[str]) -> None:
    async def all_endings() -> None:
        breaker = new_breaker()
        streak = 0
        for row, ending in enumerate(endings):
            if ending == "doubt":
                breaker.doubtful(row)
                streak += 1
            else:
                breaker.answered()
                streak = 0
            assert breaker.is_open == (streak >= 10)

    anyio.run(all_endings)


# Which row probes, and when


@dataclass
class Callers:
    """Rows that call until an answer closes the breaker; each call fails at once until `heals`."""

    breaker: CircuitBreaker
    heals: float
    probes: list[tuple[float, int]] = field(default_factory=list)
    patience: dict[int, int] = field(default_factory=dict)
    through: list[tuple[float, int]] = field(default_factory=list)

    async def call(self, row: int) -> None:
        while await self.breaker.wait_to_retry(row, code="500", left=True):
            self.probes.append((anyio.current_time(), row))
            if anyio.current_time() >= self.heals:
                self.breaker.answered()
                break
            self.patience[row] = self.patience.get(row, 1000) - 1
            if not self.patience[row]:
                self.breaker.probe_gave_up(row)
                return
        self.through.append((anyio.current_time(), row))


async def _all(callers: Callers, count: int) -> Callers:
    with anyio.fail_after(10 * HOUR):
        async with anyio.create_task_group() as group:
            for row in range(count):
                group.start_soon(callers.call, row)
    return callers


async def test_rows_probe_in_turn_with_capped_backoff_and_all_continue_together() -> None:
    callers = await _all(Callers(new_breaker(), heals=100.0), 5)
    times = [time for time, _ in callers.probes]
    assert [round(later - earlier) for earlier, later in pairwise([0.0, *times])] == [1, 2, 4] + [8] * 12
    assert [row for _, row in callers.probes][:10] == [0, 1, 2, 3, 4] * 2
    assert sorted(row for _, row in callers.through) == list(range(5))
    assert {round(time, 3) for time, _ in callers.through} == {round(times[-1], 3)}


async def test_a_probe_that_gives_up_hands_over_to_the_next_row() -> None:
    callers = await _all(Callers(new_breaker(), heals=60.0, patience={0: 1, 1: 1, 2: 2}), 5)
    assert sorted(row for _, row in callers.through) == [3, 4]
    assert [row for _, row in callers.probes][:5] == [0, 1, 2, 3, 4]


async def test_the_breaker_closes_if_the_last_probe_gives_up_and_opens_at_the_next_doubt() -> None:
    breaker = new_breaker()
    open_breaker(breaker)
    await Callers(breaker, heals=HOUR, patience={9: 1}).call(9)
    states = [breaker.is_open]
    breaker.doubtful(10)
    assert [*states, breaker.is_open] == [False, True]


@pytest.mark.parametrize("how", ["by doubt", "unreachable"])
async def test_a_row_that_waited_through_one_outage_waits_for_the_probe_of_the_next(
    how: str,
) -> None:
    breaker = new_breaker()
    turns: list[tuple[float, int]] = []

    async def waits(row: int) -> None:
        if await breaker.wait_to_retry(row, code="500", left=True):
            turns.append((anyio.current_time(), row))

    with anyio.move_on_after(100.0):
        async with anyio.create_task_group() as group:
            open_breaker(breaker)
            group.start_soon(waits, 9)
            await anyio.sleep(0.5)
            breaker.answered()
            if how == "by doubt":
                for row in range(20, 30):
                    breaker.doubtful(row)
                group.start_soon(waits, 29)
            else:
                await waits(29)
    ((time, _),) = turns
    assert time == pytest.approx(1.5, abs=0.01)  # a backoff after the second one began


async def test_an_answer_lets_the_waiting_rows_pass() -> None:
    breaker = new_breaker()
    open_breaker(breaker)
    passed: list[float] = []

    async def wait() -> None:
        assert not await breaker.wait_to_call("row")
        passed.append(anyio.current_time())

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        await anyio.sleep(50)
        assert not passed
        breaker.answered()
    assert passed == [pytest.approx(50, abs=0.01)]
    assert not await breaker.wait_to_call("row")


@pytest.mark.parametrize("gone", [[0], [1], [0, 1, 2]])
async def test_a_cancelled_waiter_does_not_hold_up_the_others(gone: list[int]) -> None:
    callers = Callers(new_breaker(), heals=30.0)
    scopes: dict[int, anyio.CancelScope] = {}

    async def call(row: int) -> None:
        with anyio.CancelScope() as scopes[row]:
            await callers.call(row)

    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            for row in range(5):
                group.start_soon(call, row)
            await anyio.sleep(0.5)
            for row in gone:
                scopes[row].cancel()
    assert sorted(row for _, row in callers.through) == [row for row in range(5) if row not in gone]


async def test_the_log_distinguishes_a_failing_service_from_an_unreachable_one() -> None:
    async def event(*, left: bool) -> str:
        breaker = new_breaker()
        with capture_logs() as logs, anyio.move_on_after(0.5):
            await breaker.wait_to_retry(1, code="x", left=left)
        return str(logs[0]["event"])

    assert await event(left=True) == "endpoint.failing"
    assert await event(left=False) == "endpoint.unreachable"


# Whole runs


def rows(count: int) -> list[str]:
    return [f"t{number} eng-{number}" for number in range(count)]


def until(moment: float, *failing: Reply) -> Callable[[Call], Reply]:
    """A service that fails until a moment, in one way after the other."""

    def reply(call: Call) -> Reply:
        now = anyio.current_time()
        return failing[int(now * 10) % len(failing)] if now < moment else created(call.token)

    return reply


def between(calls: Sequence[Call], start: float, end: float) -> list[Call]:
    return [call for call in calls if start < call.began < end]


@pytest.mark.parametrize(
    "failing", [[SERVER_ERROR], [RESET], [HTML_503, SERVER_ERROR], [DOWN, RESET, SERVER_ERROR]]
)
async def test_an_hour_of_failures_costs_few_calls_and_no_row(failing: list[Reply]) -> None:
    run = await Run(rows(200), ScriptedSender(otherwise=until(HOUR, *failing)), tries=8, in_flight=64).go()
    assert run.finished
    assert set(run.journal.states().values()) == {State.CREATED}
    during = between(run.sender.calls, 2 * MINUTES, HOUR)
    assert HOUR / 31 < len(during) < HOUR / 12
    assert all((a.ended or 0) <= b.began for a, b in pairwise(during)), "one call at a time"
    assert HOUR < run.took < HOUR + 90
    assert len(between(run.sender.calls, 0, 2 * MINUTES)) < 80


async def test_rows_that_a_longer_outage_leaves_in_doubt_are_resent_by_the_next_run() -> None:
    sender = ScriptedSender(otherwise=until(4 * HOUR, SERVER_ERROR))
    run = await Run(rows(200), sender, tries=8, in_flight=64).go()
    assert set(run.journal.states().values()) == {State.CREATED, State.IN_DOUBT}
    assert len(between(sender.calls, 2 * MINUTES, 4 * HOUR)) < 4 * HOUR / 10
    run.journal.next_run()
    again = await Run(rows(200), ScriptedSender(), journal=run.journal, tries=8, in_flight=64).go()
    assert set(again.journal.states().values()) == {State.CREATED}


async def test_rows_that_make_the_service_fail_hold_up_others_for_minutes_only() -> None:
    """Twelve of them at the top of the source look like a service that is down, until another row asks."""
    bad = {f"t{number}": [SERVER_ERROR] for number in range(12)}
    run = await Run(rows(100), ScriptedSender(dict(bad)), tries=8, in_flight=16).go()
    states = run.journal.states()
    assert {token for token, state in states.items() if state is State.IN_DOUBT} == set(bad)
    assert run.took < 10 * MINUTES


@pytest.mark.parametrize("in_flight", [1, 10])
async def test_a_run_continues_even_if_all_rows_in_flight_make_the_service_fail(in_flight: int) -> None:
    bad = {f"t{number}": [SERVER_ERROR] for number in range(12)}
    run = await Run(rows(40), ScriptedSender(dict(bad)), tries=8, in_flight=in_flight).go()
    assert run.finished
    assert run.tally.counts.states[State.CREATED] == 28
    assert run.took < HOUR


async def test_a_drain_while_the_breaker_is_open_is_immediate_and_keeps_the_doubt() -> None:
    run = Run(rows(200), ScriptedSender(otherwise=until(HOUR, SERVER_ERROR)), tries=8, in_flight=64)
    await run.when(10 * MINUTES, run.stop.drain)
    assert not run.finished
    assert run.took == pytest.approx(10 * MINUTES, abs=0.5)
    sent = {call.token for call in run.sender.calls}
    assert {run.journal.rows[token].state for token in sent} == {State.IN_DOUBT}
    assert run.journal.states().keys() - sent, "rows without a call"


@pytest.mark.parametrize("in_flight", [1, 64])
async def test_a_few_rows_that_make_the_service_fail_do_not_open_the_breaker(in_flight: int) -> None:
    bad = {f"t{number}": [SERVER_ERROR] for number in (0, 1, 50, 51, 52, 53)}
    run = await Run(rows(100), ScriptedSender(dict(bad)), tries=8, in_flight=in_flight).go()
    assert run.tally.counts.states[State.CREATED] == 94
    assert run.tally.counts.states[State.IN_DOUBT] == 6
    assert all(len(run.sender.calls_of(token)) == 8 for token in bad)
    if in_flight == 64:
        assert run.took < 60


@pytest.mark.parametrize("answer", [THROTTLED, REFUSED])
async def test_an_answer_of_any_kind_closes_the_breaker(answer: Reply) -> None:
    def reply(call: Call) -> Reply:
        now = anyio.current_time()
        if now < 10 * MINUTES:
            return SERVER_ERROR
        return answer if now < 11 * MINUTES else created(call.token)

    with capture_logs() as logs:
        run = await Run(rows(40), ScriptedSender(otherwise=reply), tries=8, in_flight=64).go()
    assert [each["event"] for each in logs].count("endpoint.reachable") == 1
    assert run.tally.counts.states[State.IN_DOUBT] == 0
    assert running_loop().time() < 12 * MINUTES


async def test_doubt_among_answers_does_not_open_the_breaker() -> None:
    """Four calls in five fail, for good luck never ten in a row."""
    numbers = iter(range(10**6))

    def reply(call: Call) -> Reply:
        return created(call.token) if next(numbers) % 5 == 0 else SERVER_ERROR

    with capture_logs() as logs:
        run = await Run(rows(60), ScriptedSender(otherwise=reply), tries=50, in_flight=16).go()
    assert run.tally.counts.states[State.CREATED] == 60
    assert not [each for each in logs if each["event"].startswith("endpoint.")]
