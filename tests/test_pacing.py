"""The controller as a function of its observations, and the pacer in virtual time."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import anyio
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from virtual_time import VIRTUAL_TIME, VirtualTimeLoop, running_loop

from bulk_invite.outcome import Signal
from bulk_invite.pacing.controller import RateController, RateLimits
from bulk_invite.pacing.pacer import Pacer

_RATES = st.floats(0.001, 5000)
_TIMES = st.floats(0, 100)
_SIGNALS = st.sampled_from(Signal)
_RETRY_AFTER = st.none() | st.floats(0, 5000)


@pytest.fixture(params=[VIRTUAL_TIME])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    return request.param


def _throttle(controller: RateController, at: float, sent_at: float | None = None) -> None:
    controller.observe(Signal.THROTTLED, sent_at=at if sent_at is None else sent_at, answered_at=at)


def _fixed(rate: float) -> RateController:
    return RateController(RateLimits(start=rate, ceiling=rate))


@given(start=_RATES, ceiling=_RATES, attempts=st.lists(st.tuples(_SIGNALS, _TIMES, _TIMES, _RETRY_AFTER)))
@example(start=0.01, ceiling=0.01, attempts=[(Signal.THROTTLED, 0.0, 0.0, None)])
def test_rate_is_never_above_its_ceiling_and_never_nothing(
    start: float, ceiling: float, attempts: list[tuple[Signal, float, float, float | None]]
) -> None:
    controller = RateController(RateLimits(start, ceiling))
    now = 0.0
    for signal, pause, round_trip, retry_after in attempts:
        now += pause
        assert 0 < controller.rate(now) <= ceiling
        controller.observe(signal, sent_at=now - round_trip, answered_at=now, retry_after=retry_after)
        assert 0 < controller.rate(now) <= ceiling


@given(start=_RATES, ceiling=_RATES, attempts=st.lists(st.tuples(_SIGNALS, _TIMES)))
def test_only_throttles_cut(start: float, ceiling: float, attempts: list[tuple[Signal, float]]) -> None:
    controller = RateController(RateLimits(start, ceiling))
    now = 0.0
    for signal, pause in attempts:
        now += pause
        before, silence = controller.rate(now), controller.earliest()
        controller.observe(signal, sent_at=now, answered_at=now)
        if signal is not Signal.THROTTLED:
            assert controller.rate(now) == before
            assert controller.earliest() == silence


@given(throttles=st.integers(1, 50), rate=_RATES)
def test_throttles_of_one_round_trip_cut_once(throttles: int, rate: float) -> None:
    once, often = _fixed(rate), _fixed(rate)
    _throttle(once, 10.0, sent_at=9.0)
    for number in range(throttles):
        _throttle(often, 10.0 + number / 1000, sent_at=9.0 + number / 1000)
    assert often.rate(10.0) == once.rate(10.0)
    assert often.earliest() == once.earliest()


def test_throttles_of_later_round_trips_cut_again_and_hold_longer() -> None:
    controller = _fixed(10.0)
    holds: list[float] = []
    for _ in range(6):
        now = controller.earliest() if holds else 0.0
        _throttle(controller, now)
        holds.append(controller.earliest() - now)
    assert controller.rate(controller.earliest()) == pytest.approx(10 * 0.7**6)
    assert holds == sorted(holds)
    assert max(holds) <= 8.0


def test_a_success_after_the_cut_makes_the_next_throttle_a_first_one() -> None:
    controller = _fixed(10.0)
    _throttle(controller, 0.0)
    first = controller.earliest()
    controller.observe(Signal.SUCCESS, sent_at=1.0, answered_at=1.1)
    controller.rate(60.0)  # back at the ceiling
    _throttle(controller, 60.0)
    assert controller.earliest() - 60.0 == pytest.approx(first)


@given(rate=st.floats(0.05, 5000), throttles=st.integers(1, 10))
def test_rate_recovers_to_the_ceiling(rate: float, throttles: int) -> None:
    controller = _fixed(rate)
    for number in range(throttles):
        _throttle(controller, number * 100.0, sent_at=number * 100.0 - 0.1)
    last = throttles * 100.0
    assert controller.rate(last + 1000.0) == rate


@given(retry_after=st.floats(0.001, 900), late=st.booleans(), rate=_RATES)
def test_retry_after_is_a_floor_even_for_a_throttle_that_does_not_cut(
    retry_after: float,
    late: bool,  # noqa: FBT001 - hypothesis passes it by name
    rate: float,
) -> None:
    controller = _fixed(rate)
    if late:
        _throttle(controller, 0.0)
    controller.observe(Signal.THROTTLED, sent_at=-1.0, answered_at=1.0, retry_after=retry_after)
    assert controller.earliest() >= 1.0 + retry_after


def test_a_rate_that_is_sought_doubles_every_second_until_its_ceiling() -> None:
    controller = RateController(RateLimits(start=1.0, ceiling=15.0))
    assert [controller.rate(second) for second in range(6)] == [1, 2, 4, 8, 15, 15]


def test_silence_is_no_time_to_grow() -> None:
    controller = RateController(RateLimits(start=1.0, ceiling=100.0))
    controller.rate(0.0)
    controller.observe(Signal.THROTTLED, sent_at=0.0, answered_at=0.0, retry_after=500.0)
    assert controller.rate(500.0) == pytest.approx(0.7)


def _pacer(rate: float | RateController, *, burst: float | None = None) -> Pacer:
    controller = rate if isinstance(rate, RateController) else _fixed(rate)
    return Pacer(controller, burst=burst, clock=running_loop().time)


async def _permits(pacer: Pacer, seconds: float) -> list[float]:
    """When calls might leave, asked for without a pause."""
    now = running_loop().time
    began, times = now(), []
    with anyio.move_on_after(seconds):
        while True:
            await pacer.permit(retry=False)
            times.append(now() - began)
    return times


def _most_over(times: list[float], rate: float) -> float:
    """By how many calls any stretch of time exceeds rate times its length."""
    most = lowest = 0.0
    for number, time in enumerate(times):
        debt = number - rate * time
        lowest = min(lowest, debt)
        most = max(most, debt + 1 - lowest)
    return most


@pytest.mark.anyio
@pytest.mark.parametrize(("rate", "seconds"), [(0.5, 600), (1, 600), (15, 600), (200, 60), (2000, 10)])
async def test_rate_is_held_evenly(rate: float, seconds: float) -> None:
    times = await _permits(_pacer(rate), seconds)
    assert len(times) == pytest.approx(rate * seconds, rel=0.005, abs=1 + rate * 0.05)
    assert _most_over(times, rate) <= max(1.0, rate * 0.05) + 0.01


@pytest.mark.anyio
@pytest.mark.parametrize(
    "anyio_backend", [("asyncio", {"loop_factory": partial(VirtualTimeLoop, granularity=0.001)})]
)
@pytest.mark.parametrize("rate", [15, 200, 2000])
async def test_rate_is_held_where_timers_are_a_millisecond_coarse(rate: float) -> None:
    times = await _permits(_pacer(rate), 20)
    assert len(times) == pytest.approx(rate * 20, rel=0.02)
    assert _most_over(times, rate) <= max(1.0, rate * 0.05) + rate * 0.001


@pytest.mark.anyio
async def test_burst_leaves_at_once_and_never_more_than_it() -> None:
    pacer = _pacer(2.0, burst=10)
    times = await _permits(pacer, 30)
    assert times[9] < 0.001
    assert times[10] == pytest.approx(0.5, abs=0.001)
    await anyio.sleep(3600)
    times += [30 + 3600 + time for time in await _permits(pacer, 30)]
    assert _most_over(times, 2.0) <= 10.01


@pytest.mark.anyio
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


@pytest.mark.anyio
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

    began = running_loop().time()
    async with anyio.create_task_group() as group:
        for number in range(4):
            group.start_soon(wait, number)
        await anyio.sleep(moment)
        scopes[cancelled].cancel()
    assert set(served) >= {0, 1, 2, 3} - {cancelled}
    assert running_loop().time() - began == pytest.approx(len(served), abs=1.01)
    with anyio.fail_after(5):
        await pacer.permit(retry=False)


@pytest.mark.anyio
async def test_a_throttle_silences_even_the_call_that_waits_for_its_share_already() -> None:
    pacer = _pacer(0.1)
    await pacer.permit(retry=False)
    left: list[float] = []

    async def wait() -> None:
        await pacer.permit(retry=False)
        left.append(running_loop().time())

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        await anyio.sleep(9)
        pacer.observe(Signal.THROTTLED, sent_at=running_loop().time(), retry_after=100)
    assert left[0] >= 109


@pytest.mark.anyio
async def test_calls_are_spaced_again_after_a_silence() -> None:
    pacer = _pacer(1.0)
    await pacer.permit(retry=False)
    pacer.observe(Signal.THROTTLED, sent_at=running_loop().time(), retry_after=100)
    times = await _permits(pacer, 110)
    assert times[0] >= 100
    assert all(later - earlier >= 1.0 for earlier, later in pairwise(times))


class _Bucket:
    """A server that answers after `round_trip` seconds, and throttles by a token bucket."""

    def __init__(self, rate: float, burst: float, round_trip: float) -> None:
        self.created = 0
        self.throttled = 0
        self._rate = rate
        self._burst = burst
        self._round_trip = round_trip
        self._level = burst
        self._at = 0.0
        self._random = random.Random(7)

    async def call(self, now: Callable[[], float]) -> Signal:
        await anyio.sleep(self._round_trip * self._random.uniform(0.25, 0.75))
        self._level = min(self._burst, self._level + (now() - self._at) * self._rate)
        self._at = now()
        enough = self._level >= 1
        self._level -= enough
        self.created += enough
        self.throttled += not enough
        await anyio.sleep(self._round_trip / 2)
        return Signal.SUCCESS if enough else Signal.THROTTLED

    def goodput(self, seconds: float) -> float:
        return self.created / (self._rate * seconds + self._burst)

    @property
    def throttled_share(self) -> float:
        return self.throttled / (self.created + self.throttled)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("server", "limits", "goodput", "throttled"),
    [
        pytest.param((10, 10, 0.1), (15, 15), 0.95, 0.01, id="too-fast-rate"),
        pytest.param((10, 10, 0.3), (15, 15), 0.90, 0.01, id="long-way"),
        pytest.param((10, 10, 0.1), (1, 15), 0.95, 0.01, id="auto"),
        pytest.param((1, 5, 0.1), (1, 15), 0.95, 0.08, id="slow-server"),
        pytest.param((50, 50, 0.1), (100, 100), 0.90, 0.01, id="fast-server"),
        pytest.param((10, 10, 0.1), (10, 10), 0.995, 0.0, id="exact-rate"),
    ],
)
async def test_goodput_against_a_token_bucket(
    server: tuple[float, float, float],
    limits: tuple[float, float],
    goodput: float,
    throttled: float,
) -> None:
    bucket, seconds, now = _Bucket(*server), min(1200.0, 6000.0 / server[0]), running_loop().time
    pacer = _pacer(RateController(RateLimits(*limits)))

    async def call() -> None:
        sent_at = now()
        pacer.observe(await bucket.call(now), sent_at=sent_at, retry_after=None)

    async with anyio.create_task_group() as group:
        with anyio.move_on_after(seconds):
            while True:
                await pacer.permit(retry=False)
                group.start_soon(call)
    print(f"goodput {bucket.goodput(seconds):.1%}, throttled {bucket.throttled_share:.1%}")
    assert bucket.goodput(seconds) >= goodput
    assert bucket.throttled_share <= throttled
