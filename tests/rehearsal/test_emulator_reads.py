"""ListEngagementInvitations, GetEngagementInvitation and STS, through real aioboto3."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.parsers import ResponseParserError
from emulator_client import LEAD, aws_client, code, create_request, eventually

from bulk_invite.rehearsal.emulator.credentials import Credential
from bulk_invite.rehearsal.emulator.options import Options
from bulk_invite.rehearsal.emulator.server import serve

pytestmark = pytest.mark.anyio

_SENT = {"Catalog": "Sandbox", "ParticipantType": "SENDER"}


async def _all_pages(client: Any, **asked: Any) -> list[list[str]]:
    pages: list[list[str]] = []
    token: dict[str, str] = {}
    while True:
        page = await client.list_engagement_invitations(**_SENT, **asked, **token)
        pages.append([each["Id"] for each in page["EngagementInvitationSummaries"]])
        if "NextToken" not in page:
            return pages
        token = {"NextToken": page["NextToken"]}


async def _create(client: Any, *arguments: Any, **members: Any) -> str:
    answer = await client.create_engagement_invitation(**create_request(*arguments, **members))
    identifier: str = answer["Id"]
    return identifier


async def test_a_list_shows_the_members_that_reconcile_needs() -> None:
    async with serve(Options()) as server, aws_client(server.url) as client:
        identifier = await _create(client, 1)
        page = await client.list_engagement_invitations(**_SENT)
        (summary,) = page["EngagementInvitationSummaries"]
    assert (summary["Id"], summary["EngagementId"]) == (identifier, "eng-00000000000001")
    assert summary["Receiver"] == create_request(1)["Invitation"]["Receiver"]
    assert (summary["PayloadType"], summary["Status"]) == ("OpportunityInvitation", "PENDING")
    assert summary["Arn"].endswith(identifier)
    assert abs(summary["InvitationDate"] - datetime.now(UTC)) < timedelta(seconds=10)
    assert summary["ExpirationDate"] - summary["InvitationDate"] == timedelta(days=15)


async def test_pages_join_without_gap_or_overlap_in_both_orders() -> None:
    async with serve(Options()) as server, aws_client(server.url) as client:
        ids = [await _create(client, number) for number in range(7)]
        for order, expected in (("ASCENDING", ids), ("DESCENDING", ids[::-1])):
            sort = {"SortBy": "InvitationDate", "SortOrder": order}
            pages = await _all_pages(client, Sort=sort, MaxResults=3)
            assert [len(page) for page in pages] == [3, 3, 1]
            assert [each for page in pages for each in page] == expected
        assert [len(page) for page in await _all_pages(client, MaxResults=7)] == [7]
        assert await _all_pages(client, SenderAwsAccountId=["999999999999"]) == [[]]


async def test_an_invitation_created_between_two_pages_shifts_none() -> None:
    async with serve(Options()) as server, aws_client(server.url) as client:
        ids = [await _create(client, number) for number in range(4)]
        first = await client.list_engagement_invitations(**_SENT, MaxResults=2)
        await _create(client, 4)
        second = await client.list_engagement_invitations(**_SENT, MaxResults=2, NextToken=first["NextToken"])
    shown = [each["Id"] for page in (first, second) for each in page["EngagementInvitationSummaries"]]
    assert shown == ids[::-1]


async def test_a_list_is_filtered_by_engagement_payload_type_and_status() -> None:
    async with serve(Options()) as server, aws_client(server.url) as client:
        first, second, _ = [await _create(client, number) for number in (1, 2, 3)]
        lead = (await client.create_engagement_invitation(**LEAD))["Id"]
        arn = "arn:aws:partnercentral:us-east-1:111122223333:catalog/Sandbox/engagement/eng-00000000000002"
        both = ["eng-00000000000001", arn]
        assert await _all_pages(client, EngagementIdentifier=both) == [[second, first]]
        assert await _all_pages(client, PayloadType=["LeadInvitation"]) == [[lead]]
        assert await _all_pages(client, Status=["ACCEPTED", "EXPIRED"]) == [[]]
        assert await _all_pages(client, Status=["PENDING"], PayloadType=["LeadInvitation"]) == [[lead]]


async def test_a_next_token_is_valid_for_its_own_query_only() -> None:
    async with serve(Options()) as server, aws_client(server.url) as client:
        for number in range(3):
            await _create(client, number)
        token = (await client.list_engagement_invitations(**_SENT, MaxResults=1))["NextToken"]
        for other in ({"NextToken": "made up"}, {"NextToken": token, "Status": ["PENDING"]}):
            assert await code(client.list_engagement_invitations(**_SENT, **other)) == "ValidationException"


async def test_accounts_do_not_see_each_other() -> None:
    keys = (Credential("ONE", "s1", "111111111111"), Credential("TWO", "s2", "222222222222"))
    async with (
        serve(Options(credentials=keys)) as server,
        aws_client(server.url, key="ONE", secret="s1") as one,
        aws_client(server.url, key="TWO", secret="s2") as two,
    ):
        first, second = await _create(one, 1), await _create(two, 1)
        assert first != second
        assert await _all_pages(one) == [[first]]
        assert await _all_pages(two, EngagementIdentifier=["eng-00000000000001"]) == [[second]]
        stranger = two.get_engagement_invitation(Catalog="Sandbox", Identifier=first)
        assert await code(stranger) == "ResourceNotFoundException"


async def test_get_shows_payload_and_message_by_id_and_by_arn() -> None:
    request = create_request(1)
    request["Invitation"]["Payload"]["OpportunityInvitation"]["Project"]["ExpectedCustomerSpend"][0][
        "TargetCompany"
    ] = "Example Ltd"
    async with serve(Options()) as server, aws_client(server.url) as client:
        created = await client.create_engagement_invitation(**request)
        for identifier in (created["Id"], created["Arn"]):
            found = await client.get_engagement_invitation(Catalog="Sandbox", Identifier=identifier)
            assert found["InvitationMessage"] == request["Invitation"]["Message"]
            project = found["Payload"]["OpportunityInvitation"]["Project"]
            assert (
                project["Title"]
                == request["Invitation"]["Payload"]["OpportunityInvitation"]["Project"]["Title"]
            )
            assert [spend["TargetCompany"] for spend in project["ExpectedCustomerSpend"]] == ["AWS"]
        for wrong in ({"Identifier": "engi-0000000000000"}, {"Identifier": created["Id"], "Catalog": "AWS"}):
            call = client.get_engagement_invitation(**{"Catalog": "Sandbox", **wrong})
            assert await code(call) == "ResourceNotFoundException"


async def test_a_list_can_lag_behind_while_get_does_not() -> None:
    async with serve(Options(list_delay=0.6)) as server, aws_client(server.url) as client:
        identifier = await _create(client, 1)
        assert await _all_pages(client) == [[]]
        assert await client.get_engagement_invitation(Catalog="Sandbox", Identifier=identifier)

        async def shows_up() -> bool:
            return await _all_pages(client) == [[identifier]]

        await eventually(shows_up)


async def test_reads_have_a_quota_of_their_own() -> None:
    async with serve(Options(read_rate=0.01)) as server, aws_client(server.url) as client:
        await client.list_engagement_invitations(**_SENT)
        assert await code(client.list_engagement_invitations(**_SENT)) == "ThrottlingException"
        await _create(client, 1)
        await _create(client, 2)


async def test_the_emulator_has_no_receivers() -> None:
    async with serve(Options()) as server, aws_client(server.url) as client:
        asked = {"Catalog": "Sandbox", "ParticipantType": "RECEIVER"}
        assert await code(client.list_engagement_invitations(**asked)) == "ValidationException"


async def test_sts_identifies_the_caller() -> None:
    keys = (Credential("ONE", "s1", "444455556666"),)
    async with (
        serve(Options(credentials=keys)) as server,
        aws_client(server.url, "sts", key="ONE", secret="s1") as sts,
    ):
        identity = await sts.get_caller_identity()
        assert await code(sts.get_session_token()) == "InvalidAction"
    assert identity["Account"] == "444455556666"
    assert identity["Arn"] == "arn:aws:iam::444455556666:user/ONE"
    assert identity["UserId"]
    assert identity["ResponseMetadata"]["RequestId"]


async def test_sts_can_be_turned_off() -> None:
    async with serve(Options(no_sts=True)) as server, aws_client(server.url, "sts") as sts:
        with pytest.raises(ResponseParserError):
            await sts.get_caller_identity()
