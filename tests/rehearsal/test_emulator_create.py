"""CreateEngagementInvitation on the emulator, through real aioboto3 over real sockets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from emulator_client import LEAD, aws_client, code, create_request, post, refused

from bulk_invite.domain.tokens import body_hash, canonical_json
from bulk_invite.rehearsal.emulator.fault_options import FaultOptions
from bulk_invite.rehearsal.emulator.options import Options
from bulk_invite.rehearsal.emulator.server import Server, serve
from bulk_invite.validation import ShapeValidator
from bulk_invite.validation.service_model import load

pytestmark = pytest.mark.anyio

_DAY = 86400.0


class Clock:
    """A clock that does not move until it is set: retention and quotas are tested without waiting."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def emulator(clock: Clock | None = None, **options: Any) -> AsyncIterator[tuple[Server, Any]]:
    async with (
        serve(Options(**options), clock=clock or time.time) as server,
        aws_client(server.url) as client,
    ):
        yield server, client


async def create(client: Any, *arguments: Any, **members: Any) -> Mapping[str, Any]:
    answer: Mapping[str, Any] = await client.create_engagement_invitation(
        **create_request(*arguments, **members)
    )
    return answer


async def test_an_invitation_is_created_and_recorded_in_the_ledger() -> None:
    async with emulator() as (server, client):
        answer = await create(client, 1)
        assert not ShapeValidator(load(), "EngagementInvitationIdentifier").errors(answer["Id"])
        # Real ones do not match the modelled pattern either, and no client may fail a row on that.
        assert ShapeValidator(load(), "EngagementInvitationArn").errors(answer["Arn"])
        assert answer["ResponseMetadata"]["RequestId"]
        (number,) = server.state.of_account("Sandbox", "111122223333")
        entry = server.state.full_entry(server.state.invited(number))
    assert (entry.id, entry.arn) == (answer["Id"], answer["Arn"])
    assert entry.request == create_request(1)
    assert entry.body_sha256 == body_hash(canonical_json(create_request(1)))
    assert entry.time == pytest.approx(time.time(), abs=5)


async def test_a_lead_invitation_is_created_as_well() -> None:
    async with emulator() as (server, client):
        assert (await client.create_engagement_invitation(**LEAD))["Id"]
        assert server.state.invited(0).payload_type == "LeadInvitation"


async def test_a_replay_gets_the_same_id_and_creates_nothing() -> None:
    async with emulator() as (server, client):
        first, again = await create(client, 1), await create(client, 1)
        other = await create(client, 2)
        audit = server.audit()
    assert (first["Id"], first["Arn"]) == (again["Id"], again["Arn"])
    assert other["Id"] != first["Id"]
    assert (audit["created"], audit["replayed"], audit["invitations"]) == (2, 1, 2)


async def test_a_token_with_another_body_is_a_conflict() -> None:
    async with emulator() as (server, client):
        await create(client, 1)
        other = create_request(1, engagement="eng-99999999999999")
        assert await code(client.create_engagement_invitation(**other)) == "ConflictException"
        assert server.audit()["invitations"] == 1


async def test_a_token_is_forgotten_after_its_retention_and_then_invites_twice() -> None:
    clock = Clock()
    async with emulator(clock, token_retention=60.0) as (server, client):
        first = await create(client, 1)
        clock.now += 59.9
        assert (await create(client, 1))["Id"] == first["Id"]
        clock.now += 0.2
        assert (await create(client, 1))["Id"] != first["Id"]
        audit = server.audit()
    assert (audit["invitations"], audit["double_by_token"], audit["double_by_body"]) == (2, 1, 1)


async def test_the_same_invitation_with_another_token_is_a_duplicate_by_body_only() -> None:
    async with emulator() as (server, client):
        await create(client, 1)
        await create(client, 1, ClientToken="another")
        audit = server.audit()
    assert (audit["double_by_token"], audit["double_by_body"], audit["bodies"]) == (0, 1, 1)


async def test_an_engagement_takes_nine_invitations_and_replays_do_not_count() -> None:
    async with emulator() as (server, client):
        for number in range(9):
            await create(client, number, engagement="eng-0000000000full")
        full = create_request(9, engagement="eng-0000000000full")
        assert await code(client.create_engagement_invitation(**full)) == "ServiceQuotaExceededException"
        assert (await create(client, 8, engagement="eng-0000000000full"))["Id"]
        assert (await create(client, 10))["Id"]
        assert server.audit()["outcomes"]["ServiceQuotaExceededException"] == 1


async def test_the_limit_of_an_engagement_can_be_set_and_lifted() -> None:
    async with emulator(invitations_per_engagement=1) as (_, client):
        await create(client, 1, engagement="eng-0000000000full")
        second = create_request(2, engagement="eng-0000000000full")
        assert await code(client.create_engagement_invitation(**second)) == "ServiceQuotaExceededException"
    async with emulator(invitations_per_engagement=None) as (server, client):
        for number in range(12):
            await create(client, number, engagement="eng-0000000000full")
        assert server.audit()["invitations"] == 12


