"""Look-ups: which rows share a query, which wait, and what follows from every answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import anyio
import pytest
from fakes import (
    CONFLICT,
    DENIED,
    DOWN,
    EXPIRED,
    RESET,
    SERVER_ERROR,
    THROTTLED,
    UNKNOWN,
    KnownRows,
    ScriptedFinder,
    arrival,
    invitation,
)
from shown import doubtful
from structlog.testing import capture_logs
from virtual_time import VIRTUAL_TIME, running_loop

from bulk_invite.delivery.lookup.group_lookup import GroupLookup
from bulk_invite.delivery.lookup.queries import LOOK_UP_DENIED, LOOK_UP_FAILED, LOOK_UP_REFUSED, Queries
from bulk_invite.domain.backoff import Backoff
from bulk_invite.domain.errors import CheckpointError, SenderError
from bulk_invite.domain.findings import (
    Absent,
    Content,
    DoubtfulRow,
    Finding,
    Found,
    Listed,
    SettledRow,
    TooEarly,
    Unclear,
)
from bulk_invite.domain.matching import SEVERAL_ROWS
from bulk_invite.domain.tokens import body_hash
from bulk_invite.domain.verdicts import Answer, HttpAnswer, NoAnswer

pytestmark = pytest.mark.anyio

EPOCH = 1_800_000_000.0
SETTLING = 60.0


@pytest.fixture
def anyio_backend() -> object:
    return VIRTUAL_TIME


def rows(count: int, *, per_engagement: int = 1, ago: float = 1000.0) -> list[DoubtfulRow]:
    invitations = [
        invitation(f"t{each}", engagement=f"eng-{each // per_engagement}") for each in range(count)
    ]
    return [doubtful(each, EPOCH - ago) for each in invitations]


def arrived(of: Iterable[DoubtfulRow]) -> list[tuple[Listed, Content]]:
    return [arrival(f"{row.client_token} {row.engagement}", EPOCH - 999) for row in of]


@dataclass
class Desk:
    """A look-up over fakes, and the finding that every caller got."""

    finder: ScriptedFinder
    known: KnownRows = field(default_factory=KnownRows)
    findings: dict[str, Finding | BaseException] = field(default_factory=dict)

    def __post_init__(self) -> None:
        queries = Queries(self.finder, Backoff(0.2, 20.0), lambda: 0.5)
        self.lookup = GroupLookup(
            queries, self.known.rows_of, settling_time=SETTLING, clock=lambda: EPOCH + anyio.current_time()
        )

    async def find(self, row: DoubtfulRow) -> None:
        try:
            self.findings[row.client_token] = await self.lookup.find(row)
        except (SenderError, CheckpointError) as error:
            self.findings[row.client_token] = error

    async def find_each(self, rows: Sequence[DoubtfulRow], *, within: float = 86400.0) -> Desk:
        """All callers ask for one row at the same time; every one of them gets an answer."""
        with anyio.fail_after(within):
            async with anyio.create_task_group() as group:
                for row in rows:
                    group.start_soon(self.find, row)
        assert set(self.findings) == {row.client_token for row in rows}
        return self

    def ids(self) -> dict[str, str]:
        return {
            token: finding.invitation.invitation_id
            for token, finding in self.findings.items()
            if isinstance(finding, Found)
        }


# Together


async def test_waiting_rows_share_lists_of_up_to_ten_engagements() -> None:
    asked = rows(60, per_engagement=2)
    desk = await Desk(ScriptedFinder(arrived(asked))).find_each(asked)
    assert desk.ids() == {row.client_token: f"engi-{row.client_token}-1" for row in asked}
    assert [len(engagements) for _, engagements in desk.finder.asked] == [10, 10, 10]
    assert sorted(each for _, each in desk.finder.got) == sorted(desk.ids().values())


async def test_a_row_that_arrives_during_a_list_waits_for_the_next_one() -> None:
    first, second = rows(2)
    desk = Desk(ScriptedFinder(arrived([first, second])))
    async with anyio.create_task_group() as group:
        group.start_soon(desk.find, first)
        await anyio.sleep(0.05)
        group.start_soon(desk.find, second)
    assert [engagements for _, engagements in desk.finder.asked] == [("eng-0",), ("eng-1",)]
    assert len(desk.ids()) == 2


async def test_a_row_may_be_looked_up_again() -> None:
    (row,) = rows(1, ago=0.0)
    desk = Desk(ScriptedFinder())
    await desk.find(row)
    early = desk.findings[row.client_token]
    assert isinstance(early, TooEarly)
    assert early.seconds == pytest.approx(SETTLING, abs=0.01)
    await anyio.sleep(early.seconds)
    await desk.find(row)
    assert isinstance(desk.findings[row.client_token], Absent)


@pytest.mark.parametrize("ahead", [0.0, 36000.0])
async def test_a_clock_far_ahead_does_not_hide_an_invitation(ahead: float) -> None:
    (row,) = rows(1)
    at = EPOCH - 999 - ahead
    arrivals = [arrival("t0 eng-0", at)]
    desk = await Desk(ScriptedFinder(arrivals, date=EPOCH - ahead)).find_each([row])
    assert desk.ids() == {"t0": "engi-t0-1"}
    blind = await Desk(ScriptedFinder(arrivals)).find_each([row])
    assert bool(blind.ids()) == (not ahead)


# Pages


@pytest.mark.parametrize(("page_size", "overlap"), [(100, 0), (1, 0), (7, 0), (7, 3), (25, 24)])
async def test_a_list_is_read_to_its_last_page(page_size: int, overlap: int) -> None:
    asked = rows(25, per_engagement=25)
    desk = Desk(ScriptedFinder(arrived(asked), page_size=page_size, overlap=overlap))
    await desk.find_each(asked)
    assert len(desk.ids()) == 25
    assert {finding.listed for finding in desk.findings.values() if isinstance(finding, Found)} == {25}


async def test_an_endless_list_is_given_up() -> None:
    asked = rows(3)
    desk = await Desk(ScriptedFinder(arrived(asked), endless=True, seconds=0.01)).find_each(asked[:1])
    assert desk.findings == {"t0": Unclear(LOOK_UP_FAILED)}
    assert len(desk.finder.asked) == 1000


async def test_at_most_ten_queries_are_sent_in_any_second() -> None:
    asked = rows(80, per_engagement=4)
    desk = await Desk(ScriptedFinder(arrived(asked), seconds=0.0)).find_each(asked)
    times = desk.finder.times()
    assert len(times) > 80
    assert all(later - earlier > 0.9999 for earlier, later in zip(times, times[10:], strict=False))


# Answers


@pytest.mark.parametrize("answer", [THROTTLED, DOWN])
async def test_a_throttled_or_undelivered_query_is_retried_without_limit(answer: Answer) -> None:
    asked = rows(2)
    finder = ScriptedFinder(arrived(asked), lists=[answer] * 200, gets=[answer] * 200)
    desk = await Desk(finder).find_each(asked)
    assert len(desk.ids()) == 2
    gaps = [later - earlier for earlier, later in pairwise(finder.times())]
    assert max(gaps) < 20


async def test_a_look_up_keeps_to_retry_after() -> None:
    asked = rows(1)
    finder = ScriptedFinder(arrived(asked), lists=[HttpAnswer(400, "ThrottlingException", retry_after=300.0)])
    await Desk(finder).find_each(asked)
    first, second = [time for time, _ in finder.asked]
    assert 300 <= second - first < 302


async def test_a_retry_after_without_end_is_capped() -> None:
    asked = rows(1)
    never = HttpAnswer(400, "ThrottlingException", retry_after=float("inf"))
    desk = await Desk(ScriptedFinder(arrived(asked), lists=[never])).find_each(asked, within=2 * 86400)
    assert len(desk.ids()) == 1
    assert running_loop().time() < 86400 + 10


@pytest.mark.parametrize("answer", [SERVER_ERROR, RESET])
async def test_a_query_without_a_clear_answer_is_retried_a_few_times(answer: Answer) -> None:
    asked = rows(1)
    finder = ScriptedFinder(arrived(asked), lists=[answer] * 5, gets=[answer] * 5)
    assert len((await Desk(finder).find_each(asked)).ids()) == 1
    for finder in (
        ScriptedFinder(arrived(asked), lists=[answer] * 6),
        ScriptedFinder(arrived(asked), gets=[answer] * 6),
    ):
        assert (await Desk(finder).find_each(asked)).findings == {"t0": Unclear(LOOK_UP_FAILED)}
        assert len(finder.got or finder.asked) == 6


async def test_after_three_denials_no_query_is_sent() -> None:
    asked = rows(30)
    finder = ScriptedFinder(arrived(asked), always=DENIED)
    with capture_logs() as logs:
        desk = await Desk(finder).find_each(asked)
        await desk.find_each(asked)
    assert set(desk.findings.values()) == {Unclear(LOOK_UP_DENIED)}
    assert len(finder.asked) == 3
    assert [each["event"] for each in logs] == ["lookup.denied"]


async def test_an_unknown_engagement_does_not_affect_others() -> None:
    asked = rows(10)
    finder = ScriptedFinder(arrived(asked), unknown=["eng-3"])
    desk = Desk(finder)
    findings = await desk.lookup.find_all(asked)
    assert [type(each) for each in findings] == [Found] * 3 + [Unclear] + [Found] * 6
    assert findings[3] == Unclear(LOOK_UP_REFUSED)
    assert len(finder.asked) == 11


@pytest.mark.parametrize("answer", [UNKNOWN, CONFLICT, NoAnswer(("SurpriseError",))])
async def test_an_unfamiliar_answer_to_a_query_leaves_the_rows_in_doubt(answer: Answer) -> None:
    asked = rows(3)
    desk = await Desk(ScriptedFinder(arrived(asked), always=answer)).find_each(asked)
    assert set(desk.findings.values()) == {Unclear(LOOK_UP_FAILED)}


# Errors, and callers that are cancelled


async def test_refused_credentials_are_raised_for_every_waiting_row() -> None:
    asked = rows(25)
    desk = await Desk(ScriptedFinder(arrived(asked), always=EXPIRED)).find_each(asked)
    assert {type(each) for each in desk.findings.values()} == {SenderError}


async def test_a_failed_checkpoint_is_raised_for_every_waiting_row() -> None:
    class Broken(KnownRows):
        async def rows_of(self, engagements: Sequence[str]) -> tuple[list[DoubtfulRow], list[SettledRow]]:
            await super().rows_of(engagements)
            raise CheckpointError("The disk is full.")

    asked = rows(25)
    desk = await Desk(ScriptedFinder(arrived(asked)), Broken()).find_each(asked)
    assert {type(each) for each in desk.findings.values()} == {CheckpointError}


@pytest.mark.parametrize("gone", [[0], [3], [0, 3, 11], list(range(11))])
@pytest.mark.parametrize("moment", [0.0, 0.05, 0.25])
async def test_a_cancelled_row_does_not_affect_other_waiting_rows(gone: list[int], moment: float) -> None:
    asked = rows(12)
    desk = Desk(ScriptedFinder(arrived(asked)))
    scopes: dict[int, anyio.CancelScope] = {}

    async def ask(number: int) -> None:
        with anyio.CancelScope() as scopes[number]:
            await desk.find(asked[number])

    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            for number in range(12):
                group.start_soon(ask, number)
            await anyio.sleep(moment)
            for number in gone:
                scopes[number].cancel()
    left = {f"t{number}" for number in range(12) if number not in gone}
    assert set(desk.ids()) == left
    # The look-up is unchanged: a cancelled caller may ask again.
    await desk.find(asked[gone[0]])
    assert f"t{gone[0]}" in desk.ids()


# Findings during a look-up


async def test_a_row_that_gets_the_invitation_meanwhile_keeps_it() -> None:
    row, other = rows(1)[0], doubtful(invitation("other", engagement="eng-0"), EPOCH - 1000)
    known = KnownRows([row, other], becomes=KnownRows([row], [SettledRow("other", "engi-t0-1")]))
    desk = await Desk(ScriptedFinder(arrived([row])), known).find_each([row])
    finding = desk.findings["t0"]
    assert isinstance(finding, Absent)
    assert finding.listed == 1


async def test_a_row_that_falls_into_doubt_meanwhile_is_a_rival() -> None:
    (row,) = rows(1)
    body = row.body.replace(b'"t0"', b'"t9"') if row.body else b""
    twin = DoubtfulRow("t9", body_hash(body), "eng-0", "LeadInvitation", EPOCH, EPOCH)
    known = KnownRows([row], becomes=KnownRows([row, twin]))
    desk = await Desk(ScriptedFinder(arrived([row])), known).find_each([row])
    assert desk.findings == {"t0": Unclear(SEVERAL_ROWS, ("engi-t0-1",), ("t9",))}


async def test_a_list_need_not_contain_later_invitations() -> None:
    (row,) = rows(1, ago=SETTLING - 5)
    desk = await Desk(ScriptedFinder(seconds=10.0)).find_each([row])
    finding = desk.findings["t0"]
    assert isinstance(finding, TooEarly), "the list is as old as its question"
    assert finding.seconds == pytest.approx(5, abs=0.1)
