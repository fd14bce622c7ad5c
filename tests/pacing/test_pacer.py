"""Waiting for the right to call, in virtual time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, MutableMapping
from functools import partial
from itertools import count, pairwise
from time import monotonic
from typing import Any

import anyio
import pytest
import uvloop
from pacers import make_governor, make_pacer
from structlog.testing import capture_logs
from virtual_time import VIRTUAL_TIME, VirtualTimeLoop, running_loop

from bulk_invite.domain.clock import Clock
from bulk_invite.domain.durations import DAY
from bulk_invite.domain.verdicts import Signal
from bulk_invite.pacing.pacer import Pacer
from bulk_invite.pacing.parking import Permit, Why

pytestmark = pytest.mark.anyio

_EPOCH = 1_800_000_000.0
_HOUR = 3600.0


@pytest.fixture(params=[VIRTUAL_TIME])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    return request.param


def _now() -> float:
    return running_loop().time()


def _pacer(rate: float, *, burst: float | None = None, daily_quota: int | None = None) -> Pacer:
    return make_pacer(make_governor(rate, daily_quota=daily_quota), _now, burst=burst)


async def _permit(pacer: Pacer, *, retry: bool = False) -> Permit:
    permit = await pacer.permit(retry=retry)
    assert permit is not None
    return permit


def _answer(
    pacer: Pacer, permit: Permit, signal: Signal = Signal.SUCCESS, retry_after: float | None = None
) -> None:
    counted = signal is not Signal.THROTTLED
    pacer.observe(permit, signal, sent_at=permit.at, counted=counted, retry_after=retry_after)


async def _permits(pacer: Pacer, seconds: float) -> list[float]:
    """When calls might leave, asked for without a pause."""
    began, times = _now(), list[float]()
    with anyio.move_on_after(seconds):
        while True:
            pacer.unused(await _permit(pacer))
            times.append(_now() - began)
    return times


def _most_over(times: list[float], rate: float) -> float:
    """By how many calls any stretch of time exceeds rate times its length."""
    most = lowest = 0.0
    for number, time in enumerate(times):
        debt = number - rate * time
        lowest = min(lowest, debt)
        most = max(most, debt + 1 - lowest)
    return most


# The rate


@pytest.mark.parametrize(("rate", "seconds"), [(0.5, 600), (1, 600), (15, 600), (200, 60), (2000, 10)])
async def test_the_rate_is_spread_evenly(rate: float, seconds: float) -> None:
    times = await _permits(_pacer(rate), seconds)
    assert len(times) == pytest.approx(rate * seconds, rel=0.005, abs=1 + rate * 0.05)
    assert _most_over(times, rate) <= max(1.0, rate * 0.05) + 0.01


@pytest.mark.parametrize(
    "anyio_backend", [("asyncio", {"loop_factory": partial(VirtualTimeLoop, granularity=0.001)})]
)
@pytest.mark.parametrize("rate", [15, 200, 2000])
async def test_the_rate_is_reached_with_timers_of_a_millisecond(rate: float) -> None:
    times = await _permits(_pacer(rate), 20)
    assert len(times) == pytest.approx(rate * 20, rel=0.02)
    assert _most_over(times, rate) <= max(1.0, rate * 0.05) + rate * 0.001


@pytest.mark.parametrize("rate", [5, 20, 100])
async def test_a_wait_ends_with_the_tick_at_which_the_call_is_due(rate: float) -> None:
    """One tick more would cost a tenth of 100 calls per second."""
    pacer = _pacer(rate, burst=1)
    before = (await _permit(pacer)).at
    await anyio.sleep(0.00002)  # the next call is asked for after that
    assert (await _permit(pacer)).at - before == pytest.approx(1 / rate, abs=0.0001)


async def test_a_burst_leaves_at_once_and_is_never_exceeded() -> None:
    pacer = _pacer(2.0, burst=10)
    times = await _permits(pacer, 30)
    assert times[9] < 0.001
    assert times[10] == pytest.approx(0.5, abs=0.001)
    await anyio.sleep(3600)
    times += [30 + 3600 + time for time in await _permits(pacer, 30)]
    assert _most_over(times, 2.0) <= 10.01


async def test_the_gap_between_calls_follows_the_rate() -> None:
    pacer = make_pacer(make_governor(64.0, start=1.0), _now)
    times = list[float]()
    with anyio.move_on_after(20):
        while True:
            permit = await _permit(pacer)
            times.append(_now())
            _answer(pacer, permit)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert gaps[0] == pytest.approx(1.0, rel=0.01)
    assert sum(gaps[-64:]) == pytest.approx(1.0, rel=0.01)


@pytest.mark.parametrize("latency", [0.02, 0.1, 0.3])
async def test_a_rate_that_is_sought_doubles_every_second(latency: float) -> None:
    """A waiting call follows the latest answer, not the state at the start of the wait."""
    pacer = make_pacer(make_governor(256.0, start=1.0), _now, burst=1)
    left, intervals = list[float](), list[float]()

    async def answer_late(permit: Permit) -> None:
        await anyio.sleep(latency)
        _answer(pacer, permit)

    async with anyio.create_task_group() as group:
        while pacer.view().rate < 64.0:
            permit = await _permit(pacer)
            left.append(permit.at)
            intervals.append(1 / pacer.view().rate)
            group.start_soon(answer_late, permit)
    # Six doublings, and the first call that there is nothing to learn from; the second leaves after it.
    assert _now() <= 7.0 + 4 * latency
    gaps = (later - earlier for earlier, later in pairwise(left))
    assert all(gap > 0.999 * interval for gap, interval in zip(gaps, intervals[1:], strict=True))


@pytest.mark.parametrize(
    "anyio_backend", [("asyncio", {"loop_factory": partial(VirtualTimeLoop, granularity=0.001)})]
)
async def test_a_raise_at_the_end_of_a_wait_loses_no_call() -> None:
    chance = random.Random(1)

    async def answer_late(pacer: Pacer, permit: Permit, latency: float) -> None:
        await anyio.sleep(latency + 0.05 * chance.random())
        _answer(pacer, permit)

    for number in range(100):
        pacer, began = make_pacer(make_governor(15.0, start=1.0), _now, burst=1), _now()
        left, intervals = list[float](), list[float]()
        async with anyio.create_task_group() as group:
            while _now() < began + 8:
                permit = await _permit(pacer)
                left.append(permit.at)
                intervals.append(1 / pacer.view().rate)
                group.start_soon(answer_late, pacer, permit, 0.05 + 0.0028 * number)
        gaps = (later - earlier for earlier, later in pairwise(left))
        assert all(gap > 0.5 * interval for gap, interval in zip(gaps, intervals[1:], strict=True))


class _CountingLoop(uvloop.Loop):
    """Counts its timers."""

    timers = 0

    def call_at(self, *arguments: Any, **options: Any) -> Any:  # type: ignore[override]  # passes them on
        self.timers += 1
        return super().call_at(*arguments, **options)


@pytest.mark.parametrize("anyio_backend", [("asyncio", {"loop_factory": _CountingLoop})])
async def test_a_wait_sets_one_timer_and_not_one_for_every_turn_of_the_loop() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, _CountingLoop)
    pacer = make_pacer(73.0, monotonic)  # waits that end between two milliseconds
    before = loop.timers
    for _ in range(10):
        _answer(pacer, await _permit(pacer))
    assert loop.timers - before <= 20


@pytest.mark.parametrize("before", [5, 25])
async def test_a_cut_grants_no_part_of_a_burst(before: int) -> None:
    pacer = make_pacer(make_governor(16.0, start=16.0), _now, burst=20)
    permits = [await _permit(pacer) for _ in range(before)]
    _answer(pacer, permits[-1], Signal.THROTTLED)
    rate = pacer.view().rate
    assert rate < 12
    times = await _permits(pacer, 5)
    assert len(times) <= 5 * rate + 1


async def test_an_answer_does_not_undo_a_new_rate() -> None:
    pacer = make_pacer(0.02, _now, burst=5)
    first, *_ = [await _permit(pacer) for _ in range(5)]
    await anyio.sleep(40)
    pacer.limit(10.0, seek=True)
    _answer(pacer, first)
    times = await _permits(pacer, 0.35)
    assert len(times) <= 3


async def test_a_throttle_holds_back_the_call_that_already_waits_for_its_token() -> None:
    pacer = _pacer(0.1)
    throttled = await _permit(pacer)
    left: list[float] = []

    async def wait() -> None:
        await _permit(pacer)
        left.append(_now())

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        await anyio.sleep(9)
        _answer(pacer, throttled, Signal.THROTTLED, retry_after=100)
    assert left[0] >= 109


async def test_calls_are_spaced_again_after_a_hold() -> None:
    pacer = _pacer(1.0)
    _answer(pacer, await _permit(pacer))
    _answer(pacer, await _permit(pacer), Signal.THROTTLED, retry_after=50)
    times = await _permits(pacer, 60)
    assert times[0] >= 50
    assert len(times) >= 5
    assert all(later - earlier >= 1.0 for earlier, later in pairwise(times))


async def test_no_burst_after_a_park() -> None:
    pacer = make_pacer(make_governor(1.0, daily_quota=20, earlier=[-_HOUR] * 20), _now)
    times = await _permits(pacer, DAY - _HOUR + 10)
    assert times[0] == pytest.approx(DAY - _HOUR, abs=0.01)
    assert all(later - earlier >= 0.999 for earlier, later in pairwise(times))


# The turn


async def test_retries_go_before_new_rows() -> None:
    pacer = _pacer(1.0)
    order: list[str] = []

    async def wait(name: str, *, retry: bool) -> None:
        await pacer.permit(retry=retry)
        order.append(name)

    async with anyio.create_task_group() as group:
        for number in range(5):
            group.start_soon(partial(wait, f"new {number}", retry=False))
        await anyio.sleep(0.5)  # new 0 is gone, new 1 has its turn
        for number in range(2):
            group.start_soon(partial(wait, f"retry {number}", retry=True))
    assert order == ["new 0", "new 1", "retry 0", "retry 1", "new 2", "new 3", "new 4"]


@pytest.mark.parametrize("cancelled", [0, 1, 2, 3])
@pytest.mark.parametrize("moment", [0.0, 0.5, 1.0, 1.000001, 1.5])
async def test_a_cancelled_waiter_neither_keeps_nor_loses_the_turn(cancelled: int, moment: float) -> None:
    pacer = _pacer(1.0)
    await pacer.permit(retry=False)
    served: list[int] = []
    scopes = [anyio.CancelScope() for _ in range(4)]

    async def wait(number: int) -> None:
        with scopes[number]:
            await pacer.permit(retry=number % 2 == 0)
            served.append(number)

    began = _now()
    async with anyio.create_task_group() as group:
        for number in range(4):
            group.start_soon(wait, number)
        await anyio.sleep(moment)
        scopes[cancelled].cancel()
    assert set(served) >= {0, 1, 2, 3} - {cancelled}
    assert _now() - began == pytest.approx(len(served), abs=1.01)
    with anyio.fail_after(5):
        await pacer.permit(retry=False)


async def test_a_call_that_is_no_longer_wanted_takes_no_token() -> None:
    pacer = _pacer(1.0, daily_quota=2)
    began = _now()
    for _ in range(100):
        assert await pacer.permit(retry=False, unless=lambda: True) is None
    assert _now() - began < 0.01
    await _permit(pacer)
    await _permit(pacer)
    assert _now() - began == pytest.approx(1.0, abs=0.01)


async def test_a_call_is_checked_for_being_wanted_when_its_turn_comes_and_after_it_has_waited() -> None:
    pacer = _pacer(1.0)
    await _permit(pacer)
    wanted, results = True, list[Permit | None]()

    async def wait() -> None:
        results.append(await pacer.permit(retry=False, unless=lambda: not wanted))

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        group.start_soon(wait)
        await anyio.sleep(0.5)
        wanted = False
    assert results == [None, None], "one was waiting for its token, one for its turn"


# Parked


async def test_a_used_up_day_opens_the_moment_its_first_call_is_a_day_old() -> None:
    pacer = _pacer(10.0, daily_quota=3)
    answered: list[float] = []
    for _ in range(3):
        permit = await _permit(pacer)
        await anyio.sleep(0.7)
        _answer(pacer, permit)
        answered.append(_now())
    for time in answered:
        permit = await _permit(pacer)
        assert time + DAY <= _now() < time + DAY + 1
        _answer(pacer, permit)


@pytest.mark.parametrize("signal", [Signal.THROTTLED, None])
async def test_a_call_that_does_not_count_makes_room_for_a_waiting_one_at_once(
    signal: Signal | None,
) -> None:
    """All of the quota is under way; one call comes back as throttled, or was not made (None)."""
    pacer = _pacer(10.0, daily_quota=2)
    await _permit(pacer)
    second = await _permit(pacer)
    left: list[float] = []

    async def wait() -> None:
        await _permit(pacer)
        left.append(_now())

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        await anyio.sleep(_HOUR + 10)
        assert not left
        if signal is None:
            pacer.unused(second)
        else:
            _answer(pacer, second, signal)
    assert left[0] - (_HOUR + 10) < 1.5


async def test_a_quota_that_is_all_in_flight_and_counted_waits_a_day() -> None:
    pacer = _pacer(10.0, daily_quota=2)
    flights = [await _permit(pacer), await _permit(pacer)]
    left: list[float] = []

    async def wait() -> None:
        await _permit(pacer)
        left.append(_now())

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        await anyio.sleep(_HOUR)
        for permit in flights:
            _answer(pacer, permit)
    assert left[0] == pytest.approx(_HOUR + DAY, abs=1)


async def test_a_waiter_parked_for_hours_is_cancelled_at_once_and_hands_on_its_turn() -> None:
    pacer = make_pacer(make_governor(10.0, daily_quota=1, earlier=[10 * _HOUR - DAY]), _now)
    left: dict[str, float] = {}
    scope = anyio.CancelScope()

    async def wait(name: str) -> None:
        await _permit(pacer)
        left[name] = _now()

    async def wait_and_be_cancelled() -> None:
        with scope:
            await wait("first")
        left["cancelled"] = _now()

    async with anyio.create_task_group() as group:
        group.start_soon(wait_and_be_cancelled)
        await anyio.sleep(100)
        group.start_soon(wait, "second")
        await anyio.sleep(_HOUR)
        scope.cancel()
    assert left["cancelled"] == pytest.approx(_HOUR + 100, abs=0.01)
    assert left["second"] == pytest.approx(10 * _HOUR, abs=1)
    assert "first" not in left


async def test_closing_stops_the_call_that_already_waits_for_its_token() -> None:
    pacer = _pacer(0.1)
    _answer(pacer, await _permit(pacer))
    async with anyio.create_task_group() as group:

        async def wait() -> None:
            permit = await _permit(pacer)
            assert permit.probe
            assert _now() > 60

        group.start_soon(wait)
        await anyio.sleep(5)
        pacer.close(Why.ACCOUNT_FULL)


async def test_a_granted_probe_wakes_the_calls_that_wait_for_it() -> None:
    pacer = _pacer(10.0)
    pacer.close(Why.ACCOUNT_FULL)
    probe = await _permit(pacer)
    left: list[float] = []

    async def wait() -> None:
        await _permit(pacer)
        left.append(_now())

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        await anyio.sleep(2 * _HOUR)
        answered = _now()
        _answer(pacer, probe)
    assert left[0] - answered < 1


# Clocks that are set


class _SetClock:
    """A wall clock that is set `ahead` of its former time."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return _EPOCH + _now() + self.ahead


