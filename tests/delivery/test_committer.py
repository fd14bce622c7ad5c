from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio.abc import TaskGroup
from fakes import MemoryJournal, invitation

from bulk_invite.delivery.tracking.committer import Committer
from bulk_invite.domain.errors import CheckpointError
from bulk_invite.domain.events import Event, Sent

pytestmark = pytest.mark.anyio


def _sent(number: int) -> Sent:
    return Sent(f"token-{number}", float(number))


def _committer(journal: MemoryJournal) -> Committer:
    return Committer(journal, campaign="", retry_failed=False, elapsed=time.monotonic)


@asynccontextmanager
async def _running(committer: Committer) -> AsyncIterator[TaskGroup]:
    """A group in which the committer runs until the end of the block; without that it would never end."""
    async with anyio.create_task_group() as group:
        group.start_soon(committer.run)
        try:
            yield group
        finally:
            committer.close()


async def _until(reached: threading.Event) -> None:
    assert await anyio.to_thread.run_sync(reached.wait, 5)


async def test_commit_returns_only_when_the_event_is_written() -> None:
    gate = threading.Event()
    journal = MemoryJournal(gate=gate)
    committer = _committer(journal)
    returned = anyio.Event()

    async def commit() -> None:
        await committer.commit(_sent(1))
        assert journal.events == [_sent(1)]
        returned.set()

    async with _running(committer) as group:
        group.start_soon(commit)
        await _until(journal.entered)
        assert not returned.is_set()
        gate.set()
        await returned.wait()


async def test_events_that_arrive_together_share_a_transaction() -> None:
    journal = MemoryJournal()
    committer = _committer(journal)
    async with _running(committer), anyio.create_task_group() as commits:
        for number in range(5000):
            commits.start_soon(committer.commit, _sent(number))
    assert len(journal.writes) <= 3
    assert sorted(event.at for event in journal.events) == list(range(5000))


async def test_a_steady_stream_of_rows_shares_transactions_of_ten_milliseconds() -> None:
    journal = MemoryJournal()
    committer = _committer(journal)

    async def row(number: int) -> None:
        for step in range(5):
            await committer.commit(_sent(number * 100 + step))

    began = anyio.current_time()
    async with _running(committer):
        async with anyio.create_task_group() as rows:
            for number in range(50):
                rows.start_soon(row, number)
        took = anyio.current_time() - began
    assert len(journal.events) == 250
    assert len(journal.writes) <= 2 + took / 0.01


async def test_a_failed_write_reaches_every_current_and_later_waiter() -> None:
    gate = threading.Event()
    journal = MemoryJournal(fails_at=1, gate=gate)
    committer = _committer(journal)
    raised_texts: list[str] = []

    async def commit(number: int) -> None:
        with pytest.raises(CheckpointError) as raised:
            await committer.commit(_sent(number))
        raised_texts.append(str(raised.value))

    async with _running(committer) as group:
        group.start_soon(commit, 1)
        await _until(journal.entered)
        for number in range(2, 10):
            group.start_soon(commit, number)
        await anyio.lowlevel.checkpoint()
        gate.set()
    await commit(10)
    assert len(raised_texts) == 10
    assert set(raised_texts) == {"The disk is full (write 1)."}
    assert len(journal.writes) == 1, "nothing is written after a failed write"


async def test_a_sender_that_lost_the_checkpoint_writes_nothing() -> None:
    journal = MemoryJournal()
    committer = _committer(journal)
    async with _running(committer):
        await committer.prove(0.0)
        journal.taken_over = True
        with pytest.raises(CheckpointError, match="somebody else's"):
            await committer.prove(0.0)
        with pytest.raises(CheckpointError, match="somebody else's"):
            await committer.commit(_sent(1))
    assert journal.events == []


