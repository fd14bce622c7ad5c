"""A permit without a wait: never another one than `permit` would give, and never out of turn."""

from __future__ import annotations

from functools import partial
from random import Random

import anyio
import pytest
from pacers import make_governor, make_pacer
from structlog.testing import capture_logs
from virtual_time import VIRTUAL_TIME, running_loop

from bulk_invite.domain.verdicts import Signal
from bulk_invite.pacing.pacer import Pacer
from bulk_invite.pacing.parking import Permit, Why

pytestmark = pytest.mark.anyio

_SIGNALS = (Signal.SUCCESS, Signal.SUCCESS, Signal.SUCCESS, Signal.IGNORED, Signal.THROTTLED)


@pytest.fixture
def anyio_backend() -> object:
    return VIRTUAL_TIME


def _now() -> float:
    return running_loop().time()


async def _after_waiting(pacer: Pacer) -> Permit | None:
    """What `permit` gives before its first wait."""
    with anyio.move_on_after(0):
        return await pacer.permit(retry=False)
    return None


def _answer(pacer: Pacer, permit: Permit, signal: Signal) -> None:
    pacer.observe(permit, signal, sent_at=permit.at, counted=signal is not Signal.THROTTLED)


@pytest.mark.parametrize("seed", range(10))
async def test_it_is_the_permit_that_waiting_would_give(seed: int) -> None:
    chance = Random(seed)
    quota, start = chance.choice([None, 20]), chance.choice([None, 1.0])
    governors = [make_governor(50.0, start=start, daily_quota=quota) for _ in range(2)]
    one, other = (make_pacer(each, _now) for each in governors)
    in_flight = list[Permit]()
    given = 0
    for _ in range(300):
        await anyio.sleep(chance.choice([0.0, 0.01, 0.3, 20.0]))
        if in_flight and chance.random() < 0.6:
            permit, signal = in_flight.pop(chance.randrange(len(in_flight))), chance.choice(_SIGNALS)
            for pacer in (one, other):
                _answer(pacer, permit, signal)
        for do in chance.choices([Pacer.pause, Pacer.resume, None], [1, 3, 20]):
            for pacer in (one, other):
                if do is not None:
                    do(pacer)
        at_once = one.permit_at_once()
        assert at_once == await _after_waiting(other)
        if at_once is not None:
            given += 1
            in_flight.append(at_once)
    assert given > 5


async def test_it_does_not_go_before_a_row_that_waits() -> None:
    pacer = make_pacer(10.0, _now)
    pacer.pause()
    async with anyio.create_task_group() as group:
        group.start_soon(partial(pacer.permit, retry=True))
        await anyio.sleep(1.0)
        pacer.resume()
        assert (
            pacer.permit_at_once() is None
        )  # the call is due, and the row that waits for it has not run yet
        await anyio.sleep(0.01)
    await anyio.sleep(1.0)
    assert pacer.permit_at_once() is not None


async def test_the_success_that_uses_up_the_day_parks_the_call_that_waits() -> None:
    pacer = make_pacer(make_governor(10.0, daily_quota=2), _now)
    permits = [await pacer.permit(retry=False) for _ in range(2)]
    with capture_logs() as logs:
        async with anyio.create_task_group() as group:
            group.start_soon(partial(pacer.permit, retry=False))
            await anyio.sleep(1.0)
            for permit in permits:
                assert permit is not None
                _answer(pacer, permit, Signal.SUCCESS)
            await anyio.sleep(0.1)
            group.cancel_scope.cancel()
    assert [(each["event"], each["why"]) for each in logs] == [("run.parked", Why.DAILY_QUOTA)]