@pytest.mark.parametrize("ahead", [-3 * DAY, -_HOUR, 0.0, _HOUR, 3 * DAY])
async def test_a_clock_set_during_a_park_changes_only_the_reported_times(ahead: float) -> None:
    wall = _SetClock()
    governor = make_governor(1.0, daily_quota=2, earlier=[_EPOCH + 10 * _HOUR - DAY] * 2, now=_EPOCH)
    pacer = Pacer(governor, burst=None, clock=Clock(wall, _now))
    order, left = list[str](), list[float]()

    async def wait(name: str, *, retry: bool) -> None:
        await _permit(pacer, retry=retry)
        order.append(name)
        left.append(_now())

    async with anyio.create_task_group() as group:
        group.start_soon(partial(wait, "new", retry=False))
        await anyio.sleep(5 * _HOUR)
        group.start_soon(partial(wait, "retry", retry=True))
        assert pacer.view().parked_until == pytest.approx(_EPOCH + 10 * _HOUR, abs=0.01)
        wall.ahead = ahead
        view = pacer.view()
        assert (view.parked, view.counted) == (Why.DAILY_QUOTA, 2)
        assert view.next_call == view.parked_until, "it does not ask, it goes on"
        assert view.parked_until == pytest.approx(_EPOCH + 10 * _HOUR + ahead, abs=0.01)
        # Another run reads it by the clock of its own day, as it does the log.
        assert pacer.memory().at == pytest.approx(_EPOCH + 5 * _HOUR + ahead, abs=0.01)
    assert order == ["new", "retry"]
    assert left == [pytest.approx(10 * _HOUR, abs=1), pytest.approx(10 * _HOUR + 1, abs=1)]