async def test_a_proof_cancelled_midway_leaves_the_journal_to_one_thread() -> None:
    """As aiohttp cancels the task that writes a request: by asyncio, past any shield of anyio."""
    inside, most = 0, 0

    class SlowJournal(MemoryJournal):
        def prove(self) -> None:
            nonlocal inside, most
            inside += 1
            begun.set()
            time.sleep(0.1)
            inside -= 1

        def record(self, events: Sequence[Event]) -> frozenset[str]:
            nonlocal most
            most = max(most, inside + 1)
            return super().record(events)

    begun = threading.Event()
    committer = _committer(SlowJournal())
    async with _running(committer):
        asking = asyncio.get_running_loop().create_task(committer.prove(0.0))
        await _until(begun)
        asking.cancel()
        await committer.commit(_sent(1))
        assert asking.cancelled()
    assert most == 1


async def test_a_proof_does_not_wait_for_the_commit_of_later_events() -> None:
    """On a slow disk that would make it as old as the commit took."""
    gate = threading.Event()
    journal = MemoryJournal(gate=gate)
    committer = _committer(journal)
    async with anyio.create_task_group() as group:
        group.start_soon(committer.commit, _sent(1))
        group.start_soon(committer.prove, 0.0)
        await anyio.wait_all_tasks_blocked()
        async with _running(committer):
            await _until(journal.entered)
            assert (journal.proofs, journal.events) == (1, [])
            gate.set()
    assert len(journal.events) == 1


async def test_a_cancelled_waiter_returns_only_when_its_event_is_written() -> None:
    gate = threading.Event()
    journal = MemoryJournal(gate=gate)
    committer = _committer(journal)
    returned: list[bool] = []

    async def commit(number: int) -> None:
        returned.append(await committer.commit(_sent(number)))
        await anyio.lowlevel.checkpoint()
        raise AssertionError("the cancellation comes again")

    async with _running(committer):
        async with anyio.create_task_group() as waiters:
            waiters.start_soon(commit, 1)
            await _until(journal.entered)
            waiters.start_soon(commit, 2)
            await anyio.lowlevel.checkpoint()
            waiters.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                await anyio.lowlevel.checkpoint()
            assert returned == []
            gate.set()
        assert journal.events == [_sent(1), _sent(2)]
    assert returned == [True, True]


async def test_a_cancelled_committer_writes_its_events_and_then_ends() -> None:
    journal = MemoryJournal()
    committer = _committer(journal)
    async with _running(committer) as group:
        with anyio.CancelScope(shield=True):
            async with anyio.create_task_group() as waiters:
                waiters.start_soon(committer.commit, _sent(1))
                await anyio.lowlevel.checkpoint()
                group.cancel_scope.cancel()
                waiters.start_soon(committer.commit, _sent(2))
    assert journal.events == [_sent(1), _sent(2)]


async def test_no_caller_waits_for_a_committer_that_has_ended() -> None:
    committer = _committer(MemoryJournal())
    committer.close()
    await committer.run()
    with pytest.raises(CheckpointError):
        await committer.commit(_sent(1))


class _Broken(MemoryJournal):
    def record(self, events: object) -> frozenset[str]:
        del events
        raise ZeroDivisionError


async def test_a_bug_in_the_journal_is_raised_and_leaves_no_caller_waiting() -> None:
    committer = _committer(_Broken())
    failures: list[BaseException] = []

    async def commit() -> None:
        try:
            with anyio.CancelScope(shield=True):
                await committer.commit(_sent(1))
        except CheckpointError as error:
            failures.append(error)

    async def both() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(committer.run)
            group.start_soon(commit)

    with pytest.raises(ExceptionGroup) as raised:
        await both()
    assert raised.group_contains(ZeroDivisionError)
    assert len(failures) == 1


async def test_admission_and_commits_never_touch_the_journal_at_the_same_time() -> None:
    journal = MemoryJournal()  # asserts it
    committer = _committer(journal)
    async with _running(committer), anyio.create_task_group() as users:
        for number in range(100):
            users.start_soon(committer.commit, _sent(number))
            users.start_soon(committer.admit, [invitation(f"other-{number}")])
    assert len(journal.rows) == 200
