"""Each fault with probability 1, as it looks on the wire, with and without a commit behind it."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
from typing import Any

import anyio
import pytest
from emulator_client import aws_client, create_request, eventually, post

from bulk_invite.domain.errors import UsageError
from bulk_invite.rehearsal.emulator.fault_options import FaultOptions
from bulk_invite.rehearsal.emulator.options import Options
from bulk_invite.rehearsal.emulator.server import Server, serve

pytestmark = pytest.mark.anyio

OPEN = ["error_500", "error_503", "close", "truncate", "empty", "html"]


def _options(fault: str, *, committed: float = 0.5, **options: Any) -> Options:
    return Options(faults=FaultOptions(**{fault: 1.0}), faults_committed=committed, **options)


async def _post(server: Server, number: int = 1, **options: Any) -> tuple[int, dict[str, str], bytes]:
    return await asyncio.to_thread(post, server.url, create_request(number), **options)


@pytest.mark.parametrize("committed", [0.0, 1.0])
@pytest.mark.parametrize("fault", OPEN)
async def test_a_fault_leaves_the_outcome_open(fault: str, committed: float) -> None:
    async with serve(_options(fault, committed=committed)) as server:
        seen = await _seen(server)
        audit = server.audit()
    assert (
        seen
        == {
            "error_500": (500, b"InternalServerException"),
            "error_503": (503, b"503 Service Unavailable"),
            "close": http.client.RemoteDisconnected,
            "truncate": http.client.IncompleteRead,
            "empty": (200, b"{}"),
            "html": (200, b"<html>"),
        }[fault]
    )
    assert audit["invitations"] == committed
    assert audit["faults"] == audit["answers"] == {fault: 1}
    assert audit["outcomes"] == {"created" if committed else "none": 1}


async def _seen(server: Server) -> object:
    known = (b"InternalServerException", b"503 Service Unavailable", b"{}", b"<html>")
    try:
        status, _, body = await _post(server)
    except (http.client.HTTPException, OSError) as error:
        return type(error)
    return status, next((text for text in known if text in body), body)


@pytest.mark.parametrize("fault", [*OPEN, "slow"])
async def test_by_default_a_fault_is_committed_about_half_the_time(fault: str) -> None:
    async with serve(_options(fault, slow_for=0.0)) as server:
        for number in range(40):
            await _attempt(server, number)
        audit = server.audit()
    assert audit["faults"] == {fault: 40}
    # A slow call is answered in the end, and its caller is still there here.
    assert (audit["invitations"] == 40) if fault == "slow" else (8 < audit["invitations"] < 32)


async def _attempt(server: Server, number: int) -> None:
    try:
        await _post(server, number)
    except (http.client.HTTPException, OSError):
        return


@pytest.mark.parametrize(("fault", "invitations"), [("reset_before", 0), ("reset_after", 1)])
async def test_a_reset_is_a_tcp_reset_and_commits_as_its_name_says(fault: str, invitations: int) -> None:
    async with serve(_options(fault)) as server:
        assert await asyncio.to_thread(_received_by_a_bare_socket, server.url) == "reset"
        assert server.audit()["invitations"] == invitations


async def test_a_close_is_not_a_reset() -> None:
    async with serve(_options("close")) as server:
        assert await asyncio.to_thread(_received_by_a_bare_socket, server.url) == "end"


def _received_by_a_bare_socket(url: str) -> str:
    """The bytes or close that follow a whole request: RST, FIN, or data."""
    host, _, port = url.removeprefix("http://").partition(":")
    body = json.dumps(create_request(1)).encode()
    head = (
        f"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n"
        "X-Amz-Target: AWSPartnerCentralSelling.CreateEngagementInvitation\r\n\r\n"
    )
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(head.encode() + body)
        try:
            return "data" if connection.recv(1) else "end"
        except ConnectionResetError:
            return "reset"


async def test_a_refused_call_gets_its_refusal_instead_of_a_fault_after_commit() -> None:
    async with serve(_options("reset_after", unknown_engagements=("*",))) as server:
        status, _, body = await _post(server)
        assert (status, server.audit()["faults"]) == (400, {})
    assert b"ResourceNotFoundException" in body


async def test_an_injected_throttle_names_its_wait_and_is_not_charged() -> None:
    async with serve(_options("throttle", retry_after=0.75, daily_quota=1)) as server:
        for number in range(3):
            status, headers, body = await _post(server, number)
            assert (status, headers["x-amz-retry-after"]) == (400, "750")
            assert b"#ThrottlingException" in body
        audit = server.audit()
    assert (audit["throttled"], audit["invitations"], audit["max_granted_per_day"]) == (3, 0, 0)


async def test_a_slow_answer_comes_after_its_pause() -> None:
    async with serve(_options("slow", slow_for=0.5)) as server:
        with anyio.fail_after(5):
            start = anyio.current_time()
            status, _, _ = await _post(server)
        assert status == 200
        assert anyio.current_time() - start >= 0.5


async def _times_out(server: Server, number: int) -> None:
    with pytest.raises(TimeoutError):
        await _post(server, number, timeout=0.1)


async def test_a_slow_call_is_committed_before_its_caller_gives_up_if_set_so() -> None:
    async with serve(_options("slow", committed=1.0, slow_for=60.0)) as server:
        await _times_out(server, 1)
        assert server.audit()["invitations"] == 1


async def test_a_slow_call_whose_caller_gave_up_is_dropped_or_executed_late() -> None:
    async with serve(_options("slow", committed=0.0, slow_for=0.6)) as server:
        async with anyio.create_task_group() as callers:
            for number in range(16):
                callers.start_soon(_times_out, server, number)
        assert server.audit()["invitations"] == 0
        await eventually(lambda: server.audit()["calls"] == 16)
        audit = server.audit()
    assert audit["outcomes"]["none"] + audit["outcomes"]["created"] == 16
    assert 0 < audit["invitations"] < 16


async def test_reads_meet_faults_only_if_set_so() -> None:
    asked = {"Catalog": "Sandbox", "ParticipantType": "SENDER"}
    async with serve(_options("error_500")) as server, aws_client(server.url) as client:
        assert (await client.list_engagement_invitations(**asked))["EngagementInvitationSummaries"] == []
    async with serve(_options("error_500", faults_on_reads=True)) as server, aws_client(server.url) as client:
        with pytest.raises(client.exceptions.InternalServerException):
            await client.list_engagement_invitations(**asked)


@pytest.mark.parametrize("faults", [{"close": -0.1}, {"close": 1.1}, {"close": 0.6, "slow": 0.6}])
def test_impossible_probabilities_are_refused(faults: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        FaultOptions(**faults)


def test_probabilities_may_add_up_to_one_despite_rounding() -> None:
    FaultOptions(close=0.7, slow=0.2, empty=0.1)
