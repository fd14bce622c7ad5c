"""Notifications by webhook, to a real receiver."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import anyio
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from structlog.testing import capture_logs

from bulk_invite.monitoring.status import RunState, RunStatus
from bulk_invite.monitoring.webhook import Notifications

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


STATUS = RunStatus(
    at="2026-11-25T14:05:00Z",
    version="1",
    command="send",
    started="2026-11-25T14:00:00Z",
    elapsed_s=300.0,
    catalog="AWS",
    account="111122223333",
    campaign="spring",
    endpoint="http://127.0.0.1:1",
    checkpoint="bulk-invite.db",
    sources=["postgresql:crm/public.invitations/id"],
    host="crm-1",
    state=RunState.SENDING,
    created=1234,
    already_created=5,
    failed=2,
)
DONE = replace(STATUS, state=RunState.FINISHED, exit_code=1)
PARKED = replace(STATUS, state=RunState.PARKED, parked="daily_quota", parked_until="2026-11-26T14:00:00Z")


@dataclass
class Receiver:
    """Answers with these, then with 200."""

    answers: Sequence[int] = ()
    got: list[dict[str, Any]] = field(default_factory=list)
    tries: int = 0

    async def receive(self, request: web.Request) -> web.Response:
        self.tries += 1
        status = self.answers[self.tries - 1] if self.tries <= len(self.answers) else 200
        if status == 200:
            assert request.content_type == "application/json"
            self.got.append(json.loads(await request.read()))
        return web.Response(status=status, headers={"Location": "/elsewhere"} if status == 302 else {})


@asynccontextmanager
async def notifying(
    receiver: Receiver, elapsed: Callable[[], float] = time.monotonic
) -> AsyncIterator[Notifications]:
    app = web.Application()
    app.router.add_post("/hook", receiver.receive)
    async with TestServer(app) as server, anyio.create_task_group() as group:
        notifications = Notifications(str(server.make_url("/hook")), lambda: 0.0, elapsed)
        group.start_soon(notifications.run)
        yield notifications


@pytest.mark.parametrize(
    ("status", "event", "words"),
    [
        (DONE, "done", "done; 1,234 created, 5 already created, 2 failed"),
        (replace(DONE, exit_code=0), "done", "done; 1,234 created"),
        (replace(DONE, exit_code=3), "aborted", "ended early, exit code 3; 1,234 created"),
        (
            replace(DONE, exit_code=75),
            "aborted",
            "stopped with rows still open; run the same command to continue; 1,234 created",
        ),
        (replace(DONE, deferred=80), "done", "done, but 80 rows are still open; 1,234 created"),
    ],
)
async def test_the_end_of_a_run_is_posted(status: RunStatus, event: str, words: str) -> None:
    receiver = Receiver()
    async with notifying(receiver) as notifications:
        await notifications.finish(status)
    (got,) = receiver.got
    assert (got["event"], got["status"]["exit_code"]) == (event, status.exit_code)
    which = (
        "catalog AWS, account 111122223333, campaign spring, source postgresql:crm/public.invitations/id, "
        "checkpoint bulk-invite.db on crm-1"
    )
    assert got["text"].startswith(f"bulk-invite send, {which}: {words}")
    assert {key: got["status"][key] for key in ("account", "catalog", "campaign", "sources", "host")} == {
        "account": "111122223333",
        "catalog": "AWS",
        "campaign": "spring",
        "sources": ["postgresql:crm/public.invitations/id"],
        "host": "crm-1",
    }


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "stopped; 1,234 created"),
        ({"deferred": 1}, "stopped, but 1 row is still open; 1,234 created"),
        (
            {"parked": "daily_quota"},
            "stopped while parked (daily quota): there may be rows that were not read; ",
        ),
    ],
)
async def test_the_end_of_a_service_is_a_stop(changes: dict[str, Any], words: str) -> None:
    receiver = Receiver()
    async with notifying(receiver) as notifications:
        await notifications.finish(replace(DONE, command="serve", exit_code=0, **changes))
    (got,) = receiver.got
    assert (got["event"], f": {words}" in got["text"]) == ("done", True), got["text"]


async def test_a_run_without_account_and_campaign_says_so() -> None:
    receiver = Receiver()
    async with notifying(receiver) as notifications:
        await notifications.finish(replace(DONE, account=None, campaign="", sources=["a", "b", "c"]))
    which = "account not yet known, no campaign, source a and 2 more, checkpoint"
    assert which in receiver.got[0]["text"]


async def test_a_name_with_control_characters_is_escaped_for_people() -> None:
    receiver = Receiver()
    async with notifying(receiver) as notifications:
        await notifications.finish(replace(DONE, sources=["a\x1b[2J\n.ndjson"]))
    assert "source a\\x1b[2J\\n.ndjson, checkpoint" in receiver.got[0]["text"]
    assert receiver.got[0]["status"]["sources"] == ["a\x1b[2J\n.ndjson"]


@pytest.mark.parametrize("answers", [[500], [503, 429, 302, 404, 500]])
async def test_a_notification_is_retried_until_it_arrives(answers: list[int]) -> None:
    receiver = Receiver(answers)
    with capture_logs() as logged:
        async with notifying(receiver) as notifications:
            await notifications.finish(DONE)
    assert len(receiver.got) == 1
    assert [(each["event"], each["reason"]) for each in logged] == [
        ("notify.retrying", f"HTTP {answer}") for answer in answers
    ]


async def test_a_notification_is_given_up_in_the_end() -> None:
    receiver = Receiver([500] * 20)
    with capture_logs() as logged:
        async with notifying(receiver) as notifications:
            await notifications.finish(DONE)
    assert (receiver.tries, receiver.got) == (6, [])
    assert logged[-1]["event"] == "notify.dropped"
    assert "hook" not in json.dumps(logged), "the address is a secret"


async def test_an_unreachable_receiver_does_not_stop_the_run() -> None:
    with capture_logs() as logged, anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            notifications = Notifications("http://127.0.0.1:1/hook", lambda: 0.0, time.monotonic)
            group.start_soon(notifications.run)
            await notifications.finish(DONE)
    assert {each["reason"] for each in logged} == {"ClientConnectorError"}


async def test_a_long_park_is_posted_once() -> None:
    receiver, seconds = Receiver(), iter(range(60))
    async with notifying(receiver, lambda: next(seconds)) as notifications:
        for status in [*([PARKED] * 9 + [STATUS]) * 3, *[PARKED] * 20]:
            notifications.receive(status)
        await notifications.finish(DONE)
    assert [each["event"] for each in receiver.got] == ["parked", "done"]
    assert "parked (daily quota) until 2026-11-26T14:00:00Z" in receiver.got[0]["text"]
