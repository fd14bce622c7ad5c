"""The virtual service over a bad network, as a `Sender` and an `InvitationReader`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from random import Random
from typing import Any, Final

import anyio
import orjson

from bulk_invite.domain.classify import CREDENTIALS_NOT_RENEWED, CREDENTIALS_REFUSED, WITHHELD, classify
from bulk_invite.domain.clearance import Clearance
from bulk_invite.domain.errors import CheckpointError
from bulk_invite.domain.findings import Content, Page
from bulk_invite.domain.verdicts import Answer, HttpAnswer, NoAnswer
from bulk_invite.partner_central.responses import content, page, refusal, success
from bulk_invite.rehearsal.emulator import responses as emulated
from bulk_invite.rehearsal.emulator.audit import CREATE
from bulk_invite.rehearsal.emulator.service import GET, LIST
from faults.courses import NOT_CONNECTED, REFUSED, SPOILT, Course
from faults.virtual_service import EPOCH, Attempt, Process, VirtualService

_NOT_READY: Final = {"refused": CREDENTIALS_REFUSED, "not_renewed": CREDENTIALS_NOT_RENEWED}


class Line:
    """The calls of one process."""

    def __init__(self, service: VirtualService, process: Process) -> None:
        self._service = service
        self._process = process
        self._waits = Random(f"{service.roads.seed}/waits/{process.number}")
        self.at_once = self.most_at_once = 0

    @property
    def is_ready(self) -> bool:
        return self._service.trouble() not in _NOT_READY

    async def ready(self) -> NoAnswer | None:
        name = _NOT_READY.get(self._service.trouble())
        if name is None:
            return None
        self._service.made[self._service.trouble()] += 1
        await anyio.sleep(self._service.roads.latency)
        return NoAnswer(("ClientError", name))

    async def create(self, body: bytes, clearance: Clearance) -> Answer:
        if not await self._may_leave(clearance):
            return NoAnswer((WITHHELD,))
        attempt = self._service.leave(self._process, body)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            answer = await self._answer(attempt, self._course(attempt.number), orjson.loads(body))
        finally:
            self.at_once -= 1
        attempt.heard, attempt.verdict = anyio.current_time(), type(classify(answer)).__name__
        self._process.passes("heard")
        return answer

    async def _may_leave(self, clearance: Clearance) -> bool:
        """Wait as calls do for a connection, and sometimes longer, as a stopped process does."""
        await anyio.sleep(self._service.roads.wait(self._waits))
        try:
            await clearance.renew()
        except CheckpointError:
            return False
        await anyio.sleep(self._service.roads.wait(self._waits))
        if clearance.holds():
            return True
        self._service.made["withheld"] += 1
        return False

    async def _answer(self, attempt: Attempt, course: Course, request: Any) -> Answer:
        attempt.fault = course.fault
        self._service.made[course.fault or "none"] += 1
        decided: list[emulated.Answer] = []
        loop = asyncio.get_running_loop()

        def decide() -> None:
            decided.append(self._service.decide(CREATE, attempt.number, request))
            attempt.outcome, attempt.decided = decided[0].outcome, loop.time()
            self._process.passes("decided")

        if course.decided is not None:
            loop.call_at(attempt.left + course.decided, decide)
        self._process.passes("left")
        await anyio.sleep_until(attempt.left + course.heard)
        # A fault after the commit concerns only calls that succeed, as in the emulator: a refusal arrives.
        if course.hears is not None and not (decided and decided[0].status >= 400 and course.fault in SPOILT):
            return course.hears
        return _http(decided[0], str(attempt.number))

    def _course(self, number: int) -> Course:
        course = self._service.roads.course(number, calm=self._service.calm)
        trouble = self._service.trouble()
        match trouble:
            case "unreachable":
                hears = REFUSED if number % 2 else NOT_CONNECTED
                return Course(trouble, None, 0.01 if number % 2 else 5.0, hears)
            case "failing":
                arrives = course.decided if number % 5 == 0 else None
                return Course(trouble, arrives, max(course.heard, arrives or 0.0), SPOILT["error_503"])
            case "expired":
                return Course(trouble, None, course.heard, HttpAnswer(403, code="ExpiredTokenException"))
            case _:
                return course

    async def list_invitations(self, engagements: Sequence[str], next_token: str) -> Page | Answer:
        request = {
            "Catalog": "Sandbox",
            "ParticipantType": "SENDER",
            "EngagementIdentifier": list(engagements),
            "Sort": {"SortBy": "InvitationDate", "SortOrder": "ASCENDING"},
            "MaxResults": 3,  # far fewer than may be asked for: lists of several pages
            **({"NextToken": next_token} if next_token else {}),
        }
        members = await self._read(LIST, request)
        return page(members) if isinstance(members, dict) else members

    async def get_invitation(self, invitation_id: str) -> Content | Answer:
        members = await self._read(GET, {"Catalog": "Sandbox", "Identifier": invitation_id})
        return content(members, invitation_id) if isinstance(members, dict) else members

    async def _read(self, operation: str, request: dict[str, Any]) -> dict[str, Any] | Answer:
        service, number = self._service, self._service.number()
        course, trouble = service.roads.course(number, calm=service.calm), service.trouble()
        if trouble in {"unreachable", "failing", "expired"}:
            course = self._course(number)
        elif number % 1000 >= 1000 * service.manners.read_faults:
            course = service.roads.course(number, calm=True)
        if course.hears is not None:
            service.made["read"] += 1
            await anyio.sleep(course.heard)
            return course.hears
        await anyio.sleep(course.heard / 2)
        if service.manners.reads_denied:
            return HttpAnswer(400, code="AccessDeniedException")
        answer = service.decide(operation, number, request)
        await anyio.sleep(course.heard / 2)
        return _members(answer, str(number)) if answer.status < 300 else _http(answer, str(number))


def _members(answer: emulated.Answer, number: str) -> dict[str, Any]:
    """An answer as the SDK gives it."""
    members: dict[str, Any] = orjson.loads(answer.body)
    for summary in members.get("EngagementInvitationSummaries", ()):
        summary["InvitationDate"] = datetime.fromisoformat(summary["InvitationDate"])
    date = datetime.fromtimestamp(EPOCH + anyio.current_time(), UTC)
    headers = {**answer.headers(number), "date": format_datetime(date, usegmt=True)}
    about = {"HTTPStatusCode": int(answer.status), "RequestId": number, "HTTPHeaders": headers}
    return {**members, "ResponseMetadata": about}


def _http(answer: emulated.Answer, number: str) -> HttpAnswer:
    members = _members(answer, number)
    if answer.status < 300:
        return success(members)
    return refusal({**members, "Error": {"Code": members["__type"].rpartition("#")[2]}})