async def test_calls_leave_the_window_by_the_steady_clock() -> None:
    wall = _SetClock()
    pacer = Pacer(make_governor(1.0, daily_quota=1, now=_EPOCH), burst=None, clock=Clock(wall, _now))
    _answer(pacer, await _permit(pacer))
    wall.ahead = 2 * DAY
    await _permit(pacer)
    assert _now() == pytest.approx(DAY, abs=1)


async def test_a_machine_that_slept_through_its_park_continues_soon_after() -> None:
    """The loop's timers do not count the sleep; the steady clock does."""
    slept = 0.0
    governor = make_governor(1.0, daily_quota=1, earlier=[10 * _HOUR - DAY])
    pacer = Pacer(governor, burst=None, clock=Clock(lambda: 0.0, lambda: _now() + slept))
    left: list[float] = []

    async def wait() -> None:
        await _permit(pacer)
        left.append(_now())

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        await anyio.sleep(_HOUR)
        slept = 12 * _HOUR
    assert left[0] < _HOUR + 60


# What is shown and logged


async def test_the_view_counts_calls_and_throttles() -> None:
    pacer = _pacer(10.0)
    assert pacer.view().throttled_hour is None
    for number in range(10):
        _answer(pacer, await _permit(pacer), Signal.THROTTLED if number == 5 else Signal.SUCCESS)
    view = pacer.view()
    assert (view.throttled_minute, view.throttled_hour, view.counted) == (0.1, 0.1, 9)
    await anyio.sleep(120)
    assert pacer.view().throttled_minute is None
    assert pacer.view().throttled_hour == 0.1


