"""The control server with a run that is whatever a test says: states that a real one shows seldom."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import anyio
from anyio.from_thread import BlockingPortal, start_blocking_portal
from command import free_port, wait_until

from bulk_invite.monitoring.http.api import api_routes
from bulk_invite.monitoring.http.changes import change_routes
from bulk_invite.monitoring.http.manual_pages import manual_routes
from bulk_invite.monitoring.http.pages import page_routes
from bulk_invite.monitoring.http.server import serve
from bulk_invite.monitoring.status import FailureStatus, Past, Point, ProblemStatus, Rate, RunState, RunStatus

TOKEN: Final = "a-token-of-some-length"


def iso(after: float = 0.0) -> str:
    """Now, or some seconds later, as the server writes it."""
    return (datetime.now(UTC) + timedelta(seconds=after)).strftime("%Y-%m-%dT%H:%M:%SZ")


def sending() -> RunStatus:
    """A run in the middle of its work, with a row in every state."""
    return RunStatus(
        at=iso(),
        version="0.1.0",
        command="send",
        state=RunState.SENDING,
        waiting_for=None,
        ready=True,
        reasons={},
        started=iso(-3600),
        elapsed_s=3600.0,
        catalog="Sandbox",
        account="123456789012",
        campaign="spring",
        endpoint="http://127.0.0.1:8080",
        checkpoint="bulk-invite.db",
        sources=("rows.ndjson", "more.ndjson.gz"),
        rows=32_000,
        total=50_000,
        created=21_345,
        already_created=9_000,
        failed=37,
        rejected=12,
        duplicate=24,
        in_doubt=3,
        deferred=15,
        pending=1_559,
        attempts=21_800,
        throttled=152,
        in_flight=5,
        speed=9.53,
        rate=9.81,
        rate_setting="auto",
        max_rate=15.0,
        max_in_flight=64,
        estimated_quota=10.12,
        throttled_share_minute=0.0071,
        throttled_share_hour=0.0082,
        daily_quota=100_000,
        learned_quota=None,
        sent_last_day=30_345,
        day_remaining=69_655,
        parked=None,
        parked_until=None,
        next_call=None,
        left_s=1_967.0,
        source_lag={},
        problems=PROBLEMS,
        failures=FAILURES,
        controllable=True,
        exit_code=None,
    )


def _failure(state: str, code: str, path: str, at: str | None, **where: str | int) -> FailureStatus:
    return FailureStatus({"source": "rows.ndjson", **where}, state, code, path, at)


PROBLEMS: Final = (
    ProblemStatus(
        "failed",
        "ValidationException",
        "$.Invitation.Message",
        30,
        "Mend the row and send it: see failed.ndjson.",
    ),
    ProblemStatus(
        "deferred",
        "ServiceQuotaExceededException",
        "",
        15,
        "Nothing: it is tried again at the end of the run.",
    ),
    ProblemStatus(
        "rejected",
        "missing",
        "$.Invitation.Receiver.Account.AwsAccountId",
        12,
        "Mend the rows in rejected.ndjson and send that file.",
    ),
    ProblemStatus(
        "failed", "ResourceNotFoundException", "$.EngagementIdentifier", 7, "Name an engagement of yours."
    ),
    ProblemStatus("in_doubt", "TimeoutError", "", 3, "Nothing: it is asked for again with the same token."),
)
FAILURES: Final = (
    _failure("failed", "ValidationException", "$.Invitation.Message", iso(-3), line=31_998),
    _failure("in_doubt", "TimeoutError", "", iso(-40), line=31_907),
    _failure("rejected", "missing", "$.Invitation.Receiver", None, key="47110815"),
    _failure("deferred", "ServiceQuotaExceededException", "", iso(-90_000), line=28_100),
)


def past(points: int = 240, step: float = 2.0) -> Past:
    """A rate that climbs, is throttled, and keeps near a quota of 10 calls per second."""
    return Past(step, [_point(number, points, step) for number in range(points)])


def _point(number: int, points: int, step: float) -> Point:
    found = number > points // 6
    rate = 9.8 + 0.15 * ((number * 7) % 5 - 2) if found else min(15.0, 1.2 ** (number / 2))
    throttled = 2.5 if number == points // 6 else 0.5 * (number % 19 == 0)
    at = iso((number - points) * step)
    return Point(at, round(rate, 2), 10.1 if found else None, round(rate - 0.1 * (number % 4), 2), throttled)


class ScriptedRun:
    """`status` and `past_served` are served; with `silent` nothing is, and clients wait."""

    def __init__(self) -> None:
        self.status_now = sending()
        self.past_served = past()
        self.silent = False
        self.over = anyio.Event()

    async def status(self) -> RunStatus:
        while self.silent:
            await self.over.wait()
        return self.status_now

    def past(self) -> Past:
        return self.past_served

    def becomes(self, changes: dict[str, Any]) -> None:
        self.status_now = replace(self.status_now, **{"at": iso(), **changes})
        self.tell()

    def tell(self) -> None:
        """Have the events come now, and not with the next second."""
        self.over.set()
        self.over = anyio.Event()

    @property
    def ending(self) -> bool:
        return self.status_now.state in {RunState.DRAINING, RunState.FINISHED}

    def pause(self) -> bool:
        was = self.status_now.state is RunState.PAUSED
        self.becomes({"state": RunState.PAUSED})
        return was

    def resume(self) -> bool:
        was = self.status_now.state is RunState.PAUSED
        self.becomes({"state": RunState.SENDING})
        return was

    def change_rate(self, rate: Rate) -> Rate:
        if rate != "auto" and rate > (self.status_now.max_rate or 0.0):
            raise ValueError("The rate is at most 15 calls per second.")
        self.becomes({"rate_setting": rate})
        return "auto"

    def change_max_in_flight(self, limit: int) -> int:
        self.becomes({"max_in_flight": limit})
        return 64

    def drain(self) -> None:
        self.becomes({"state": RunState.DRAINING})


class PageServer:
    """The server of a scripted run. Its methods are called from the thread of the test."""

    def __init__(self, portal: BlockingPortal, run: ScriptedRun) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self._portal = portal
        self._run = run
        self._serving: Future[None] | None = None
        self._stopped = threading.Event()

    @property
    def status(self) -> RunStatus:
        return self._run.status_now

    @property
    def state(self) -> str:
        return str(self.status.state)

    def shows(self, **changes: Any) -> RunStatus:
        """Change the status, and send it at once to all listeners."""
        self._portal.call(self._run.becomes, changes)
        return self.status

    def begins(self, **changes: Any) -> RunStatus:
        """Another run, with all as in `sending` but for the changes."""
        self._run.past_served = past()
        self._run.status_now = sending()
        return self.shows(**changes)

    def remembers(self, past: Past) -> None:
        self._run.past_served = past

    def falls_silent(self, *, silent: bool = True) -> None:
        self._run.silent = silent
        self._portal.call(self._run.tell)

    def start(self) -> None:
        """Listen; again on the port of before."""
        self._stopped.clear()
        self._serving = self._portal.start_task_soon(self._serve)
        wait_until(lambda: listens(self.port))

    def stop(self) -> None:
        """Hang up, and listen no more."""
        if self._serving is not None:
            self._serving.cancel()
            assert self._stopped.wait(5)

    async def _serve(self) -> None:
        routes = (
            *api_routes(self._run, _no_metrics),
            *change_routes(self._run, self._run, TOKEN),
            *page_routes(),
            *manual_routes(),
        )
        try:
            await serve("127.0.0.1", self.port, routes)
        finally:
            self._stopped.set()


def listens(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


async def _no_metrics(_: str) -> tuple[bytes, str]:
    return b"", "text/plain"


@contextmanager
def page_server() -> Iterator[PageServer]:
    with start_blocking_portal() as portal:
        server = PageServer(portal, portal.call(ScriptedRun))
        server.start()
        try:
            yield server
        finally:
            server.stop()
