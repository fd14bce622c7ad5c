"""A call that has arrived but is not yet decided."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from bulk_invite.rehearsal.emulator.faults import Fault
from bulk_invite.rehearsal.emulator.ledger_entries import CallEntry

UNREADABLE: Final = object()
"""Marks a request body that is not JSON."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call, numbered in order of arrival. request: the parsed body, or UNREADABLE."""

    number: int
    operation: str
    account: str
    request_id: str
    request: Any = field(repr=False)

    def entry(
        self, time: float, outcome: str, *, fault: Fault | None = None, charged: bool = False
    ) -> CallEntry:
        return CallEntry(
            self.number,
            time,
            self.operation,
            self.account,
            self.request_id,
            self._client_token(),
            outcome,
            None if fault is None else fault.value,
            charged,
        )

    def _client_token(self) -> str | None:
        token = self.request.get("ClientToken") if isinstance(self.request, dict) else None
        return token if isinstance(token, str) else None
