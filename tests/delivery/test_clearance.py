"""From a decision to its first byte: whatever happens in between, no call leaves without clearance."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable

import anyio
import pytest
from fakes import CONFLICT, FULL, SERVER_ERROR, Call, MemoryJournal, ScriptedSender, arrival, created
from runs import EPOCH, HOUR, Run
from structlog.testing import capture_logs
from virtual_time import VIRTUAL_TIME

from bulk_invite.delivery.sending.may_call import PROOF_LIFETIME
from bulk_invite.delivery.sending.permits import Patience, Waits
from bulk_invite.delivery.tracking.committer import Committer
from bulk_invite.domain.backoff import Backoff
from bulk_invite.domain.errors import CheckpointError
from bulk_invite.domain.events import Sent
from bulk_invite.domain.verdicts import State

pytestmark = pytest.mark.anyio

_BACKOFF = Backoff(0.2, 20.0)
Wait = Callable[[], Awaitable[None]]


@pytest.fixture
def anyio_backend() -> object:
    return VIRTUAL_TIME


async def _at_once() -> None:
    await anyio.lowlevel.checkpoint()


def _sleep(seconds: float) -> Wait:
    async def sleep() -> None:
        await anyio.sleep(seconds)

    return sleep


class Delays:
    """How long a row's calls wait before their clearance is renewed and after it, in seconds, in order."""

    def __init__(self, **waits: list[tuple[float, float]]) -> None:
        self._waits = waits

    def __call__(self, call: Call) -> tuple[Wait, Wait]:
        before, after = self._waits[call.token].pop(0) if self._waits.get(call.token) else (0.0, 0.0)
        return _sleep(before), _sleep(after)


async def test_a_call_that_waits_long_for_its_connection_leaves_on_a_fresh_proof() -> None:
    sender = ScriptedSender(on_the_way=Delays(t1=[(50.0, 0.0)]))
    run = await Run(["t1"], sender).go()
    assert run.journal.outcomes("t1") == ["sent", "created"]
    assert run.journal.proofs == 1


async def test_one_proof_serves_all_calls_that_wait_for_it() -> None:
    tokens = [f"t{each}" for each in range(8)]
    sender = ScriptedSender(on_the_way=Delays(**{token: [(20.0, 0.0)] for token in tokens}))
    run = await Run(tokens, sender, rate=1000.0).go()
    assert len(run.outlet.created_rows) == 8
    assert run.journal.proofs == 1


async def test_commits_count_as_proofs_so_a_busy_run_needs_no_others() -> None:
    run = await Run([f"t{each}" for each in range(50)], rate=20.0).go()
    assert run.journal.proofs == 0


@pytest.mark.parametrize("late", [PROOF_LIFETIME + 0.1, 9 * HOUR])
async def test_a_machine_that_slept_before_the_first_byte_sends_nothing_on_the_old_proof(late: float) -> None:
    sender = ScriptedSender(on_the_way=Delays(t1=[(0.0, late)]))
    run = await Run(["t1"], sender).go()
    assert sender.withheld == [("t1", "CheckpointNotProven")]
    assert run.journal.outcomes("t1") == ["sent", "withheld", "sent", "created"]
    assert [call.began for call in sender.calls] == pytest.approx([late], abs=1)
    # A withheld call is no attempt: neither of the row, nor of the run, nor of the day.
    assert run.journal.rows["t1"].attempts == run.tally.counts.attempts == 1
    assert run.governor_now.memory(late).counted == 1


async def test_a_proof_is_valid_until_its_last_moment() -> None:
    run = await Run(["t1"], ScriptedSender(on_the_way=Delays(t1=[(0.0, PROOF_LIFETIME - 0.1)]))).go()
    assert run.journal.outcomes("t1") == ["sent", "created"]


async def test_a_sender_whose_checkpoint_was_taken_over_while_it_slept_sends_nothing() -> None:
    journal = MemoryJournal()

    def taken_over(_: Call) -> tuple[Wait, Wait]:
        async def sleep() -> None:
            await anyio.sleep(20)
            journal.taken_over = True

        return sleep, _at_once

    run = await Run(["t1", "t2"], ScriptedSender(on_the_way=taken_over), journal).fails(CheckpointError)
    assert run.sender.calls == []
    assert run.journal.rows["t1"].state is State.IN_DOUBT, "the sender that has taken over continues with it"


async def test_a_retry_whose_token_becomes_too_old_on_its_way_is_looked_up() -> None:
    """Decided within the token's life; then the commit of its intent took until after it."""
    sender = ScriptedSender(
        {"t1": [SERVER_ERROR, CONFLICT]},
        on_the_way=Delays(t1=[(0.0, 0.0), (200.0, 0.0)]),
        arrived=[arrival("t1", EPOCH + 0.1)],
    )
    run = await Run(["t1"], sender, token_lifetime=180.0).go()
    assert sender.withheld == [("t1", "IntentTooOld")]
    assert len(sender.calls) == 1, "another one might have invited twice"
    assert run.journal.rows["t1"].invitation_id == "engi-t1-1"


