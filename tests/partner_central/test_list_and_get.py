"""List and Get by real aioboto3 from an emulator: sent rows are shown, and no fault looks like absence."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest
from clearances import cleared
from command import Reply, ScriptedServer, Then, emulator, http, refusal
from fakes import KnownRows
from row_checks import LEAD, OPPORTUNITY, accepted
from rows import make_rows
from shown import doubtful
from test_partner_central import _own_credentials, connection

from bulk_invite.delivery.lookup.group_lookup import GroupLookup
from bulk_invite.delivery.lookup.queries import Queries
from bulk_invite.domain.backoff import Backoff
from bulk_invite.domain.classify import classify
from bulk_invite.domain.findings import Absent, Content, Found, Listed, Page
from bulk_invite.domain.rows import Invitation
from bulk_invite.domain.verdicts import (
    Answer,
    Created,
    Denied,
    Doubtful,
    Refused,
    SenderRefused,
    Throttled,
    Unreachable,
    Verdict,
)
from bulk_invite.partner_central import PartnerCentral, connect
from bulk_invite.rehearsal.emulator.fault_options import FaultOptions

pytestmark = pytest.mark.anyio

__all__ = ["_own_credentials"]  # a fixture that every test here uses


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": True}


def engagement(number: int) -> str:
    return f"eng-{number:014}"


def invitations(count: int, engagements: int) -> list[Invitation]:
    return [
        accepted(orjson.dumps({**row, "EngagementIdentifier": engagement(number % engagements)}))
        for number, row in enumerate(make_rows(count))
    ]


async def send(partner_central: PartnerCentral, rows: list[Invitation]) -> dict[str, str]:
    """Ids by client token."""
    ids: dict[str, str] = {}
    for row in rows:
        verdict = classify(await partner_central.create(row.body, cleared()))
        assert isinstance(verdict, Created)
        ids[row.client_token] = verdict.invitation_id
    return ids


async def list_all(partner_central: PartnerCentral, engagements: list[str]) -> list[Page]:
    pages: list[Page] = []
    token = ""
    while not pages or token:
        page = await partner_central.list_invitations(engagements, token)
        assert isinstance(page, Page)
        assert page not in pages, "the same page again"
        pages.append(page)
        token = page.next_token
    return pages


async def test_a_sent_invitation_is_listed_and_shown() -> None:
    with emulator() as server:
        async with connect(connection(server.url)) as partner_central:
            for example in (OPPORTUNITY, LEAD):
                row = accepted(orjson.dumps(example))
                before = time.time()
                (identifier,) = (await send(partner_central, [row])).values()
                page = await partner_central.list_invitations([row.engagement], "")
                assert isinstance(page, Page)
                assert page.next_token == ""
                (listed,) = [each for each in page.invitations if each.invitation_id == identifier]
                assert listed.invited_at is not None
                assert before - 0.001 <= listed.invited_at <= time.time()
                assert replace(listed, invited_at=None) == Listed(
                    identifier,
                    listed.arn,
                    row.engagement,
                    row.payload_type,
                    example["Invitation"]["Receiver"]["Account"]["AwsAccountId"],
                    None,
                )
                assert listed.arn.endswith(identifier)
                asked = example["Invitation"]
                assert await partner_central.get_invitation(identifier) == Content(
                    asked["Message"], asked["Receiver"], asked["Payload"]
                )


async def test_a_list_of_ten_engagements_is_complete_over_pages_and_oldest_first() -> None:
    with emulator(invitations_per_engagement=100) as server:
        async with connect(connection(server.url)) as partner_central:
            rows = invitations(240, 11)
            ids = await send(partner_central, rows)
            asked = [engagement(number) for number in range(10)]
            pages = await list_all(partner_central, asked)
    assert [len(page.invitations) for page in pages] == [100, 100, 19]
    expected = [ids[row.client_token] for row in rows if row.engagement in asked]
    assert [each.invitation_id for page in pages for each in page.invitations] == expected


def nothing(page: Page | Answer) -> bool:
    return isinstance(page, Page) and (page.invitations, page.next_token) == ((), "")


async def test_an_invitation_missing_from_a_lagging_list_is_shown_by_get() -> None:
    with emulator(list_delay=0.5) as server:
        async with connect(connection(server.url)) as partner_central:
            (row,) = invitations(1, 1)
            (identifier,) = (await send(partner_central, [row])).values()
            assert nothing(await partner_central.list_invitations([row.engagement], ""))
            assert isinstance(await partner_central.get_invitation(identifier), Content)
            await anyio.sleep(0.5)
            page = await partner_central.list_invitations([row.engagement], "")
            assert isinstance(page, Page)
            assert [each.invitation_id for each in page.invitations] == [identifier]
            assert page.date == pytest.approx(time.time(), abs=5)


async def test_another_catalog_does_not_list_it() -> None:
    with emulator() as server:
        async with (
            connect(connection(server.url)) as sandbox,
            connect(connection(server.url, catalog="AWS")) as live,
        ):
            (row,) = invitations(1, 1)
            (identifier,) = (await send(sandbox, [row])).values()
            assert nothing(await live.list_invitations([row.engagement], ""))
            answer = await live.get_invitation(identifier)
    assert not isinstance(answer, Content)
    assert classify(answer) == Refused("ResourceNotFoundException")


FAULTS = [
    "error_500",
    "error_503",
    "reset_before",
    "reset_after",
    "close",
    "truncate",
    "empty",
    "html",
    "slow",
]


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_on_a_read_is_doubtful_and_never_an_empty_list(fault: str, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    with emulator(ledger=ledger) as server:
        async with connect(connection(server.url)) as partner_central:
            (identifier,) = (await send(partner_central, invitations(1, 1))).values()
    options = {"faults": FaultOptions(**{fault: 1.0}), "faults_on_reads": True, "slow_for": 2.0}
    for committed in (0.0, 1.0):
        with emulator(ledger=ledger, faults_committed=committed, **options) as server:
            async with connect(connection(server.url, deadline=0.3)) as partner_central:
                listed = await partner_central.list_invitations([engagement(0)], "")
                content_answer = await partner_central.get_invitation(identifier)
            # A slow call is on record only after its pause.
            assert fault == "slow" or [call["fault"] for call in server.reads()[-2:]] == [fault, fault]
        assert isinstance(_verdict(listed), Doubtful)
        assert isinstance(_verdict(content_answer), Doubtful)


def _verdict(answer: Page | Content | Answer) -> Verdict:
    assert not isinstance(answer, Page | Content)
    return classify(answer)


ODD = {
    "nothing": http(200, b""),
    "null": http(200, None),
    "a list": http(200, []),
    "no summaries": http(200, {"NextToken": "more"}),
    "null for summaries": http(200, {"EngagementInvitationSummaries": None}),
    "a text for summaries": http(200, {"EngagementInvitationSummaries": "none"}),
    "numbers for summaries": http(200, {"EngagementInvitationSummaries": [1, 2]}),
    "a page of a proxy": http(200, b"<html>Sign in</html>", content_type="text/html"),
    "another's invitation": http(200, {"Id": "engi-other", "Catalog": "Sandbox", "InvitationMessage": "x"}),
    "one that is left out": http(200, {"EngagementInvitationSummaries": [{"Id": "engi-1"}, None]}),
    "one without an Id": http(200, {"EngagementInvitationSummaries": [{"Catalog": "Sandbox"}]}),
    "a next page that has no name": http(200, {"EngagementInvitationSummaries": [], "NextToken": 7}),
    "a date that is none": http(
        200, {"EngagementInvitationSummaries": [{"Id": "engi-1", "InvitationDate": "soon"}]}
    ),
}


async def test_a_success_without_the_requested_data_is_doubtful() -> None:
    bodies = list(ODD.values())
    with ScriptedServer(lambda _: Reply(b""), others=lambda: bodies[0]) as server:
        async with connect(connection(server.url)) as partner_central:
            for name in ODD:
                for answer in (
                    await partner_central.list_invitations([engagement(1)], ""),
                    await partner_central.get_invitation("engi-0123456789abc"),
                ):
                    assert isinstance(_verdict(answer), Doubtful), name
                bodies.pop(0)


async def test_an_invitation_shown_without_members_still_counts() -> None:
    page = http(200, {"EngagementInvitationSummaries": [{"Id": "engi-1", "Catalog": "Sandbox"}]})
    content_answer = http(200, {"Id": "engi-1", "Catalog": "Sandbox"})
    bodies = [page, content_answer]
    with ScriptedServer(lambda _: Reply(b""), others=lambda: bodies.pop(0)) as server:
        async with connect(connection(server.url)) as partner_central:
            listed = await partner_central.list_invitations([engagement(1)], "")
            assert listed == Page((Listed("engi-1", "", "", "", "", None),), "")
            assert await partner_central.get_invitation("engi-1") == Content("", {}, {})


async def test_refused_reads_are_classified_as_refused_calls_are() -> None:
    answers = [
        (
            refusal("ThrottlingException", headers={"x-amz-retry-after": "1500"}),
            Throttled("ThrottlingException", 1.5),
        ),
        (refusal("AccessDeniedException"), Denied("AccessDeniedException", whole_account=False)),
        (refusal("ValidationException"), Refused("ValidationException")),
        (refusal("ExpiredTokenException", status=403), SenderRefused("ExpiredTokenException")),
    ]
    bodies = [body for body, _ in answers]
    with ScriptedServer(lambda _: Reply(b"", Then.CLOSE), others=lambda: bodies.pop(0)) as server:
        async with connect(connection(server.url)) as partner_central:
            for _, verdict in answers:
                assert _verdict(await partner_central.list_invitations([engagement(1)], "")) == verdict
    async with connect(connection("http://127.0.0.1:1")) as partner_central:
        answer = await partner_central.get_invitation("engi-1")
        assert isinstance(_verdict(answer), Unreachable)


async def test_every_row_finds_its_own_invitation_through_throttles_and_faults(tmp_path: Path) -> None:
    rows = invitations(9, 3)
    ledger = tmp_path / "ledger"
    faults = FaultOptions(error_500=0.1, truncate=0.1, html=0.1, empty=0.1, throttle=0.1)
    with emulator(ledger=ledger) as server:
        async with connect(connection(server.url)) as partner_central:
            ids = await send(partner_central, rows[:6])
    wanted = [doubtful(row, time.time() - 100) for row in rows]
    with emulator(ledger=ledger, faults=faults, faults_on_reads=True, retry_after=0.01) as server:
        async with connect(connection(server.url)) as finder:
            queries = Queries(finder, Backoff(0.01, 0.05), lambda: 0.5)
            lookup = GroupLookup(queries, KnownRows(wanted).rows_of, settling_time=1.0, clock=time.time)
            findings = await lookup.find_all(wanted)
        assert sum(call["fault"] is not None for call in server.reads()) > 2
    found = [each.invitation.invitation_id for each in findings if isinstance(each, Found)]
    assert found == [ids[row.client_token] for row in rows[:6]]
    assert [type(each) for each in findings[6:]] == [Absent] * 3
