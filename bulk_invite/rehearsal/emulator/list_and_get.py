"""ListEngagementInvitations and GetEngagementInvitation of the emulator.

An account sees the invitations that it has sent. Lists may lag (`list_delay`); getting by Id never does.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any, Final

from bulk_invite.domain.durations import DAY
from bulk_invite.domain.rows import RowError
from bulk_invite.domain.tokens import body_hash, canonical_json
from bulk_invite.rehearsal.emulator.buckets import TokenBucket
from bulk_invite.rehearsal.emulator.call import Call
from bulk_invite.rehearsal.emulator.ledger_entries import InvitationEntry
from bulk_invite.rehearsal.emulator.model_check import RequestCheck, invalid
from bulk_invite.rehearsal.emulator.options import Options
from bulk_invite.rehearsal.emulator.responses import Answer, refusal, success, throttled
from bulk_invite.rehearsal.emulator.state import Invited, ServiceState

_EXPIRES_AFTER: Final = 15 * DAY
_PAGE: Final = 100
_WRONG_NEXT_TOKEN: Final = RowError("$.NextToken", "wrong_token", "expected a NextToken of the same list")
_ONLY_SENDER: Final = RowError(
    "$.ParticipantType", "not_sender", "expected SENDER; the emulator has no receivers"
)


class ReadLimits:
    """The read quota of each account."""

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._buckets: dict[str, TokenBucket] = {}

    def take(self, account: str, now: float) -> float:
        """Grant a read and return 0.0, or return the seconds until one would be granted."""
        if self._rate is None:
            return 0.0
        bucket = self._buckets.setdefault(account, TokenBucket(self._rate, max(1.0, self._rate)))
        wait = bucket.wait(now)
        if wait == 0.0:
            bucket.take()
        return wait


class ListInvitations:
    """Answers ListEngagementInvitations; newest first by default."""

    def __init__(self, options: Options, state: ServiceState, check: RequestCheck) -> None:
        self._delay = options.list_delay
        self._state = state
        self._check = check

    def answer(self, call: Call, now: float) -> Answer:
        request = call.request
        answer = self._check.refusal(request)
        if answer is not None:
            return answer
        if request["ParticipantType"] != "SENDER":
            return invalid(_ONLY_SENDER)
        question = _question(request)
        try:
            after = _read_next_token(request.get("NextToken"), question)
        except ValueError:
            return invalid(_WRONG_NEXT_TOKEN)
        size = request.get("MaxResults", _PAGE)
        found = self._matches(call.account, request, after, now)
        page = [invited for invited, _ in zip(found, range(size), strict=False)]
        members: dict[str, Any] = {"EngagementInvitationSummaries": [self._summary(i, now) for i in page]}
        if len(page) == size and next(self._matches(call.account, request, page[-1].number, now), None):
            members["NextToken"] = _next_token(page[-1].number, question)
        return success("answered", members)

    def _matches(self, account: str, request: Any, after: int | None, now: float) -> Iterator[Invited]:
        """Invitations that match the request, after number `after`, in the requested order."""
        ascending = request.get("Sort", {}).get("SortOrder") == "ASCENDING"
        numbers = self._candidates(account, request)
        if ascending:
            places = range(0 if after is None else bisect_right(numbers, after), len(numbers))
        else:
            places = range(len(numbers) if after is None else bisect_left(numbers, after))[::-1]
        for place in places:
            invited = self._state.invited(numbers[place])
            if (
                invited.account == account
                and now - invited.time >= self._delay
                and _fits(invited, request, now)
            ):
                yield invited

    def _candidates(self, account: str, request: Any) -> Sequence[int]:
        if account not in request.get("SenderAwsAccountId", [account]):
            return []
        if "EngagementIdentifier" not in request:
            return self._state.of_account(request["Catalog"], account)
        engagements = {identifier.rpartition("/")[2] for identifier in request["EngagementIdentifier"]}
        return sorted(
            number
            for engagement in engagements
            for number in self._state.of_engagement(request["Catalog"], engagement)
        )

    def _summary(self, invited: Invited, now: float) -> dict[str, Any]:
        return {**_summary(self._state.full_entry(invited), now), "ParticipantType": "SENDER"}


class GetInvitation:
    """Answers GetEngagementInvitation, by Id or by Arn."""

    def __init__(self, state: ServiceState, check: RequestCheck) -> None:
        self._state = state
        self._check = check

    def answer(self, call: Call, now: float) -> Answer:
        request = call.request
        answer = self._check.refusal(request)
        if answer is not None:
            return answer
        invited = self._state.find(request["Identifier"].rpartition("/")[2])
        if invited is None or (invited.account, invited.catalog) != (call.account, request["Catalog"]):
            return refusal("ResourceNotFoundException", "The engagement invitation does not exist.")
        entry = self._state.full_entry(invited)
        invitation = entry.request["Invitation"]
        members = {
            **_summary(entry, now),
            "InvitationMessage": invitation["Message"],
            "EngagementDescription": "An engagement of the emulator",
            "ExistingMembers": [],
            "Payload": _as_stored(invitation["Payload"]),
        }
        return success("answered", members)


def throttle_read(limits: ReadLimits, call: Call, now: float, *, tell: bool) -> Answer | None:
    wait = limits.take(call.account, now)
    return throttled(wait if tell else None) if wait > 0 else None


def _fits(invited: Invited, request: Any, now: float) -> bool:
    payload_types, statuses = request.get("PayloadType"), request.get("Status")
    if payload_types and invited.payload_type not in payload_types:
        return False
    return not statuses or _status(invited.time, now) in statuses


def _summary(entry: InvitationEntry, now: float) -> dict[str, Any]:
    return {
        "Arn": entry.arn,
        "PayloadType": entry.payload_type,
        "Id": entry.id,
        "EngagementId": entry.engagement,
        "EngagementTitle": "Emulated engagement",
        "Status": _status(entry.time, now),
        "InvitationDate": _timestamp(entry.time),
        "ExpirationDate": _timestamp(entry.time + _EXPIRES_AFTER),
        "SenderAwsAccountId": entry.account,
        "SenderCompanyName": "Emulated sender",
        "Receiver": entry.request["Invitation"]["Receiver"],
        "Catalog": entry.catalog,
    }


def _as_stored(payload: dict[str, Any]) -> dict[str, Any]:
    """The payload as the service returns it: it sets every TargetCompany to AWS."""
    stored = deepcopy(payload)
    project = stored.get("OpportunityInvitation", {}).get("Project", {})
    for spend in project.get("ExpectedCustomerSpend", ()):
        spend["TargetCompany"] = "AWS"
    return stored


def _status(invited_at: float, now: float) -> str:
    return "PENDING" if now - invited_at < _EXPIRES_AFTER else "EXPIRED"


def _timestamp(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _question(request: dict[str, Any]) -> str:
    """A hash of the request without paging: a NextToken is valid only for the same query."""
    asked = {name: value for name, value in request.items() if name not in ("NextToken", "MaxResults")}
    return body_hash(canonical_json(asked))


def _next_token(number: int, question: str) -> str:
    return urlsafe_b64encode(f"{question}.{number}".encode()).decode()


def _read_next_token(token: str | None, question: str) -> int | None:
    """The number of the last invitation shown; ValueError for a token of another query."""
    if token is None:
        return None
    try:
        asked, _, number = urlsafe_b64decode(token.encode()).decode().partition(".")
    except binascii.Error as error:
        raise ValueError("not base64") from error
    if asked != question:
        raise ValueError("of another list")
    return int(number)