@pytest.mark.parametrize(("waited", "calls"), [(40.0, 2), (55.0, 1)])
async def test_a_retry_must_arrive_while_the_service_remembers_its_token(waited: float, calls: int) -> None:
    """The service forgets after 100 s, and a call may take 60 s; half of the time is left for repeats."""
    sender = ScriptedSender(
        {"t1": [SERVER_ERROR, created("t1")]},
        on_the_way=Delays(t1=[(0.0, 0.0), (waited, 0.0)]),
        arrived=[arrival("t1", EPOCH + 0.1)],
    )
    run = await Run(["t1"], sender, token_lifetime=100.0).go()
    assert len(sender.calls) == calls
    assert sender.withheld == [("t1", "TokenTooOld")] * (2 - calls)
    assert run.journal.rows["t1"].state is State.CREATED


async def test_an_engagement_that_becomes_full_meanwhile_withholds_the_call() -> None:
    sender = ScriptedSender(
        {"t1": [FULL], "t2": [FULL]}, on_the_way=Delays(t2=[(10.0, 0.0)]), otherwise=lambda _: FULL
    )
    run = await Run(["t1 eng", "t2 eng"], sender, rate=1000.0).go()
    assert ("t2", "EngagementFull") in sender.withheld
    assert sender.calls_of("t2") == [], "it is asked once more at the end, by t1"
    assert run.journal.rows["t2"].state is State.DEFERRED


async def test_no_call_leaves_once_the_run_drains() -> None:
    run = Run(["t1", "t2"], ScriptedSender(on_the_way=Delays(t1=[(5.0, 0.0)], t2=[(5.0, 0.0)])))
    await run.when(2.0, run.stop.drain)
    assert run.sender.calls == []
    assert run.journal.states() == {"t1": State.PENDING, "t2": State.PENDING}
    assert run.tally.counts.attempts == 0


async def test_an_intent_a_minute_old_is_written_anew() -> None:
    """A look-up after a crash relies on the call having left soon after the date of its intent."""
    sender = ScriptedSender(on_the_way=Delays(t1=[(61.0, 0.0)]))
    run = await Run(["t1"], sender).go()
    assert sender.withheld == [("t1", "IntentTooOld")]
    sent = [event.at for event in run.journal.events if isinstance(event, Sent)]
    assert sent == pytest.approx([EPOCH, EPOCH + 61], abs=1)
    assert run.journal.rows["t1"].state is State.CREATED


async def test_a_withheld_probe_lets_another_row_probe() -> None:
    """The service fails for half a minute; some of the probes are withheld."""

    def on_the_way(call: Call) -> tuple[Wait, Wait]:
        return _at_once, _sleep(PROOF_LIFETIME + 1) if 10 < call.began < 20 else _at_once

    sender = ScriptedSender(
        otherwise=lambda call: SERVER_ERROR if call.began < 30 else created(call.token), on_the_way=on_the_way
    )
    with capture_logs() as logs:
        run = await Run([f"t{each}" for each in range(12)], sender, tries=50, in_flight=12).go()
    assert any(log["event"] == "endpoint.failing" for log in logs), "single calls probe"
    assert sender.withheld
    assert set(run.journal.states().values()) == {State.CREATED}


async def test_a_repeatedly_withheld_call_is_logged_and_retried_ever_more_rarely() -> None:
    """If every proof takes longer than it is valid, no call can leave: the log must say why."""
    sender = ScriptedSender(on_the_way=lambda _: (_at_once, _sleep(PROOF_LIFETIME + 0.1)))
    run = Run(["t1"], sender)
    with capture_logs() as logs:
        await run.when(600.0, run.stop.drain)
    assert sender.calls == []
    assert 20 < len(sender.withheld) < 60
    warnings = [(log["event"], log["reason"]) for log in logs if log["log_level"] == "warning"]
    assert warnings == [("call.withheld", "CheckpointNotProven")]


async def test_a_drain_right_before_an_intent_returns_the_permit() -> None:
    class Sender(ScriptedSender):
        @property
        def is_ready(self) -> bool:
            return False

        async def ready(self) -> None:
            run.stop.drain()

    run = Run(["t1"], Sender())
    await run.go()
    assert run.journal.states() == {"t1": State.PENDING}
    assert run.journal.outcomes("t1") == [], "no intent"
    assert run.governor_now.memory(1.0).counted == 0, "no call of the day"


def test_the_time_during_which_a_row_may_be_called_again() -> None:
    def repeatable_for(token_lifetime: float, call_timeout: float) -> float:
        return Patience(1, token_lifetime, call_timeout, Waits(*[_BACKOFF] * 3)).repeatable_for

    assert repeatable_for(8 * HOUR, 30.0) == 8 * HOUR - 30
    assert repeatable_for(3.0, 1.0) == 2.0
    assert repeatable_for(1.0, 30.0) == 0.5


async def test_the_age_of_a_proof_counts_from_its_start() -> None:
    """A proof from before a long wait for a lock is not valid after it."""
    gate, now = threading.Event(), [100.0]
    journal = MemoryJournal(gate=gate)
    committer = Committer(journal, campaign="", retry_failed=False, elapsed=lambda: now[0])

    def wait() -> None:
        assert journal.entered.wait(5)
        now[0] = 106.0
        gate.set()

    async with anyio.create_task_group() as group:
        group.start_soon(committer.run)
        group.start_soon(anyio.to_thread.run_sync, wait)
        await committer.commit(Sent("t1", 0.0))
        committer.close()
    assert committer.proof_age() == 6.0
