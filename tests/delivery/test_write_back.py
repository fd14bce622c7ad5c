"""How outcomes are written back, whatever happens to the table, the database and the run."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import pytest
from command import wait_until
from fakes import MemoryChanges, MemoryTable
from structlog.testing import capture_logs
from virtual_time import VIRTUAL_TIME, running_loop

from bulk_invite.delivery.tracking.stop_switch import StopSwitch
from bulk_invite.delivery.write_back import Target, WriteBack
from bulk_invite.domain.errors import BulkInviteError, SourceError
from bulk_invite.domain.verdicts import State

pytestmark = pytest.mark.anyio

HASTE = 50
"""How much faster than real time the clock of these tests runs, so that no test waits long."""


class Around:
    """A write-back and its surroundings; `run` in its own task, as beside a pipeline."""

    def __init__(self, *more: str) -> None:
        self.changes = MemoryChanges()
        self.stop = StopSwitch()
        self.tables = {source: MemoryTable(f"table of {source}") for source in ("rows", *more)}
        self.write_back = WriteBack(
            self.changes.page,
            [Target(*each) for each in self.tables.items()],
            self.stop,
            self.changes.uses,
            clock=lambda: HASTE * time.monotonic(),
        )

    @property
    def table(self) -> MemoryTable:
        return self.tables["rows"]

    def changed(self, *keys: int, state: State = State.CREATED, source: str = "rows") -> None:
        for key in keys:
            self.changes.change(str(key), state, source=source)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self.write_back.begin()
        async with anyio.create_task_group() as group:
            group.start_soon(self.write_back.run)
            try:
                yield
            finally:
                self.stop.drain()
                group.cancel_scope.cancel()


async def becomes(true: Callable[[], object]) -> None:
    await anyio.to_thread.run_sync(wait_until, true)


async def test_changes_are_written_as_they_happen_and_the_start_repairs_the_table() -> None:
    around = Around()
    around.changed(*range(1, 1201))
    async with around.running():
        await becomes(lambda: len(around.table.rows) == 1200)
        around.changed(7, 1201, state=State.FAILED)
        await becomes(lambda: around.table.rows == around.changes.states())
    assert around.table.sizes == [500, 500, 200, 2]
    assert around.table.rows["7"] is State.FAILED


async def test_a_change_while_another_table_is_written_is_not_missed() -> None:
    around = Around("others")
    around.tables["others"].away = True
    around.changed(1, source="others")
    async with around.running():
        await anyio.to_thread.run_sync(around.tables["others"].waiting.wait, 5)
        around.changed(1)
        around.tables["others"].away = False
        await becomes(lambda: around.table.rows)


async def test_nothing_is_written_before_the_checkpoint_is_opened() -> None:
    around = Around()
    around.changed(1)
    with anyio.move_on_after(0.05) as waited:
        await around.write_back.run()
    assert waited.cancelled_caught
    await around.write_back.finish()
    assert not around.changes.pages
    assert around.write_back.complete


async def test_without_a_table_there_is_nothing_to_do() -> None:
    write_back = WriteBack(MemoryChanges().page, [], StopSwitch(), lambda: 0)
    write_back.begin()
    await write_back.run()
    await write_back.finish()
    assert write_back.complete


async def test_at_the_end_everything_is_written_including_the_last_changes() -> None:
    around = Around("others")
    around.changed(*range(700))
    around.changed(1, 2, source="others")
    async with around.running():
        await becomes(lambda: around.tables["others"].rows)
        around.changed(3)
        around.changed(3, source="others")
        await around.write_back.finish()
        for source, table in around.tables.items():
            assert table.rows == around.changes.states(source)
            assert table.pauses == 1
    assert around.write_back.complete


async def test_at_the_end_the_run_waits_for_an_unreachable_database() -> None:
    around = Around()
    around.table.away = True
    around.changed(1)
    async with around.running(), anyio.create_task_group() as group:
        group.start_soon(around.write_back.finish)
        await anyio.to_thread.run_sync(around.table.waiting.wait, 5)
        await anyio.sleep(0.2)  # ten of the seconds that a last try gets
        assert not around.table.rows
        around.table.away = False
    assert around.table.rows == around.changes.states()
    assert around.write_back.complete


async def test_a_stop_during_that_wait_says_how_much_is_left() -> None:
    around = Around("others")
    around.tables["others"].away = True
    around.changed(*range(3))
    around.changed(*range(1100), source="others")
    with capture_logs() as logs:
        async with around.running(), anyio.create_task_group() as group:
            group.start_soon(around.write_back.finish)
            await anyio.to_thread.run_sync(around.tables["others"].waiting.wait, 5)
            around.stop.drain()
    assert around.table.rows == around.changes.states()
    assert [(each["event"], each["table"], each["rows"]) for each in logs] == [
        ("write_back.incomplete", "table of others", 1100)
    ]
    assert not around.write_back.complete


async def test_the_rest_is_counted_only_up_to_a_limit() -> None:
    around = Around()
    around.table.away = True
    around.changed(*range(10_001))
    around.write_back.begin()
    around.stop.drain()
    with capture_logs() as logs:
        await around.write_back.finish()
    assert logs[0]["rows"] == "10000 or more"
    assert len(around.changes.pages) == 21


async def test_a_stopped_run_still_writes_the_outcomes_of_its_last_calls() -> None:
    around = Around()
    async with around.running():
        await becomes(lambda: around.changes.pages)
        around.stop.drain()
        around.changed(*range(1300))
        await around.write_back.finish()
    assert around.table.rows == around.changes.states()
    assert around.write_back.complete


async def test_an_aborted_run_does_not_wait_for_the_database() -> None:
    around = Around()
    around.table.away = True
    around.changed(1)
    around.write_back.begin()
    around.stop.abort()
    with capture_logs() as logs, anyio.fail_after(1):
        await around.write_back.finish()
    assert [each["event"] for each in logs] == ["write_back.incomplete"]
    assert not around.table.waiting.is_set()


async def test_an_error_of_the_table_ends_the_run_and_keeps_the_rest_to_write() -> None:
    around = Around()
    around.changed(1)
    around.table.fails = SourceError("The table is gone.")
    around.write_back.begin()
    for part in (around.write_back.run, around.write_back.finish):
        with pytest.raises(BulkInviteError, match="is gone"):
            await part()
    around.table.fails = None
    await around.write_back.finish()
    assert around.table.rows == around.changes.states()


def test_an_idle_run_leaves_the_table_and_the_checkpoint_alone() -> None:
    around = Around()

    async def hours() -> None:
        running_loop().wait_for_threads_of(anyio.to_thread.current_default_thread_limiter())
        async with around.running():
            await anyio.sleep(3600)
            assert around.table.pauses == 1
            assert len(around.changes.pages) == 1  # nothing has used the checkpoint since
            around.changed(1)
            await anyio.sleep(2)
            assert around.table.rows == around.changes.states()

    backend, options = VIRTUAL_TIME
    anyio.run(hours, backend=backend, backend_options=options)
