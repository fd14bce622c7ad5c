"""Totals of the ledger: calls, refusals and double invitations. Updated with every entry."""

from __future__ import annotations

from collections import Counter, deque
from typing import Any

from bulk_invite.rehearsal.emulator.ledger_entries import CallEntry, InvitationEntry

CREATE = "CreateEngagementInvitation"


class Peak:
    """The maximum number of events in any `length` seconds. Times ascend, unless the clock is set back."""

    def __init__(self, length: float) -> None:
        self._length = length
        self._times: deque[float] = deque()
        self.most = 0

    def add(self, time: float) -> None:
        while self._times and time - self._times[0] >= self._length:
            self._times.popleft()
        self._times.append(time)
        self.most = max(self.most, len(self._times))


class Audit:
    """Running totals. Uses about 200 bytes of memory per invitation, for two digests."""

    def __init__(self, day: float) -> None:
        self._calls = 0
        self._operations: Counter[str] = Counter()
        self._outcomes: Counter[str] = Counter()
        self._faults: Counter[str] = Counter()
        self._answers: Counter[str] = Counter()
        self._invitations = 0
        self._by_token: Counter[tuple[str, str]] = Counter()
        self._by_content: Counter[tuple[str, bytes]] = Counter()
        self._all_per_second = Peak(1.0)
        self._granted_per_second = Peak(1.0)
        self._granted_per_day = Peak(day)

    def add(self, entry: CallEntry | InvitationEntry) -> None:
        if isinstance(entry, InvitationEntry):
            self._invitations += 1
            self._by_token[entry.account, entry.client_token] += 1
            self._by_content[entry.account, bytes.fromhex(entry.content_sha256)] += 1
            return
        self._operations[entry.operation] += 1
        if entry.operation == CREATE:
            self._add_create(entry)

    def _add_create(self, call: CallEntry) -> None:
        self._calls += 1
        self._outcomes[call.outcome] += 1
        self._answers[call.fault or call.outcome] += 1
        if call.fault is not None:
            self._faults[call.fault] += 1
        self._all_per_second.add(call.time)
        if call.charged:
            self._granted_per_second.add(call.time)
            self._granted_per_day.add(call.time)

    def report(self) -> dict[str, Any]:
        """Totals. Counts of calls cover Create calls; `operations` covers all.

        outcomes: decisions of the service. faults: applied to responses. answers: what callers saw: a fault,
        else the outcome. double_by_token: tokens with more than one invitation. bodies: distinct invitations,
        ignoring tokens. double_by_body: those with more than one invitation. max_*: in any second or quota
        day, wherever it starts; granted calls are those that the quota counts.
        """
        return {
            "calls": self._calls,
            "created": self._outcomes["created"],
            "replayed": self._outcomes["replayed"],
            "throttled": self._outcomes["throttled"],
            "outcomes": dict(self._outcomes),
            "faults": dict(self._faults),
            "answers": dict(self._answers),
            "operations": dict(self._operations),
            "invitations": self._invitations,
            "tokens": len(self._by_token),
            "double_by_token": sum(count > 1 for count in self._by_token.values()),
            "bodies": len(self._by_content),
            "double_by_body": sum(count > 1 for count in self._by_content.values()),
            "max_calls_per_second": self._all_per_second.most,
            "max_granted_per_second": self._granted_per_second.most,
            "max_granted_per_day": self._granted_per_day.most,
        }