async def test_calls_that_never_arrived_do_not_count_in_the_shares() -> None:
    pacer = _pacer(10.0)
    permit = await _permit(pacer)
    pacer.observe(permit, Signal.IGNORED, sent_at=permit.at, counted=False)
    view = pacer.view()
    assert (view.throttled_hour, view.counted) == (None, 0)


@pytest.fixture
def logs() -> Iterator[list[MutableMapping[str, Any]]]:
    with capture_logs() as captured:
        yield captured


async def test_a_park_and_its_end_are_logged_once_each(logs: list[MutableMapping[str, Any]]) -> None:
    pacer = make_pacer(make_governor(1.0, daily_quota=2, earlier=[-_HOUR, -_HOUR + 1]), _now)
    for _ in range(2):
        pacer.unused(await _permit(pacer))
    assert [log["event"] for log in logs] == ["run.parked", "run.resumed"]
    assert (logs[0]["why"], logs[0]["until"]) == ("daily_quota", "1970-01-01T23:00:00Z")
    assert logs[0]["wait_s"] == 23 * _HOUR


async def test_a_short_wait_is_not_logged(logs: list[MutableMapping[str, Any]]) -> None:
    pacer = make_pacer(make_governor(1.0, daily_quota=2, earlier=[-DAY + 0.5, -DAY + 1]), _now)
    for _ in range(2):
        pacer.unused(await _permit(pacer))
    assert logs == []


