"""The verdict on a simulation, by the service's ledger, the checkpoint and the observed calls."""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from bulk_invite.delivery.lookup.queries import LOOK_UP_DENIED
from bulk_invite.domain.classify import NOES
from bulk_invite.domain.matching import DATED_BEFORE, SEVERAL_INVITATIONS, SEVERAL_ROWS
from bulk_invite.domain.rows import Invitation
from bulk_invite.domain.verdicts import State
from bulk_invite.rehearsal.emulator.ledger import Ledger
from bulk_invite.rehearsal.emulator.ledger_entries import CallEntry, InvitationEntry
from faults.plans import FORBIDDEN, UNKNOWN, Plan
from faults.process import validated
from faults.virtual_service import Attempt

_SETTLED: Final = frozenset({"Created", "Refused"})
"""Verdicts after which a living sender has no reason to call again."""


@dataclass(frozen=True, slots=True)
class Records:
    """The remains of a run: the service's entries and the tables of the checkpoint, in order."""

    calls: list[CallEntry]
    invitations: list[InvitationEntry]
    rows: dict[str, dict[str, Any]]
    log: list[tuple[Any, ...]]
    findings: list[tuple[Any, ...]]


def read_records(ledger: Path, checkpoint: Path) -> Records:
    opened = Ledger(ledger)
    try:
        entries = [entry for _, entry in opened.entries()]
    finally:
        opened.close()
    connection = sqlite3.connect(checkpoint)
    try:
        connection.row_factory = sqlite3.Row
        rows = [dict(row) for row in connection.execute("SELECT * FROM invitations ORDER BY client_token")]
        tables = [
            [tuple(row) for row in connection.execute(f"SELECT * FROM {table} ORDER BY entry")]
            for table in ("log", "findings")
        ]
    finally:
        connection.close()
    return Records(
        [entry for entry in entries if isinstance(entry, CallEntry)],
        [entry for entry in entries if isinstance(entry, InvitationEntry)],
        {row["client_token"]: row for row in rows},
        *tables,
    )


@dataclass(frozen=True, slots=True)
class Judgement:
    lost: list[str]
    twice: list[str]
    broken: list[str]
    repeated: int
    states: Counter[str]


def judge(plan: Plan, records: Records, attempts: Sequence[Attempt], broken: Sequence[str]) -> Judgement:
    judge_ = _Judge(plan, records)
    problems = [*broken, *judge_.strangers()]
    lost, twice = [], []
    states: Counter[str] = Counter()
    for row in judge_.valid:
        ids = judge_.ids[row.client_token]
        if len(ids) > 1:
            twice.append(f"{row.client_token} has {len(ids)} invitations")
        kept = records.rows.get(row.client_token)
        if kept is None:
            lost.append(f"{row.client_token} was never read")
            continue
        states[kept["state"]] += 1
        wrong = judge_.wrong(row, kept, ids)
        if wrong:
            (problems if ids else lost).append(f"{row.client_token} is {kept['state']}: {wrong}")
    repeated, unexplained = _repeated(attempts)
    return Judgement(lost, twice, [*problems, *unexplained], repeated, states)


class _Judge:
    def __init__(self, plan: Plan, records: Records) -> None:
        self.plan = plan
        self.valid = validated(plan.lines)
        self.ids: defaultdict[str, list[str]] = defaultdict(list)
        for entry in records.invitations:
            self.ids[entry.client_token].append(entry.id)
        self._in_engagement = Counter(entry.engagement for entry in records.invitations)
        self._said = {entry.content_sha256 for entry in records.invitations}
        # The last word on every row that was looked up; the row itself keeps its refusal.
        self._why = {token: orjson.loads(text).get("why", "") for _, token, _, text in records.findings}
        self._messages = Counter(_without_token(row) for row in self.valid)

    def strangers(self) -> Iterator[str]:
        known = {row.client_token for row in self.valid}
        yield from (f"{token} was invited and is no valid row" for token in self.ids if token not in known)

    def wrong(self, row: Invitation, kept: dict[str, Any], ids: Sequence[str]) -> str:
        """The objection to a row's outcome; "" if it is correct."""
        has_twin = self._messages[_without_token(row)] > 1
        match State(kept["state"]):
            case State.CREATED:
                return "" if list(ids) == [kept["invitation_id"]] else f"the service has {ids}"
            case State.FAILED if not ids:
                is_refused = row.engagement in {UNKNOWN, FORBIDDEN}
                conflicts = has_twin and self.plan.manners.variant == "content"
                return "" if is_refused or conflicts else f"for no good reason ({kept['code']})"
            case State.DEFERRED if not ids:
                limit = self.plan.options.invitations_per_engagement or 0
                return "" if self._in_engagement[row.engagement] >= limit else "its engagement has room"
            case State.IN_DOUBT:
                why = self._why.get(row.client_token, "") or kept["code"]
                return self._wrong_doubt(why, has_twin=has_twin)
            case _:
                return f"the service has {ids}"

    def _wrong_doubt(self, code: str, *, has_twin: bool) -> str:
        if self.plan.manners.reads_denied and code in {LOOK_UP_DENIED, *NOES}:
            return ""
        if has_twin and code in {SEVERAL_INVITATIONS, SEVERAL_ROWS, DATED_BEFORE}:
            return ""
        return f"nothing hinders it ({code})"


def _without_token(row: Invitation) -> bytes:
    return row.body.replace(row.client_token.encode(), b"")


def _repeated(attempts: Sequence[Attempt]) -> tuple[int, list[str]]:
    """Calls that only a death explains, and those that nothing does."""
    last: dict[str, Attempt] = {}
    repeated, unexplained = 0, []
    for attempt in attempts:
        before = last.get(attempt.token)
        last[attempt.token] = attempt
        if before is None or (before.verdict and before.verdict not in _SETTLED):
            continue
        if before.run == attempt.run:
            unexplained.append(f"{attempt.token} was called again after {before.verdict or 'no word'}")
        repeated += 1
    return repeated, unexplained
