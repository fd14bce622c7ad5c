"""Whole runs with fakes around them, in virtual time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from itertools import count, pairwise

import anyio
import pytest
from fakes import (
    CONFLICT,
    DENIED,
    DOWN,
    EXPIRED,
    FULL,
    REFUSED,
    RESET,
    SERVER_ERROR,
    THROTTLED,
    Call,
    Entry,
    ListSource,
    MemoryJournal,
    Reply,
    ScriptedSender,
    TinyValidator,
    arrival,
    created,
    row,
)
from pacers import make_governor
from runs import EPOCH, HOUR, Run
from structlog.testing import capture_logs
from virtual_time import VIRTUAL_TIME

from bulk_invite.delivery.lookup.queries import LOOK_UP_DENIED
from bulk_invite.delivery.pipeline import FailureLimit
from bulk_invite.domain.clearance import Clearance
from bulk_invite.domain.errors import (
    CheckpointError,
    ResultsError,
    SenderError,
    SourceError,
    TooManyFailuresError,
)
from bulk_invite.domain.findings import Page
from bulk_invite.domain.rows import Invitation, Row
from bulk_invite.domain.verdicts import Answer, HttpAnswer, NoAnswer, State

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> object:
    return VIRTUAL_TIME


def _rows(number: int) -> list[str]:
    return [f"t{each}" for each in range(1, number + 1)]


def _state(run: Run, token: str) -> State:
    return run.journal.rows[token].state


# The way of one row


async def test_every_row_is_settled_and_reported() -> None:
    run = await Run(["t1", "bad", "t2", "t1", "t3"]).go()
    assert run.finished
    assert run.outlet.created_rows == {f"t{each}": f"engi-t{each}" for each in (1, 2, 3)}
    assert run.outlet.rejected_lines == [2]
    counts = run.tally.counts
    assert (counts.rows, counts.attempts, counts.ended_now) == (5, 3, 3)
    assert counts.states[State.DUPLICATE] == 1
    assert [call.token for call in run.sender.calls] == ["t1", "t2", "t3"]


async def test_nothing_to_send() -> None:
    assert (await Run([]).go()).finished
    assert (await Run(["bad"]).go()).finished


async def test_the_rate_is_kept() -> None:
    run = await Run(_rows(100), rate=5.0).go()
    assert run.took == pytest.approx(99 / 5, abs=0.5)
    starts = [call.began for call in run.sender.calls]
    assert all(later - earlier > 0.19 for earlier, later in pairwise(starts))


async def test_a_throttled_row_is_retried_with_the_same_body_without_limit() -> None:
    sender = ScriptedSender({"t1": [THROTTLED] * 30 + [created("t1")]})
    run = await Run(["t1 eng some body"], sender, tries=3).go()
    assert _state(run, "t1") is State.CREATED
    assert len({call.body for call in sender.calls}) == 1
    assert (run.tally.counts.throttled, run.tally.counts.attempts) == (30, 31)
    assert run.journal.outcomes("t1") == ["sent", "throttled"] * 30 + ["sent", "created"]


@pytest.mark.parametrize("doubt", [SERVER_ERROR, RESET])
async def test_a_row_in_doubt_is_retried_with_the_same_body(doubt: Reply) -> None:
    sender = ScriptedSender({"t1": [doubt, doubt, created("t1")]})
    run = await Run(["t1 eng body"], sender).go()
    assert run.journal.outcomes("t1") == ["sent", "doubtful"] * 2 + ["sent", "created"]
    assert run.journal.rows["t1"].doubt_since is None


async def test_a_row_that_falls_into_doubt_too_often_is_left_in_doubt() -> None:
    run = await Run(["t1"], ScriptedSender({"t1": [SERVER_ERROR]}), tries=4).go()
    assert len(run.sender.calls) == 4
    assert run.journal.rows["t1"].doubt_since == pytest.approx(EPOCH, abs=1)
    assert _state(run, "t1") is State.IN_DOUBT
    assert run.finished, "all that this run can do is done"


async def test_retries_keep_to_the_rate_too() -> None:
    sender = ScriptedSender({token: [SERVER_ERROR, created(token)] for token in _rows(5)})
    await Run(_rows(5), sender, rate=1.0).go()
    starts = [call.began for call in sender.calls]
    assert len(starts) == 10
    assert all(later - earlier > 0.95 for earlier, later in pairwise(starts))


async def test_throttles_do_not_count_against_the_retries_of_doubt() -> None:
    sender = ScriptedSender({"t1": [*[THROTTLED] * 10, SERVER_ERROR, created("t1")]})
    run = await Run(["t1"], sender, tries=2).go()
    assert _state(run, "t1") is State.CREATED


async def test_the_log_line_of_a_row_omits_attempts_that_never_left() -> None:
    with capture_logs() as logs:
        await Run(["t1"], ScriptedSender({"t1": [DOWN, DOWN, created("t1")]})).go()
    assert [line["attempts"] for line in logs if line["event"] == "invitation.created"] == [1]


async def test_a_throttle_after_doubt_keeps_the_doubt() -> None:
    sender = ScriptedSender({"t1": [SERVER_ERROR, THROTTLED, CONFLICT]}, reads=[DENIED])
    run = await Run(["t1"], sender).go()
    assert _state(run, "t1") is State.IN_DOUBT
    assert run.journal.rows["t1"].doubt_since == pytest.approx(EPOCH, abs=1)


@pytest.mark.parametrize(
    ("replies", "state"),
    [
        ([CONFLICT], State.FAILED),
        ([SERVER_ERROR, CONFLICT], State.IN_DOUBT),
        ([REFUSED], State.FAILED),
        ([SERVER_ERROR, REFUSED], State.IN_DOUBT),
        ([FULL], State.DEFERRED),
        ([SERVER_ERROR, FULL], State.IN_DOUBT),
        ([THROTTLED, CONFLICT], State.FAILED),
        ([DOWN, CONFLICT], State.FAILED),
    ],
)
async def test_the_outcomes_of_a_row(replies: Sequence[Reply], state: State) -> None:
    run = await Run(["t1"], ScriptedSender({"t1": replies}, reads=[DENIED])).go()
    assert _state(run, "t1") is state
    assert run.finished
    # A full engagement is asked once more at the end.
    assert len(run.sender.calls) == len(replies) + (state is State.DEFERRED)


@pytest.mark.parametrize(
    ("reply", "here", "state"),
    [
        (CONFLICT, True, State.CREATED),
        (CONFLICT, False, State.FAILED),
        (FULL, True, State.CREATED),
        (FULL, False, State.DEFERRED),
        (REFUSED, True, State.CREATED),
        (REFUSED, False, State.FAILED),
        (SERVER_ERROR, True, State.CREATED),
        (SERVER_ERROR, False, State.IN_DOUBT),
    ],
)
async def test_a_look_up_decides_on_a_refusal_after_doubt(reply: Reply, state: State, *, here: bool) -> None:
    arrived = [arrival("t1", EPOCH + 0.1)] if here else []
    sender = ScriptedSender({"t1": [SERVER_ERROR, SERVER_ERROR, reply]}, arrived=arrived)
    run = await Run(["t1"], sender, tries=3).go()
    assert _state(run, "t1") is state
    assert run.finished
    assert run.journal.rows["t1"].invitation_id == ("engi-t1-1" if here else "")
    # Absence does not count before the lists had time to show the invitation.
    assert (run.took > 60) == (not here and reply is not SERVER_ERROR)


async def test_a_refused_row_is_reported_with_its_errors() -> None:
    run = await Run(_rows(3), ScriptedSender({"t2": [REFUSED]})).go()
    assert isinstance(REFUSED.errors, tuple)
    assert run.outlet.failed_rows == {"t2": REFUSED.errors}
    assert run.tally.counts.failed_now == 1


async def test_other_rows_of_a_full_engagement_are_deferred_without_a_call() -> None:
    rows = [f"t{each} full" for each in range(1, 21)] + [f"u{each} roomy" for each in range(1, 4)]
    sender = ScriptedSender({f"t{each}": [FULL] for each in range(1, 21)}, seconds=0.01)
    run = await Run(rows, sender, in_flight=1).go()
    assert [call.token for call in sender.calls] == ["t1", "u1", "u2", "u3", "t1"], (
        "one call, and one at the end"
    )
    assert run.tally.counts.states == {
        State.DEFERRED: 20,
        State.CREATED: 3,
        State.PENDING: 0,
        State.IN_DOUBT: 0,
    }
    assert run.took < 1, "rows without a call take no permit"


# An endpoint that is down


def _one_at_a_time(calls: Sequence[Call]) -> bool:
    return all(
        earlier.ended is not None and earlier.ended <= later.began for earlier, later in pairwise(calls)
    )


def _down_until(moment: float) -> Callable[[Call], Reply]:
    return lambda call: DOWN if anyio.current_time() < moment else created(call.token)


async def test_a_dead_endpoint_is_probed_by_one_call_at_a_time_and_fails_no_row() -> None:
    sender = ScriptedSender(otherwise=_down_until(2 * HOUR))
    run = await Run(_rows(30), sender, tries=1).go()
    assert run.tally.counts.states[State.CREATED] == 30
    assert run.tally.counts.attempts == 30
    assert {entry.attempts for entry in run.journal.rows.values()} == {1}
    assert {entry.doubt_since for entry in run.journal.rows.values()} == {None}
    during = [call for call in sender.calls if 2 < call.began < 2 * HOUR]
    assert _one_at_a_time(during)
    assert 2 * HOUR / 31 < len(during) < 2 * HOUR / 10
    assert 2 * HOUR < run.took < 2 * HOUR + 60


async def test_calls_in_flight_when_the_endpoint_dies_fail_once_each() -> None:
    sender = ScriptedSender(otherwise=_down_until(600), seconds=1.0)
    await Run(_rows(8), sender, rate=100).go()
    early = [call.token for call in sender.calls if call.began < 1.0]
    assert sorted(early) == sorted(_rows(8))
    later = [call for call in sender.calls if 1.5 < call.began < 595]
    assert _one_at_a_time(later)
    assert len(later) < 600 / 14


async def test_rows_that_wait_for_a_permit_when_the_endpoint_dies_do_not_call_it() -> None:
    sender = ScriptedSender(otherwise=_down_until(600))
    run = await Run(_rows(8), sender, rate=0.5).go()
    assert len({call.token for call in sender.calls if call.began < 600}) == 1
    assert run.tally.counts.states[State.CREATED] == 8


async def test_a_second_outage_has_a_single_probe_too() -> None:
    def up_for_a_moment(call: Call) -> Reply:
        now = anyio.current_time()
        return created(call.token) if 300 < now < 302 or now > 600 else DOWN

    sender = ScriptedSender(otherwise=up_for_a_moment)
    run = await Run(_rows(60), sender, in_flight=4).go()
    assert run.tally.counts.states[State.CREATED] == 60
    during = [call for call in sender.calls if 310 < call.began < 595]
    assert _one_at_a_time(during)


async def test_a_probe_whose_token_grows_too_old_hands_over() -> None:
    journal = MemoryJournal()
    journal.rows["t1"] = Entry(_hash("t1"), State.IN_DOUBT, doubt_since=EPOCH - 7.9 * HOUR)
    sender = ScriptedSender(otherwise=_down_until(HOUR), reads=[DENIED])
    run = await Run(_rows(5), sender, journal).go()
    assert _state(run, "t1") is State.IN_DOUBT
    assert "withheld" not in run.journal.outcomes("t1"), "no call of it is even begun"
    assert {_state(run, token) for token in _rows(5)[1:]} == {State.CREATED}


async def test_doubt_from_before_an_outage_remains_after_it() -> None:
    sender = ScriptedSender({"t1": [SERVER_ERROR, DOWN, DOWN, CONFLICT]}, reads=[DENIED])
    run = await Run(["t1"], sender).go()
    assert _state(run, "t1") is State.IN_DOUBT


# A sender that is refused


async def test_refused_credentials_stop_the_run_and_change_no_row() -> None:
    run = await Run(_rows(50), ScriptedSender(otherwise=lambda _: EXPIRED)).fails(SenderError)
    assert set(run.journal.states().values()) == {State.PENDING}
    assert {entry.attempts for entry in run.journal.rows.values()} == {0}
    assert not run.finished
    assert len(run.sender.calls) <= 8


async def test_expired_credentials_leave_rows_in_doubt() -> None:
    run = await Run(["t1"], ScriptedSender({"t1": [SERVER_ERROR, EXPIRED]})).fails(SenderError)
    assert _state(run, "t1") is State.IN_DOUBT


async def test_denials_from_the_start_stop_the_run_and_fail_no_row() -> None:
    run = await Run(_rows(50), ScriptedSender(otherwise=lambda _: DENIED)).fails(SenderError)
    assert set(run.journal.states().values()) == {State.PENDING}
    assert len(run.sender.calls) <= 20 + 1


async def test_a_forbidden_engagement_at_the_top_of_the_source_does_not_stop_the_run() -> None:
    rows = _rows(20)
    run = await Run(rows, ScriptedSender({token: [DENIED] for token in rows[:9]}), in_flight=4).go()
    assert set(run.outlet.failed_rows) == set(rows[:9])
    assert run.tally.counts.states[State.CREATED] == 11
    assert run.finished


async def test_a_run_of_only_a_few_denials_fails_no_row() -> None:
    run = await Run(_rows(9), ScriptedSender(otherwise=lambda _: DENIED)).fails(SenderError)
    assert set(run.journal.states().values()) == {State.PENDING}
    assert not run.finished


async def test_a_denial_among_created_rows_fails_its_row() -> None:
    run = await Run(_rows(20), ScriptedSender({"t1": [DENIED], "t9": [DENIED]})).go()
    assert set(run.outlet.failed_rows) == {"t1", "t9"}
    assert run.tally.counts.states[State.CREATED] == 18
    assert run.finished


async def test_too_few_denials_to_blame_the_sender_fail_their_rows() -> None:
    run = await Run(_rows(3), ScriptedSender(otherwise=lambda _: DENIED)).go()
    assert set(run.outlet.failed_rows) == {"t1", "t2", "t3"}


async def test_held_denials_are_pending_when_the_run_is_stopped() -> None:
    run = Run(["t1"], ScriptedSender({"t1": [DENIED]}), source=ListSource(["t1"], lingers=True))
    await run.when(0.5, run.stop.drain)  # real time, because a thread waits for rows
    assert _state(run, "t1") is State.PENDING
    assert not run.finished


async def test_a_drain_with_a_held_denial_leaves_the_run_unfinished() -> None:
    sender = ScriptedSender({"t1": [DENIED], "t2": [SERVER_ERROR]}, seconds=5)
    run = Run(["t1", "t2"], sender, tries=1)
    await run.when(3, run.stop.drain)
    assert run.journal.states() == {"t1": State.PENDING, "t2": State.IN_DOUBT}
    assert not run.finished


async def test_failures_decided_at_the_end_count_too() -> None:
    sender = ScriptedSender(otherwise=lambda _: DENIED)
    run = await Run(_rows(4), sender, failures=FailureLimit(count=1)).fails(TooManyFailuresError)
    assert set(run.journal.states().values()) == {State.FAILED}


# What earlier runs have left


def _hash(text: str) -> str:
    invitation = TinyValidator().validate(row(1, text))
    assert isinstance(invitation, Invitation)
    return invitation.body_hash


async def test_a_resumed_run_skips_settled_rows_and_sends_the_rest() -> None:
    journal = MemoryJournal()
    for token, state in [
        ("t1", State.CREATED),
        ("t2", State.FAILED),
        ("t3", State.DEFERRED),
        ("t4", State.PENDING),
    ]:
        journal.rows[token] = Entry(_hash(token), state)
    journal.rows["t5"] = Entry(_hash("t5"), State.IN_DOUBT, doubt_since=EPOCH - HOUR)
    run = await Run(_rows(6), journal=journal).go()
    assert [call.token for call in run.sender.calls] == ["t3", "t4", "t5", "t6"]
    assert run.tally.counts.already_created == 1
    assert run.tally.counts.states[State.FAILED] == 1
    assert run.tally.counts.failed_now == 0


async def test_a_token_that_may_be_forgotten_is_not_sent_again() -> None:
    journal = MemoryJournal()
    journal.rows["t1"] = Entry(_hash("t1"), State.IN_DOUBT, doubt_since=EPOCH - 8 * HOUR - 1)
    journal.rows["t2"] = Entry(_hash("t2"), State.IN_DOUBT, doubt_since=EPOCH - 7 * HOUR)
    run = await Run(_rows(2), journal=journal).go()
    assert [call.token for call in run.sender.calls] == ["t2", "t1"]
    assert len(run.sender.lists) == 1
    assert journal.outcomes("t1") == ["absent", "sent", "created"]


async def test_the_settling_time_counts_from_the_end_of_the_last_attempt() -> None:
    journal = MemoryJournal()
    long_ago = EPOCH - 8 * HOUR + 65
    journal.rows["t1"] = Entry(_hash("t1"), State.IN_DOUBT, doubt_since=long_ago, last_sent=long_ago)

    class QuickToList(ScriptedSender):
        async def list_invitations(self, engagements: Sequence[str], next_token: str) -> Page | Answer:
            self.seconds = 0.0
            return await super().list_invitations(engagements, next_token)

    sender = QuickToList({"t1": [RESET, created("t1")]}, seconds=10)
    run = await Run(["t1"], sender, journal, settling_time=60).go()
    first, second = sender.calls
    assert first.ended is not None
    assert second.began >= first.ended + 60
    assert _state(run, "t1") is State.CREATED


async def test_a_token_dated_in_the_future_is_looked_up_first() -> None:
    journal = MemoryJournal()
    journal.rows["t1"] = Entry(_hash("t1"), State.IN_DOUBT, doubt_since=EPOCH + HOUR, last_sent=EPOCH + HOUR)
    run = await Run(["t1"], journal=journal).go()
    assert journal.outcomes("t1") == ["absent", "sent", "created"]
    assert run.took > 60


async def test_a_clock_set_forward_during_the_settling_time_makes_no_row_absent() -> None:
    class LateList(ScriptedSender):
        async def list_invitations(self, engagements: Sequence[str], next_token: str) -> Page | Answer:
            page = await super().list_invitations(engagements, next_token)
            return page if anyio.current_time() > 45 else Page((), "")

    sender = LateList({"t1": [RESET, REFUSED]}, arrived=[arrival("t1", EPOCH + 0.1)])
    run = Run(_rows(60), sender, rate=2.0)  # half a minute of other rows, after which t1 is looked up again

    def set_forward() -> None:
        run.ahead = 3600.0

    await run.when(20.0, set_forward)
    assert _state(run, "t1") is State.CREATED


async def test_denied_rows_in_doubt_beyond_the_limit_stay_in_doubt() -> None:
    too_big = f"t1 eng-1 {'x' * (17 << 20)}"
    run = await Run([too_big, *_rows(20)[1:]], ScriptedSender({"t1": [RESET, DENIED]})).go()
    assert _state(run, "t1") is State.IN_DOUBT
    assert run.tally.counts.ended_now == 20
    assert run.finished


async def test_rows_of_full_engagements_take_no_room_from_rows_in_doubt() -> None:
    journal, since = MemoryJournal(), EPOCH - 9 * HOUR
    in_doubt = f"t3 eng-1 {'x' * 2000}"
    journal.rows["t3"] = Entry(_hash(in_doubt), State.IN_DOUBT, doubt_since=since, last_sent=EPOCH - 5)
    large = [f"{token} full {'x' * ((16 << 20) - 1000)}" for token in ("t1", "t2")]
    sender = ScriptedSender({"t1": [FULL], "t2": [FULL]})
    run = await Run([*large, in_doubt], sender, journal, in_flight=1).go()
    assert journal.states() == {"t1": State.DEFERRED, "t2": State.DEFERRED, "t3": State.CREATED}
    assert run.finished


async def test_denied_rows_do_not_wait_for_the_look_up_of_a_row_in_doubt() -> None:
    run = Run(["t1", "t2"], ScriptedSender({"t1": [RESET, DENIED], "t2": [DENIED]}), in_flight=1)
    seen: list[dict[str, State]] = []
    await run.when(30.0, lambda: seen.append(run.journal.states()))
    assert seen == [{"t1": State.IN_DOUBT, "t2": State.FAILED}]
    assert run.journal.states()["t1"] is State.FAILED


async def test_a_row_keeps_its_refusal_after_an_inconclusive_look_up() -> None:
    run = await Run(["t1"], ScriptedSender({"t1": [RESET, REFUSED]}, reads=[DENIED])).go()
    assert _state(run, "t1") is State.IN_DOUBT
    run.journal.next_run()
    again = await Run(["t1"], ScriptedSender(), run.journal).go()
    assert not again.sender.calls
    assert _state(again, "t1") is State.FAILED
    assert [error.code for error in again.outlet.failed_rows["t1"]] == [each.code for each in REFUSED.errors]


@pytest.mark.parametrize("here", [True, False])
async def test_a_denial_attributed_to_its_row_in_the_last_round_settles_it(*, here: bool) -> None:
    journal, since = MemoryJournal(), EPOCH - 9 * HOUR
    journal.rows["t2"] = Entry(_hash("t2"), State.IN_DOUBT, doubt_since=since, last_sent=EPOCH - 5)
    sender = ScriptedSender({"t1": [RESET, DENIED]}, arrived=[arrival("t1", EPOCH + 0.1)] if here else [])
    run = await Run(["t2", "t1"], sender, journal).go()
    assert journal.states() == {"t2": State.CREATED, "t1": State.CREATED if here else State.FAILED}
    assert run.tally.counts.ended_now == 2
    assert run.finished


async def test_a_stop_during_the_look_up_of_held_rows_leaves_them_unchanged() -> None:
    sender = ScriptedSender({token: [RESET, DENIED] for token in ("t1", "t3")}, seconds=1.0)
    run = Run(["t1", "t2", "t3"], sender, in_flight=1)

    def stop_in_a_look_up() -> None:
        assert journal_is_at_its_end(run)
        run.stop.drain()

    def journal_is_at_its_end(run: Run) -> bool:
        return run.journal.outcomes("t3")[-1:] == ["denied"]

    await run.when(9.0, stop_in_a_look_up)
    assert {token: _state(run, token) for token in ("t1", "t3")} == {
        "t1": State.IN_DOUBT,
        "t3": State.IN_DOUBT,
    }
    assert not run.finished


async def test_a_row_refused_after_doubt_that_is_absent_fails_with_its_errors() -> None:
    run = await Run(["t1"], ScriptedSender({"t1": [RESET, REFUSED]})).go()
    assert run.journal.outcomes("t1") == ["sent", "doubtful", "sent", "refused", "absent"]
    assert run.journal.rows["t1"].code == REFUSED.code
    assert run.journal.rows["t1"].doubt_since is None
    assert run.outlet.failed_rows == {"t1": REFUSED.errors}
    assert run.took > 60


@pytest.mark.parametrize("no", [CONFLICT, REFUSED])
async def test_a_row_to_look_up_is_not_called_before_the_look_up(no: Reply) -> None:
    sender = ScriptedSender({"t1": [RESET, no]}, arrived=[])

    def arrives() -> None:
        assert len(sender.calls_of("t1")) == 2
        sender.arrived.append(arrival("t1", EPOCH + 0.1))

    run = await Run(_rows(100), sender, rate=2.0).when(30.0, arrives)
    assert len(sender.calls_of("t1")) == 2
    assert _state(run, "t1") is State.CREATED


@pytest.mark.parametrize(
    ("no", "state"), [(CONFLICT, State.FAILED), (REFUSED, State.FAILED), (FULL, State.DEFERRED)]
)
async def test_a_refusal_after_doubt_from_an_earlier_run_is_looked_up_not_resent(
    no: HttpAnswer, state: State
) -> None:
    journal = MemoryJournal()
    journal.rows["t1"] = Entry(_hash("t1"), State.IN_DOUBT, doubt_since=EPOCH - 1, last_sent=EPOCH - 1)
    journal.rows["t1"].code = no.code
    run = await Run(["t1"], ScriptedSender({"t1": [no]}), journal).go()
    assert _state(run, "t1") is state
    assert not run.sender.calls


@pytest.mark.parametrize("here", [True, False])
async def test_a_denial_fails_its_row_only_if_the_row_is_absent(*, here: bool) -> None:
    sender = ScriptedSender({"t1": [RESET, DENIED]}, arrived=[arrival("t1", EPOCH + 0.1)] if here else [])
    run = await Run(_rows(20), sender).go()
    assert _state(run, "t1") is (State.CREATED if here else State.FAILED)
    assert len(sender.calls_of("t1")) == 2
    assert run.finished


@pytest.mark.parametrize("here", [True, False])
async def test_an_unexplained_denial_after_doubt_is_looked_up_at_the_end(*, here: bool) -> None:
    sender = ScriptedSender({"t1": [RESET, DENIED]}, arrived=[arrival("t1", EPOCH + 0.1)] if here else [])
    run = await Run(["t1"], sender).go()
    assert _state(run, "t1") is (State.CREATED if here else State.FAILED)
    assert run.finished


@pytest.mark.parametrize(("ago", "waits"), [(5.0, 60.0), (119.0, 60.0), (130.0, 50.0), (181.0, 0.0)])
async def test_the_unseen_end_of_a_call_is_assumed_as_late_as_possible(ago: float, waits: float) -> None:
    journal, long_ago = MemoryJournal(), EPOCH - 9 * HOUR
    journal.rows["t1"] = Entry(
        _hash("t1"), State.IN_DOUBT, doubt_since=long_ago, last_sent=EPOCH - ago
    )  # a minute for the disk, a minute for the call, and no more than until its program is gone
    run = await Run(["t1"], ScriptedSender(), journal, settling_time=60).go()
    assert run.sender.calls[0].began == pytest.approx(waits, abs=1.0)


async def test_a_token_that_becomes_too_old_during_a_run_is_not_sent_again() -> None:
    journal = MemoryJournal()
    journal.rows["t1"] = Entry(_hash("t1"), State.IN_DOUBT, doubt_since=EPOCH - 8 * HOUR + 65)
    sender = ScriptedSender({"t1": [SERVER_ERROR]}, seconds=3, reads=[DENIED])
    run = await Run(["t1"], sender, journal, tries=100).go()
    assert len(sender.calls) == 2
    assert all(call.began <= 5 for call in sender.calls)
    assert (_state(run, "t1"), journal.rows["t1"].code) == (State.IN_DOUBT, LOOK_UP_DENIED)


# Stopping


def _waiting_in_backoff() -> Run:
    return Run(["t1"], ScriptedSender({"t1": [SERVER_ERROR]}), tries=100)


def _waiting_for_a_permit() -> Run:
    return Run(_rows(5), rate=0.001)


def _waiting_for_the_endpoint() -> Run:
    return Run(_rows(5), ScriptedSender(otherwise=lambda _: DOWN))


def _waiting_for_rows() -> Run:
    return Run(source=ListSource(_rows(2), lingers=True))


def _waiting_to_open() -> Run:
    return Run(_rows(5), opening=anyio.sleep_forever)


@pytest.mark.parametrize(
    ("waiting", "moment", "states"),
    [
        (_waiting_in_backoff, 100, {State.IN_DOUBT}),
        (_waiting_for_a_permit, 100, {State.CREATED, State.PENDING}),
        (_waiting_for_the_endpoint, 100, {State.PENDING}),
        (_waiting_for_rows, 0.5, {State.CREATED}),  # real time, because a thread waits
        (_waiting_to_open, 100, set()),
    ],
)
async def test_a_drain_ends_every_wait_at_once(
    waiting: Callable[[], Run], moment: float, states: set[State]
) -> None:
    run = waiting()
    await run.when(moment, run.stop.drain)
    assert run.took == pytest.approx(moment, abs=0.1)
    assert set(run.journal.states().values()) == states
    assert not run.finished


async def test_a_drain_finishes_the_calls_in_flight_and_commits_them() -> None:
    run = Run(_rows(100), ScriptedSender(seconds=10), rate=2.0)
    await run.when(3.2, run.stop.drain)
    assert run.took == pytest.approx(13, abs=1)
    assert len(run.sender.calls) == 7
    assert sum(state is State.CREATED for state in run.journal.states().values()) == 7
    assert State.IN_DOUBT not in run.journal.states().values()


async def test_a_drain_while_the_sender_starts_lets_no_call_leave() -> None:
    class SlowToGetReady(ScriptedSender):
        @property
        def is_ready(self) -> bool:
            return False

        async def ready(self) -> NoAnswer | None:
            await anyio.sleep(5)
            return await super().ready()

    run = Run(["t1"], SlowToGetReady())
    await run.when(2, run.stop.drain)
    assert not run.sender.calls
    assert run.journal.states() == {"t1": State.PENDING}


async def test_a_second_stop_aborts_the_call_in_flight_and_leaves_the_row_in_doubt() -> None:
    run = Run(["t1"], ScriptedSender(seconds=1000))

    def twice() -> None:
        run.stop.drain()
        run.stop.abort()

    await run.when(3, twice)
    assert run.took == pytest.approx(3, abs=0.5)
    assert _state(run, "t1") is State.IN_DOUBT
    assert run.journal.rows["t1"].doubt_since is not None
    assert not run.finished


async def test_an_aborted_call_leaves_doubt_even_if_its_engagement_is_full() -> None:
    class Uneven(ScriptedSender):
        async def create(self, body: bytes, clearance: Clearance) -> Answer:
            if b'"t1"' in body:
                await anyio.sleep(1000)
            return await super().create(body, clearance)

    run = Run(_rows(2), Uneven({"t2": [FULL]}))

    def twice() -> None:
        assert _state(run, "t2") is State.DEFERRED
        run.stop.drain()
        run.stop.abort()

    await run.when(3, twice)
    assert _state(run, "t1") is State.IN_DOUBT
    assert not run.finished


async def test_a_drain_after_the_last_row_does_not_count_as_a_stop() -> None:
    run = await Run(_rows(2)).go()
    run.stop.drain()
    assert run.finished


async def test_a_limit_sends_that_many_rows_and_leaves_the_others_unread() -> None:
    run = await Run([*_rows(2), "bad", "t1", *_rows(50)[2:]], limit=5).go()
    assert [call.token for call in run.sender.calls] == _rows(5)
    assert set(run.journal.rows) == set(_rows(5))
    assert run.finished


async def test_a_run_with_a_limit_does_not_fail_for_what_comes_after_it() -> None:
    source = ListSource(_rows(50), fails_after=40)
    source.size = 1000
    run = await Run(source=source, limit=5).go()
    assert [call.token for call in run.sender.calls] == _rows(5)
    assert run.finished


async def test_no_more_rows_are_sent_than_were_confirmed() -> None:
    run = await Run(["bad", *_rows(3), "t1", *_rows(6)[3:]], confirmed=4).go()
    assert [call.token for call in run.sender.calls] == _rows(4)
    assert (_state(run, "t5"), _state(run, "t6"), run.finished) == (State.PENDING, State.PENDING, True)
    assert not run.journal.ended_sources
    as_many = await Run(["bad", *_rows(3), "t1", "bad"], confirmed=3).go()
    assert [call.token for call in as_many.sender.calls] == _rows(3)
    assert (as_many.tally.counts.rows, len(as_many.journal.ended_sources)) == (6, 1)


# Failures


async def test_the_limit_on_failures_stops_the_run() -> None:
    sender = ScriptedSender(otherwise=lambda _: REFUSED)
    run = await Run(_rows(100), sender, failures=FailureLimit(count=5)).fails(TooManyFailuresError)
    assert 5 <= len(run.outlet.failed_rows) <= 5 + 8
    assert State.PENDING in run.journal.states().values()
    assert not run.finished


async def test_the_limit_on_the_share_of_failures_stops_the_run_after_enough_rows() -> None:
    bad = {f"t{each}": [REFUSED] for each in [1, 2, 3, *range(100, 200)]}
    run = Run(_rows(300), ScriptedSender(bad), in_flight=1, failures=FailureLimit(share=0.2))
    await run.fails(TooManyFailuresError)
    assert run.tally.counts.ended_now == 120
    assert run.tally.counts.failed_now == 24


async def test_failures_of_earlier_runs_do_not_count() -> None:
    journal = MemoryJournal()
    for token in _rows(10):
        journal.rows[token] = Entry(_hash(token), State.FAILED)
    assert (await Run(_rows(12), journal=journal, failures=FailureLimit(count=1)).go()).finished


async def test_retry_failed_sends_failed_rows_again() -> None:
    journal = MemoryJournal()
    journal.rows["t1"] = Entry(_hash("t1"), State.FAILED)
    run = await Run(_rows(2), journal=journal, retry_failed=True).go()
    assert len(run.sender.calls) == 2


@pytest.mark.parametrize("fails_at", range(1, 12))
async def test_a_checkpoint_that_cannot_be_written_ends_the_run_and_reports_nothing_more(
    fails_at: int,
) -> None:
    run = Run(_rows(30), ScriptedSender({"t3": [SERVER_ERROR]}), MemoryJournal(fails_at=fails_at))
    await run.fails(CheckpointError)  # reported rows were durable: `MemoryOutlet` asserts it
    assert not run.finished
    assert len(run.journal.writes) == fails_at
    assert run.tally.counts.states[State.CREATED] == sum(
        state is State.CREATED for state in run.journal.states().values()
    )


async def test_a_checkpoint_that_cannot_be_written_aborts_the_calls_in_flight() -> None:
    run = Run(_rows(30), ScriptedSender(seconds=1000), MemoryJournal(fails_at=3), rate=1.0)
    await run.fails(CheckpointError)
    assert len(run.sender.calls) == 2
    assert run.took == pytest.approx(2, abs=0.5)


async def test_a_checkpoint_that_fails_during_the_drain_is_reported_too() -> None:
    run = Run(["t1"], ScriptedSender(seconds=10), MemoryJournal(fails_at=2))
    with pytest.raises(ExceptionGroup) as raised:
        await run.when(5, run.stop.drain)
    assert raised.group_contains(CheckpointError)


async def test_results_that_cannot_be_written_end_the_run() -> None:
    run = await Run(_rows(30), outlet_fails=ResultsError("disk full")).fails(ResultsError)
    assert run.outlet.created_rows == {}
    assert len(run.sender.calls) <= 8 + 1


async def test_a_source_that_breaks_off_ends_the_run_and_keeps_settled_rows() -> None:
    source = ListSource((f"t{each}" for each in count(1)), fails_after=40)
    run = await Run(source=source, rate=1000.0, sender=ScriptedSender(seconds=0)).fails(SourceError)
    assert len(run.journal.rows) == 40
    assert set(run.journal.states().values()) <= {State.PENDING, State.CREATED}
    assert not run.finished


async def _refused_opening() -> None:
    raise SenderError("nobody knows you")


async def test_a_failed_start_leaves_the_source_unread() -> None:
    run = await Run(_rows(10), opening=_refused_opening).fails(SenderError)
    assert run.source is not None
    assert run.source.taken == 0
    assert not run.finished


async def _broken_opening() -> None:
    raise ZeroDivisionError


async def test_a_bug_during_the_start_is_raised() -> None:
    with pytest.raises(ExceptionGroup) as raised:
        await Run(_rows(10), opening=_broken_opening).go()
    assert raised.group_contains(ZeroDivisionError)


@pytest.mark.parametrize("lingers", [False, True])
async def test_a_bug_in_the_sender_is_raised_and_nothing_hangs(lingers: bool) -> None:  # noqa: FBT001 - parametrize passes by name
    sender = ScriptedSender({"t3": [ZeroDivisionError()]})
    source = ListSource(_rows(20), lingers=lingers)
    with pytest.raises(ExceptionGroup) as raised:
        await Run(sender=sender, source=source).go()
    assert raised.group_contains(ZeroDivisionError)
    assert not raised.group_contains(TimeoutError), "the source was not asked to stop"


async def test_an_answer_that_arrives_as_a_bug_ends_the_run_is_committed_and_reported() -> None:
    sender = ScriptedSender({"t2": [ZeroDivisionError()]}, seconds=1.0)
    run = Run(_rows(2), sender, rate=1000.0)
    with pytest.raises(ExceptionGroup):
        await run.go()
    assert run.outlet.created_rows == {"t1": "engi-t1"}


async def test_a_blocked_sender_holds_up_the_source() -> None:
    gate = anyio.Event()
    source = ListSource(f"t{each}" for each in count(1))
    run = Run(source=source, sender=ScriptedSender(gate=gate))
    read: list[int] = []

    def look_and_stop() -> None:
        read.append(source.taken)
        run.stop.drain()
        gate.set()

    await run.when(HOUR, look_and_stop)
    assert 0 < read[0] <= 1000


async def test_worker_threads_are_released() -> None:
    await Run(_rows(500), rate=5000.0).go()
    assert sum("AnyIO" in thread.name for thread in threading.enumerate()) <= 3


async def test_after_a_failed_admission_nothing_more_is_written() -> None:
    journal = MemoryJournal(admit_fails_at=2)
    # Rows of the first batch are on their way when the look-up of the second fails.
    run = await Run(_rows(400), journal=journal, rate=1000.0).fails(CheckpointError)
    assert len(run.journal.writes) == run.journal.writes_at_failure


async def test_a_source_read_to_its_end_is_reported() -> None:
    run = await Run(_rows(3)).go()
    assert run.journal.ended_sources == ["rows"]


async def test_a_source_with_rows_left_is_not_reported_as_read() -> None:
    run = await Run(_rows(3), limit=2).go()
    assert run.journal.ended_sources == []


async def test_rows_waiting_when_their_engagement_becomes_full_take_no_permit() -> None:
    run = await Run(_rows(100), ScriptedSender(otherwise=lambda _: FULL), rate=1.0, in_flight=50).go()
    assert set(run.journal.states().values()) == {State.DEFERRED}
    assert len(run.sender.calls) == 2, "one to find it full, and one at the end"
    assert run.took < 4


def _full_for(seconds: float) -> Callable[[Call], Reply]:
    return lambda call: FULL if anyio.current_time() < seconds else created(call.token)


async def test_deferred_rows_are_sent_at_the_end_if_there_is_room_again() -> None:
    rows = [f"t{each} full" for each in range(10)] + [f"u{each} roomy" for each in range(50)]
    script: dict[str, list[Reply]] = {f"u{each}": [created(f"u{each}")] for each in range(50)}
    sender = ScriptedSender(script, otherwise=_full_for(3.0))
    run = await Run(rows, sender, in_flight=1).go()
    assert run.tally.counts.states[State.CREATED] == 60
    assert len(sender.calls) == 61
    assert run.finished


async def test_deferred_rows_stay_open_until_the_end_and_a_stop_leaves_them_deferred() -> None:
    rows = [f"t{each} full" for each in range(10)] + [f"u{each} roomy" for each in range(50)]
    script: dict[str, list[Reply]] = {f"u{each}": [created(f"u{each}")] for each in range(50)}
    sender = ScriptedSender(script, otherwise=lambda _: FULL)
    run = Run(rows, sender, in_flight=1)
    await run.when(2.0, run.stop.drain)
    assert not run.finished
    assert set(run.journal.states().values()) == {State.DEFERRED, State.CREATED, State.PENDING}


async def test_if_every_engagement_is_full_the_run_parks_and_probes_one_call_at_a_time() -> None:
    rows = [f"t{each} eng-{each}" for each in range(40)]
    sender = ScriptedSender(otherwise=_full_for(HOUR))
    governor = make_governor(10.0, probe_interval=600.0)
    run = await Run(rows, sender, governor=governor, in_flight=2).go()
    assert run.tally.counts.states[State.CREATED] == 40, "none of them is lost to it"
    parked = [call.began for call in sender.calls if 10.0 < call.began < HOUR]
    assert len(parked) <= 7
    assert all(later - earlier >= 599 for earlier, later in pairwise(parked[1:]))


async def test_engagements_found_full_by_an_earlier_run_do_not_park_the_run() -> None:
    rows = [f"t{each} eng-{each}" for each in range(20)]
    journal = MemoryJournal()
    for each, text in enumerate(rows):
        journal.rows[f"t{each}"] = Entry(_hash(text), State.DEFERRED)
    run = await Run(rows, ScriptedSender(otherwise=lambda _: FULL), journal=journal).go()
    assert run.finished
    assert run.took < 60


async def test_a_stop_while_parked_by_the_daily_quota_is_immediate() -> None:
    governor = make_governor(10.0, daily_quota=5)
    run = Run(_rows(20), governor=governor)
    await run.when(5 * HOUR, run.stop.drain)
    assert run.took == pytest.approx(5 * HOUR, abs=0.2)
    assert len(run.sender.calls) == 5


async def test_a_run_over_the_daily_quota_continues_at_the_right_moment_and_finishes() -> None:
    run = await Run(_rows(12), governor=make_governor(10.0, daily_quota=5)).go()
    assert run.tally.counts.states[State.CREATED] == 12
    times = [call.began for call in run.sender.calls]
    ends = [call.ended or 0.0 for call in run.sender.calls]
    assert all(24 * HOUR <= times[n + 5] - ends[n] < 24 * HOUR + 1 for n in range(7))


async def test_rows_in_doubt_and_outages_do_not_block_a_nearly_used_up_day() -> None:
    script: dict[str, list[Reply]] = {
        "t1": [SERVER_ERROR, created("t1")],
        "t2": [DOWN, DOWN, created("t2")],
    }
    run = await Run(_rows(3), ScriptedSender(script), governor=make_governor(10.0, daily_quota=4)).go()
    assert run.tally.counts.states[State.CREATED] == 3
    assert run.took < HOUR


class _LateSource(ListSource):
    """Rows that come just when the run has been asked to stop."""

    def batches(
        self, max_rows: int = 1, max_bytes: int = 1, stop: Callable[[], bool] = lambda: False
    ) -> Generator[list[Row], None, None]:
        self._wait_for(stop)
        threading.Event().wait(0.05)
        yield from super().batches(max_rows, max_bytes, stop)


async def test_rows_that_arrive_after_a_stop_are_not_admitted_and_are_no_error() -> None:
    run = Run(source=_LateSource(_rows(5)))
    await run.when(0.1, run.stop.drain)
    assert not run.finished
    assert run.journal.states() == {}


# The ending


async def test_the_final_step_runs_after_the_last_row_and_while_the_committer_runs() -> None:
    run = Run(_rows(3))
    seen: list[dict[str, State]] = []

    async def ending() -> None:
        seen.append(run.journal.states())
        await anyio.sleep(60)

    run.ending = ending
    await run.go()
    assert seen == [dict.fromkeys(_rows(3), State.CREATED)]
    assert run.took > 60


async def test_a_stopped_run_has_the_same_final_step() -> None:
    run = Run(_rows(50), ScriptedSender(seconds=2), rate=1.0)
    drained: list[bool] = []

    async def ending() -> None:
        drained.append(run.stop.draining)
        await anyio.sleep(5)
        drained.append(all(call.ended for call in run.sender.calls))

    run.ending = ending
    await run.when(3.5, run.stop.drain)
    assert drained == [True, True]
    assert run.finished is False


async def test_a_signal_reaches_the_final_step() -> None:
    run = Run(_rows(1))

    async def ending() -> None:
        with run.stop.until_drain():
            await anyio.sleep_forever()

    run.ending = ending
    await run.when(100, run.stop.drain)
    assert 99 < run.took < 101
    assert run.finished


async def test_an_error_of_the_final_step_ends_the_run() -> None:
    run = Run(_rows(2))

    async def ending() -> None:
        await anyio.sleep(1)
        raise SourceError("The table is gone.")

    run.ending = ending
    await run.fails(SourceError)
    assert run.journal.states() == dict.fromkeys(_rows(2), State.CREATED)
    assert run.finished
