"""Full engagements and full accounts, over whole runs in virtual time with the default probe interval."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random

import anyio
import anyio.lowlevel
import orjson
import pytest
from fakes import FULL, Call, Entry, MemoryJournal, Reply, ScriptedSender, TinyValidator, created, row
from pacers import make_governor
from runs import HOUR, Run
from virtual_time import VIRTUAL_TIME

from bulk_invite.domain.engagement_retries import EngagementRetries
from bulk_invite.domain.full_engagements import FullEngagements
from bulk_invite.domain.rows import Invitation
from bulk_invite.domain.verdicts import State
from bulk_invite.pacing.governor import Governor

pytestmark = pytest.mark.anyio

MINUTE = 60.0


@pytest.fixture
def anyio_backend() -> object:
    return VIRTUAL_TIME


@dataclass
class Account:
    """full: engagements without room. rooms: (time, invitations): from when on the account has room for them.

    Without rooms, it always has. asked: calls by engagement.
    """

    full: set[str] = field(default_factory=set)
    rooms: list[tuple[float, float]] = field(default_factory=lambda: [(0.0, float("inf"))])
    asked: Counter[str] = field(default_factory=Counter)
    times: list[float] = field(default_factory=list)
    used: int = 0

    def __call__(self, call: Call) -> Reply:
        engagement = orjson.loads(call.body)["EngagementIdentifier"]
        self.asked[engagement] += 1
        now = anyio.current_time()
        self.times.append(now)
        if engagement in self.full or self.used >= sum(room for since, room in self.rooms if since <= now):
            return FULL
        self.used += 1
        return created(call.token)

    def calls(self, begin: float, end: float) -> int:
        return sum(begin <= time < end for time in self.times)


def _governor() -> Governor:
    """As by default: the rate is sought from one call per second on, and the probe interval is 15 minutes."""
    return make_governor(15.0, start=1.0)


def _run(rows: Iterable[str], account: Account, journal: MemoryJournal | None = None) -> Run:
    sender = ScriptedSender(otherwise=account, seconds=0.2)
    return Run(rows, sender, journal or MemoryJournal(), governor=_governor(), in_flight=64)


def _rows(engagements: Iterable[str], *, each: int = 1) -> list[str]:
    return [f"{name}-{number} {name}" for name in engagements for number in range(each)]


def _names(kind: str, count: int) -> list[str]:
    return [f"{kind}{number}" for number in range(count)]


def _deferred(journal: MemoryJournal, rows: Iterable[str]) -> None:
    """Rows that an earlier run has deferred."""
    for text in rows:
        invitation = TinyValidator().validate(row(1, text))
        assert isinstance(invitation, Invitation)
        journal.rows[invitation.client_token] = Entry(
            invitation.body_hash, State.DEFERRED, engagement=invitation.engagement
        )


def _created(run: Run) -> int:
    return run.tally.counts.states[State.CREATED]


# Full engagements


async def test_a_second_wave_behind_full_engagements_is_sent_at_once() -> None:
    full = _names("full", 25)
    account = Account(set(full))
    run = await _run([*_rows(full, each=9), *_rows(_names("fresh", 20))], account).go()
    assert _created(run) == 20
    assert run.took < MINUTE, "no park, no probe"
    assert run.finished


async def test_a_run_reads_on_past_any_number_of_rows_of_full_engagements() -> None:
    full = _names("full", 120)
    account = Account(set(full))
    run = await _run([*_rows(full, each=9)[:1000], *_rows(_names("fresh", 20))], account).go()
    assert _created(run) == 20
    assert run.took < 120 + MINUTE, "refused calls do not raise the rate above one per second"
    assert max(account.asked[name] for name in full) == 2, "one call, and one in the last round"


async def test_full_engagements_at_the_end_of_a_source_do_not_hold_the_run_up() -> None:
    full = _names("full", 25)
    run = await _run([*_rows(_names("fresh", 20)), *_rows(full)], Account(set(full))).go()
    assert (_created(run), run.finished) == (20, True)
    assert run.took < MINUTE


async def test_engagements_with_invitations_in_the_checkpoint_say_nothing_about_the_account() -> None:
    """Invitations of another campaign count, too; and nothing waits, although every call is refused."""
    full, journal = _names("full", 210), MemoryJournal()
    journal.elsewhere.update(full)
    run = await _run(_rows(full), Account(set(full)), journal).go()
    assert run.tally.counts.states[State.DEFERRED] == 210
    assert run.took < 2 * 210 + MINUTE, "refused calls do not raise the rate above one per second"


async def test_a_suspected_account_is_not_asked_for_engagements_that_the_checkpoint_shows_full() -> None:
    full, filled, journal = _names("full", 6), _names("filled", 30), MemoryJournal()
    journal.elsewhere.update(dict.fromkeys(filled, 9))
    rows = _rows([*full, *filled, "fresh"])
    run = await _run(rows, Account({*full, *filled}), journal).go()
    assert [call.token for call in run.sender.calls[:7]] == [*(f"{name}-0" for name in full), "fresh-0"]
    assert (_created(run), run.finished) == (1, True)


@pytest.mark.parametrize("seed", range(8))
async def test_no_run_parks_while_a_fresh_engagement_with_room_is_known(seed: int) -> None:
    chance = Random(seed)
    names = _names("eng", chance.randint(1, 190))
    full = set(chance.sample(names, chance.randint(0, len(names) - 1)))
    rows = _rows(names, each=chance.randint(1, 4))
    if chance.random() < 0.7:
        chance.shuffle(rows)
    account = Account(full)
    run = await _run(rows, account).go()
    with_room = [text for text in rows if text.split()[1] not in full]
    assert _created(run) == len(with_room)
    # Rows of full engagements may wait for room at the end, if nothing could be created before.
    last = max(call.began for call in run.sender.calls if run.journal.rows[call.token].invitation_id)
    assert last < MINUTE + len(rows) / 5


# A full account


async def test_a_full_account_parks_the_run_until_it_has_room() -> None:
    account = Account(rooms=[(3 * HOUR, float("inf"))])
    run = await _run(_rows(_names("eng", 45)), account).go()
    assert _created(run) == 45, "those that were refused are asked again"
    assert account.calls(0, 3 * HOUR) <= 45 + 13
    assert max(account.calls(hour * HOUR, (hour + 1) * HOUR) for hour in (1, 2)) <= 4
    assert run.took < 3.25 * HOUR + MINUTE, "once one is created, all others continue"


async def test_a_large_source_asks_a_full_account_a_limited_number_of_times() -> None:
    account = Account(rooms=[(5 * HOUR, float("inf"))])
    run = await _run(_rows(_names("eng", 280), each=2), account).go()
    assert _created(run) == 560
    assert account.calls(0, HOUR) <= 200 + 64 + 5
    assert max(account.calls(hour * HOUR, (hour + 1) * HOUR) for hour in (1, 2, 3, 4)) <= 4
    assert run.took < 5.25 * HOUR + 5 * MINUTE


async def test_an_invitation_of_a_call_that_was_in_flight_ends_the_park_too() -> None:
    async def slowly() -> None:
        await anyio.sleep(15.0)

    account = Account(rooms=[(14.0, float("inf"))])
    run = _run(["slow slow", *_rows(_names("eng", 260))], account)
    run.governor_now = make_governor(20.0)
    run.sender.on_the_way = lambda call: (
        slowly if call.token == "slow" else anyio.lowlevel.checkpoint,
        anyio.lowlevel.checkpoint,
    )
    await run.go()
    assert account.calls(11.0, 14.0) == 0, "parked"
    assert _created(run) == 261
    assert run.took < MINUTE, "it did not wait for the first probe"


async def test_an_engagement_is_the_same_by_its_arn() -> None:
    arn = "arn:aws:partnercentral:us-east-1:111122223333:catalog/Sandbox/engagement/eng1"
    account = Account({arn, "eng1"})
    run = await _run(["t1 eng1", *(f"u{each} {arn}" for each in range(5))], account).go()
    assert account.calls(0, HOUR) == 2, "one call, and one in the last round"
    assert run.finished


async def test_room_for_one_invitation_at_a_time_costs_few_calls() -> None:
    rooms = [(hour * HOUR, 1.0) for hour in range(1, 9)]
    account = Account(rooms=[*rooms, (20 * HOUR, float("inf"))])
    run = await _run(_rows(_names("eng", 350)), account).go()
    assert _created(run) == 350
    assert account.calls(HOUR, 20 * HOUR) <= 19 * 4 + 8 * 25


async def test_room_for_one_invitation_in_the_last_round_costs_few_calls() -> None:
    account = Account(rooms=[(HOUR, 1.0)])
    run = await _run(_rows(_names("eng", 40)), account).go()
    assert (_created(run), run.finished) == (1, True)
    assert account.calls(HOUR, 20 * HOUR) <= 1 + 10 + 5


async def test_a_stop_while_the_run_waits_for_room_is_immediate() -> None:
    run = _run(_rows(_names("eng", 30)), Account(rooms=[]))
    await run.when(2 * HOUR, run.stop.drain)
    assert run.took == pytest.approx(2 * HOUR, abs=1)
    assert not run.finished
    assert set(run.journal.states().values()) == {State.DEFERRED}


async def test_a_run_without_room_ends_when_every_engagement_was_probed() -> None:
    account = Account(rooms=[])
    run = await _run(_rows(_names("eng", 8), each=2), account).go()
    assert run.finished
    assert set(run.journal.states().values()) == {State.DEFERRED}
    assert 1.5 * HOUR < run.took < 2 * HOUR
    assert max(account.asked.values()) == 2


# Later runs


async def _parked(rows: Iterable[str], journal: MemoryJournal) -> Governor:
    """The governor after the restart of a run that was parked for a full account."""
    run = _run(rows, Account(rooms=[]), journal)
    await run.when(1.1 * HOUR, run.stop.drain)
    memory = run.governor_now.memory(anyio.current_time())
    assert memory.parked == "account_full"
    journal.next_run()
    return make_governor(15.0, start=1.0, memory=memory, now=anyio.current_time())


async def test_after_a_restart_fresh_engagements_are_asked_at_once_and_refused_ones_are_not() -> None:
    journal, full = MemoryJournal(), _names("full", 25)
    governor = await _parked(_rows(full), journal)
    account, began = Account(set(full)), anyio.current_time()
    rows = [*_rows(full), *_rows(_names("fresh", 20))]
    sender = ScriptedSender(otherwise=account, seconds=0.2)
    run = await Run(rows, sender, journal, governor=governor, in_flight=64).go()
    assert _created(run) == 20
    assert max(account.times) - began < MINUTE
    fresh = [call.token for call in run.sender.calls[:20]]
    assert all(token.startswith("fresh") for token in fresh), "the others are asked in the last round"


async def test_a_run_that_is_stopped_before_it_has_read_anything_stays_parked() -> None:
    governor = await _parked(_rows(_names("full", 25)), MemoryJournal())
    run = Run(["t1 fresh"], governor=governor)
    run.stop.drain()
    await run.go()
    assert run.governor_now.memory(anyio.current_time()).parked == "account_full"


async def test_restarts_of_a_parked_run_do_not_add_up_to_more_calls() -> None:
    journal, rows = MemoryJournal(), _rows(_names("eng", 230))
    governor = await _parked(rows, journal)
    account = Account(rooms=[])
    for _ in range(10):
        sender = ScriptedSender(otherwise=account, seconds=0.2)
        run = Run(rows, sender, journal, governor=governor, in_flight=64)
        await run.when(5 * MINUTE, run.stop.drain)
        memory = run.governor_now.memory(anyio.current_time())
        journal.next_run()
        governor = make_governor(15.0, start=1.0, memory=memory, now=anyio.current_time())
    assert len(account.times) <= 5, "one each quarter of an hour"


@dataclass
class Service:
    """Rounds as of `serve`: each reads the deferred rows again, and then what is new."""

    account: Account
    daily_quota: int | None = None
    journal: MemoryJournal = field(default_factory=MemoryJournal)
    rows: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._governor = make_governor(15.0, start=1.0, daily_quota=self.daily_quota)
        retries = EngagementRetries(5 * MINUTE, anyio.current_time, lambda: self.daily_quota)
        self._engagements = FullEngagements(retries=retries)

    async def round(self, *new: str) -> Run:
        self.rows += new
        self.journal.next_run()
        self._engagements.begin_round()
        sender = ScriptedSender(otherwise=self.account, seconds=0.2)
        run = Run(self.rows, sender, self.journal, governor=self._governor, in_flight=64)
        run.engagements, run.is_resumed = self._engagements, True
        await run.go()
        return run

    async def rounds(self, seconds: float) -> None:
        """The rounds of some time, each after the retry interval."""
        until = anyio.current_time() + seconds
        while anyio.current_time() < until:
            await anyio.sleep(5 * MINUTE)
            run = await self.round()
            assert run.took < 2 * MINUTE, "a round must not keep new rows waiting"


async def test_a_service_asks_a_full_account_again_rarely_and_fresh_rows_at_once() -> None:
    service = Service(Account(rooms=[]))
    await service.round(*_rows(_names("eng", 40)))
    assert len(service.account.times) == 40
    await service.rounds(HOUR)
    assert len(service.account.times) <= 40 + 13, "one call per round at most"
    service.account.rooms = [(0.0, float("inf"))]
    run = await service.round("fresh eng-fresh")
    assert _created(run) == 41
    assert run.sender.calls[0].token == "fresh"


async def test_a_service_asks_a_full_engagement_again_once_per_retry_and_less_and_less_often() -> None:
    service = Service(Account({"full"}))
    await service.round(*_rows(["full"], each=4), "other other")
    assert service.account.asked["full"] <= 2, "one, and one in flight"
    await service.rounds(8 * HOUR)
    assert 6 <= service.account.asked["full"] <= 8, "after 5, 10, 20, 40, 80, 160, 240 minutes"
    service.account.full.clear()
    await service.rounds(4.2 * HOUR)
    assert service.account.asked["full"] <= 8 + 4
    assert set(service.journal.states().values()) == {State.CREATED}


async def test_the_full_engagements_of_a_service_use_a_small_share_of_the_day() -> None:
    full = _names("full", 20)
    service = Service(Account(set(full)), daily_quota=200)
    await service.round(*_rows(full, each=2), "first other")
    await service.rounds(12 * HOUR)
    fresh = _rows(_names("fresh", 100))
    run = await service.round(*fresh)
    assert _created(run) == len(fresh), "the day is not used up"
    assert run.sender.calls[0].token == "fresh0-0"
    assert sum(service.account.asked[name] for name in full) - len(full) <= 25


async def test_room_in_a_full_engagement_of_a_service_serves_all_of_its_rows() -> None:
    service = Service(Account({"full"}))
    await service.round(*_rows(["full"], each=20), "other other")
    service.account.full.clear()
    await service.rounds(5 * MINUTE)
    assert set(service.journal.states().values()) == {State.CREATED}
