"""The state of the emulated service, derived from the entries of its ledger.

Live calls and a restart work alike: an entry is written to the ledger, then applied here. State that is not
in the ledger (the level of the buckets) starts fresh, except for a quota shared with another program.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bulk_invite.rehearsal.emulator.audit import Audit
from bulk_invite.rehearsal.emulator.ledger import Ledger
from bulk_invite.rehearsal.emulator.ledger_entries import CallEntry, InvitationEntry
from bulk_invite.rehearsal.emulator.options import Options
from bulk_invite.rehearsal.emulator.quotas import Quota, quota_of
from bulk_invite.rehearsal.emulator.token_memory import Remembered, TokenMemory


@dataclass(frozen=True, slots=True)
class Invited:
    """The part of a committed invitation kept in memory; the rest is read from the ledger at `offset`."""

    number: int
    time: float
    id: str
    account: str
    catalog: str
    engagement: str
    payload_type: str
    offset: int


class ServiceState:
    """Invitations, remembered tokens, quotas and totals, in step with an open ledger."""

    def __init__(self, ledger: Ledger, options: Options) -> None:
        self._ledger = ledger
        self._options = options
        self._invited: list[Invited] = []
        self._by_id: dict[str, int] = {}
        self._by_engagement: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
        self._by_account: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
        self._quotas: dict[str, Quota] = {}
        self.tokens = TokenMemory(options.token_retention)
        self.audit = Audit(options.day)
        self.next_call = 0
        for offset, entry in ledger.entries():
            self._apply(entry, offset)
            if isinstance(entry, CallEntry) and entry.charged:
                self.quota(entry.account).restore(entry.time)

    @property
    def next_invitation(self) -> int:
        return len(self._invited)

    def record(self, *entries: CallEntry | InvitationEntry) -> None:
        """Write entries to the ledger, then apply them. Raises LedgerError without applying any."""
        for entry, offset in zip(entries, self._ledger.append(*entries), strict=True):
            self._apply(entry, offset)

    def quota(self, account: str) -> Quota:
        """The quota of CreateEngagementInvitation of an account, shared by both catalogs."""
        if account not in self._quotas:
            self._quotas[account] = quota_of(self._options)
        return self._quotas[account]

    def report(self) -> dict[str, Any]:
        """`Audit.report` and `granted_to_others`: calls granted to other programs."""
        others = sum(quota.granted_to_others for quota in self._quotas.values())
        return {**self.audit.report(), "granted_to_others": others}

    def invited(self, number: int) -> Invited:
        return self._invited[number]

    def find(self, identifier: str) -> Invited | None:
        number = self._by_id.get(identifier)
        return None if number is None else self._invited[number]

    def of_engagement(self, catalog: str, engagement: str) -> Sequence[int]:
        """Numbers of the invitations to an engagement, from all accounts, oldest first."""
        return self._by_engagement.get((catalog, engagement), ())

    def of_account(self, catalog: str, account: str) -> Sequence[int]:
        """Numbers of the invitations that an account has sent, oldest first."""
        return self._by_account.get((catalog, account), ())

    def full_entry(self, invited: Invited) -> InvitationEntry:
        return self._ledger.read(invited.offset)

    def _apply(self, entry: CallEntry | InvitationEntry, offset: int) -> None:
        self.audit.add(entry)
        if isinstance(entry, CallEntry):
            self.next_call = max(self.next_call, entry.number + 1)
            return
        number = len(self._invited)
        self._invited.append(
            Invited(
                number,
                entry.time,
                entry.id,
                entry.account,
                entry.catalog,
                entry.engagement,
                entry.payload_type,
                offset,
            )
        )
        self._by_id[entry.id] = number
        self._by_engagement[entry.catalog, entry.engagement].append(number)
        self._by_account[entry.catalog, entry.account].append(number)
        remembered = Remembered(entry.body_sha256, number, entry.time)
        self.tokens.remember(entry.account, entry.client_token, remembered)