async def test_each_cut_is_logged_once(logs: list[MutableMapping[str, Any]]) -> None:
    pacer = _pacer(10.0)
    flights = [await _permit(pacer) for _ in range(5)]
    _answer(pacer, flights[0])
    for permit in flights[1:]:
        _answer(pacer, permit, Signal.THROTTLED)
    assert [log["event"] for log in logs] == ["pacing.slowed"]


async def test_clocks_read_in_sequence_do_not_change_what_is_logged() -> None:
    """The wall clock and the steady one are microseconds apart, and every time others."""
    ticks = count()
    governor = make_governor(1.0, daily_quota=1, earlier=[_EPOCH], now=_EPOCH)
    clock = Clock(lambda: _EPOCH + next(ticks) * 1e-5, lambda: next(ticks) * 1e-5)
    pacer = Pacer(governor, burst=None, clock=clock)
    views = [pacer.view() for _ in range(20)]
    assert len({view.parked_until for view in views}) == 1
    assert all(view.parked_until == view.next_call for view in views)


# Changes by the operator during a run


async def test_no_call_leaves_during_a_pause() -> None:
    pacer = _pacer(10.0)
    await _permits(pacer, 1.0)
    pacer.pause()
    assert await _permits(pacer, _HOUR) == []
    assert pacer.view().paused
    pacer.resume()
    assert not pacer.view().paused
    assert len(await _permits(pacer, 1.0)) == pytest.approx(10, abs=1)