async def test_engagements_can_be_unknown_or_forbidden_by_name_or_glob() -> None:
    options: dict[str, Any] = {
        "unknown_engagements": ("eng-unknown*", "eng-0123456789abcd"),
        "forbidden_engagements": ("eng-forbidden*",),
    }
    async with emulator(**options) as (server, client):
        for engagement, expected in [
            ("eng-unknown0000001", "ResourceNotFoundException"),
            ("eng-0123456789abcd", "ResourceNotFoundException"),
            ("eng-forbidden00001", "AccessDeniedException"),
        ]:
            request = create_request(1, engagement=engagement)
            assert await code(client.create_engagement_invitation(**request)) == expected
        await create(client, 1, engagement="eng-0123456789abce")
        assert server.audit()["invitations"] == 1


async def test_a_denied_account_creates_nothing() -> None:
    async with emulator(deny_accounts=("111122223333",)) as (server, client):
        assert await code(client.create_engagement_invitation(**create_request())) == "AccessDeniedException"
        assert server.audit()["invitations"] == 0


async def test_a_request_against_the_model_names_every_field() -> None:
    async with emulator() as (server, client):
        request = create_request(1, engagement="wrong", Catalog="12")
        answer = await refused(client.create_engagement_invitation(**request))
        assert answer["Error"]["Code"] == "ValidationException"
        assert answer["Reason"] == "REQUEST_VALIDATION_FAILED"
        assert {(e["FieldName"], e["Code"]) for e in answer["ErrorList"]} == {
            ("EngagementIdentifier", "INVALID_STRING_FORMAT"),
            ("Catalog", "INVALID_STRING_FORMAT"),
        }
        status, _, body = await asyncio.to_thread(post, server.url, {"Catalog": "Sandbox", "Extra": 1})
        assert status == 400
        assert b"REQUIRED_FIELD_MISSING" in body
        assert server.audit()["invitations"] == 0


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[" * 5000, b'"\\ud800"'])
async def test_a_body_that_is_not_json_is_refused(body: bytes) -> None:
    async with serve(Options()) as server:
        status, headers, answer = await asyncio.to_thread(post, server.url, body)
    assert status == 400
    assert b"#SerializationException" in answer
    assert headers["content-type"] == "application/x-amz-json-1.0"


@pytest.mark.parametrize("body", [b"[]", b"null", b"1", b'{"ClientToken": 5, "Invitation": []}'])
async def test_json_that_is_no_request_is_refused(body: bytes) -> None:
    async with serve(Options()) as server:
        status, _, answer = await asyncio.to_thread(post, server.url, body)
    assert status == 400
    assert b"#ValidationException" in answer


async def test_an_unknown_operation_is_refused_and_kept_out_of_the_totals() -> None:
    async with serve(Options()) as server:
        status, _, answer = await asyncio.to_thread(post, server.url, create_request(), operation="Erase\xff")
        assert (status, server.audit()["calls"]) == (400, 0)
    assert b"UnknownOperationException" in answer


async def test_the_bucket_throttles_and_a_throttled_call_commits_nothing() -> None:
    clock = Clock()
    async with emulator(clock, rate=1.0, burst=2, tell_retry_after=True) as (server, client):
        await create(client, 1)
        await create(client, 2)
        answer = await refused(client.create_engagement_invitation(**create_request(3)))
        assert answer["Error"]["Code"] == "ThrottlingException"
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 400
        assert answer["ResponseMetadata"]["HTTPHeaders"]["x-amz-retry-after"] == "1000"
        clock.now += 1
        await create(client, 3)
        audit = server.audit()
    assert (audit["created"], audit["throttled"], audit["max_granted_per_second"]) == (3, 1, 2)


async def test_throttles_have_no_retry_after_unless_set() -> None:
    async with emulator(Clock(), rate=1.0) as (_, client):
        await create(client, 1)
        answer = await refused(client.create_engagement_invitation(**create_request(2)))
        assert "x-amz-retry-after" not in answer["ResponseMetadata"]["HTTPHeaders"]


async def test_the_rolling_daily_quota_throttles_and_rolls() -> None:
    async with emulator(daily_quota=3, day=2.0) as (server, client):
        start = time.monotonic()
        for number in range(3):
            await create(client, number)
        assert await code(client.create_engagement_invitation(**create_request(3))) == "ThrottlingException"
        while time.monotonic() < start + 8:
            try:
                await create(client, 3)
                break
            except client.exceptions.ThrottlingException:
                await asyncio.sleep(0.05)
        assert time.monotonic() - start == pytest.approx(2.0, abs=0.8)
        assert server.audit()["max_granted_per_day"] == 3


async def test_refused_and_replayed_calls_are_charged_to_the_quota() -> None:
    async with emulator(Clock(), daily_quota=3, day=_DAY) as (_, client):
        await create(client, 1)
        await create(client, 1)
        bad = create_request(2, engagement="wrong")
        assert await code(client.create_engagement_invitation(**bad)) == "ValidationException"
        assert await code(client.create_engagement_invitation(**create_request(3))) == "ThrottlingException"


async def test_every_call_takes_the_set_latency() -> None:
    async with emulator(latency=0.3, jitter=0.1) as (_, client):
        start = time.monotonic()
        await asyncio.gather(*(create(client, number) for number in range(5)))
        assert 0.3 <= time.monotonic() - start < 1.5


async def test_the_same_seed_and_calls_give_the_same_run() -> None:
    async def run(seed: int) -> list[object]:
        faults = FaultOptions(error_500=0.3, empty=0.3)
        async with serve(Options(seed=seed, faults=faults)) as server:
            return [(await asyncio.to_thread(post, server.url, create_request(n)))[2] for n in range(20)]

    first = await run(3)
    assert first == await run(3)
    assert first != await run(4)
