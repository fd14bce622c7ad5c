"""The number of rows in flight, also when its limit changes."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import pytest
from virtual_time import VIRTUAL_TIME

from bulk_invite.delivery.worker_pool import InFlight, WorkerPool

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> object:
    return VIRTUAL_TIME


class Work:
    """A number of rows of one second each."""

    def __init__(self, pieces: int) -> None:
        self.left = pieces
        self.at_once: list[int] = []
        self._now = 0

    async def __call__(self, has_room: Callable[[], bool]) -> None:
        while has_room() and self.left:
            self.left -= 1
            self._now += 1
            self.at_once.append(self._now)
            await anyio.sleep(1.0)
            self._now -= 1


async def pool_of(work: Work, in_flight: InFlight, *, max_workers: int = 1000) -> float:
    """Seconds until all is done."""
    began = anyio.current_time()
    async with anyio.create_task_group() as group:
        await WorkerPool(group, in_flight, work, max_workers=max_workers).run()
    return anyio.current_time() - began


async def test_the_pool_runs_up_to_its_limit_of_rows() -> None:
    work = Work(100)
    assert await pool_of(work, InFlight(10)) == pytest.approx(10.0, abs=0.01)
    assert max(work.at_once) == 10


async def test_the_pool_starts_no_more_workers_than_it_needs() -> None:
    work = Work(3)
    assert await pool_of(work, InFlight(10), max_workers=3) == pytest.approx(1.0, abs=0.01)
    assert work.at_once == [1, 2, 3]


async def test_a_raised_limit_takes_effect_at_once_and_a_lowered_one_as_rows_end() -> None:
    work, in_flight = Work(100), InFlight(2)
    async with anyio.create_task_group() as group:
        group.start_soon(pool_of, work, in_flight)
        await anyio.sleep(2.5)
        assert max(work.at_once) == 2
        in_flight.change(20)
        await anyio.sleep(1.0)
        assert max(work.at_once) == 20
        in_flight.change(1)
        await anyio.sleep(1.5)
        del work.at_once[:]
        await anyio.sleep(5.0)
        assert max(work.at_once) == 1
        work.left = 0


async def test_no_worker_starts_after_all_have_ended() -> None:
    work, in_flight = Work(5), InFlight(2)
    await pool_of(work, in_flight)
    work.left = 5
    in_flight.change(50)
    await anyio.sleep(1.0)
    assert work.left == 5