async def test_a_waiting_call_leaves_at_once_on_resume() -> None:
    pacer = _pacer(10.0)
    pacer.pause()
    async with anyio.create_task_group() as group:
        group.start_soon(_permit, pacer)
        await anyio.sleep(100.0)
        began = _now()
        pacer.resume()
    assert _now() - began < 0.2


async def test_a_pause_holds_back_a_call_that_waits_for_the_bucket() -> None:
    pacer = _pacer(0.1)
    await _permit(pacer)
    with anyio.move_on_after(_HOUR) as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(_permit, pacer)
            await anyio.sleep(5.0)
            pacer.pause()
    assert scope.cancelled_caught


async def test_a_new_rate_is_never_exceeded() -> None:
    pacer = _pacer(50.0)
    await _permits(pacer, 2.0)
    pacer.limit(5.0, seek=False)
    times = await _permits(pacer, 20.0)
    assert pacer.view().ceiling == 5.0
    assert len(times) == pytest.approx(100, abs=3)
    assert _most_over(times, 5.0) <= 2


async def test_a_call_that_waits_at_a_slow_rate_leaves_earlier_at_a_higher_one() -> None:
    pacer = _pacer(0.01)
    await _permit(pacer)
    async with anyio.create_task_group() as group:
        group.start_soon(_permit, pacer)
        await anyio.sleep(1.0)
        began = _now()
        pacer.limit(10.0, seek=False)
    assert _now() - began < 1.0


async def test_raising_the_rate_repeatedly_grants_no_extra_call() -> None:
    pacer = _pacer(2.0, burst=20.0)
    await _permits(pacer, 5.0)
    began, calls = _now(), 0

    async def call() -> None:
        nonlocal calls
        while True:
            pacer.unused(await _permit(pacer))
            calls += 1

    with anyio.move_on_after(10.0):
        async with anyio.create_task_group() as group:
            group.start_soon(call)
            while True:
                for rate in (1.9, 2.0):
                    pacer.limit(rate, seek=False)
                    await anyio.sleep(0.01)
    assert calls <= 2.0 * (_now() - began) + 1
