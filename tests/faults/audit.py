"""The checks of every run that a fault ended, and of the run after it. The ledger is the judge."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from command import FAST, Emulator, Ran
from rows import messages, read_rows

from faults.tried import Tried

IN_FLIGHT = 3
CHECKPOINT = "bulk-invite.db"
OPTIONS = (*FAST, "--max-in-flight", str(IN_FLIGHT), "--checkpoint", CHECKPOINT)
_Case = TypeVar("_Case")


@dataclass
class Finding:
    """The result of one fault. allowed: calls that it explains beyond one for each row."""

    lost: int = 0
    twice: int = 0
    repeated: int = 0
    allowed: int = IN_FLIGHT
    hit: bool = True
    broken: list[str] = field(default_factory=list)

    def check(self, holds: object, sentence: str) -> None:
        if not holds:
            self.broken.append(sentence)

    def check_ledger(self, service: Emulator, rows: Iterable[dict[str, Any]]) -> None:
        """After the last run: each row once, and no more calls than the fault explains."""
        expected, found = Counter(messages(rows)), service.messages()
        self.lost = (expected - found).total()
        self.twice = (found - expected).total()
        self.repeated = max(0, len(service.calls()) - expected.total())
        self.check(self.repeated <= self.allowed, f"{self.repeated} calls were repeated")

    def check_stop(self, ran: Ran) -> None:
        """A run that could not continue reports the file and the remedy, and nothing else."""
        self.check(ran.code == 4, f"exit code {ran.code} where 4 is documented")
        self.check(CHECKPOINT in ran.said, f"the checkpoint is not named: {ran.said!r}")
        self.check(ran.said.count(". ") >= 1, f"what to do is not said: {ran.said!r}")
        self.check("Traceback" not in ran.stderr, f"a traceback: {ran.stderr[-300:]}")

    def check_end(self, ran: Ran, rows: Sequence[object]) -> None:
        """The last run found or made every invitation, by its exit code and its figures."""
        self.check(ran.code == 0, f"the run after it ended with {ran.code}: {ran.stderr[-400:]}")
        if ran.code == 0:
            settled = ran.json["created"] + ran.json["already_created"]
            self.check(settled == len(rows), f"the run after it settled {settled} of {len(rows)} rows")


@dataclass(frozen=True)
class Kept:
    """The rows of a checkpoint by token: state and Id."""

    states: dict[str, str]
    ids: dict[str, str]

    @classmethod
    def of(cls, folder: Path) -> Kept:
        """Read a copy, so that looking recovers nothing in the original; nothing where there is no table."""
        with TemporaryDirectory() as name:
            for path in folder.glob(f"{CHECKPOINT}*"):
                if not path.name.endswith((".lock", "-shm")):
                    shutil.copy(path, name)
            with closing(sqlite3.connect(Path(name) / CHECKPOINT)) as connection:
                if not connection.execute(
                    "SELECT 1 FROM sqlite_master WHERE name = 'invitations'"
                ).fetchall():
                    return cls({}, {})
                found = connection.execute("SELECT client_token, state, invitation_id FROM invitations")
                rows = list(found)
        return cls({row[0]: row[1] for row in rows}, {row[0]: row[2] for row in rows if row[2]})


def check_promises(finding: Finding, kept: Kept, service: Emulator, ran: Ran, results: Path) -> None:
    """Nothing sent without an intent that is kept; nothing reported whose outcome is not."""
    sent = {call["client_token"] for call in service.calls()}
    without = [token for token in sent if kept.states.get(token) not in {"in_doubt", "created", "failed"}]
    finding.check(not without, f"{len(without)} rows were sent without an intent on the disk")
    made = {entry["client_token"]: entry["id"] for entry in service.invitations()}
    finding.check(kept.ids.items() <= made.items(), "the checkpoint has Ids that the ledger has not")
    if ran.stdout:
        said = ran.json["created"] + ran.json["already_created"]
        finding.check(said <= len(kept.ids), f"{said} rows reported as created, {len(kept.ids)} are kept")
    created = results / "created.ndjson"
    reported = {line["token"]: line["Id"] for line in read_rows(created)} if created.exists() else {}
    finding.check(reported.items() <= kept.ids.items(), "results name invitations that are not kept")


def spread(count: int, most: int) -> list[int]:
    """All of `range(count)`, or `most` of it, evenly from the first to the last."""
    if most >= count:
        return list(range(count))
    return sorted({round(each * (count - 1) / max(1, most - 1)) for each in range(most)})


def each_of(
    fault: str, cases: Sequence[_Case], judge: Callable[[_Case], Finding], *, least_hit: float = 0.0
) -> Tried:
    """Judge every case, two at a time, and add up."""
    began = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        findings = list(pool.map(judge, cases))
    hits = [finding for finding in findings if finding.hit]
    broken = [f"{case}: {said}" for case, each in zip(cases, findings, strict=True) for said in each.broken]
    if len(hits) < least_hit * len(cases) or not hits:
        broken.append(f"only {len(hits)} of {len(cases)} faults were met")
    return Tried(
        fault,
        len(hits),
        sum(finding.lost for finding in findings),
        sum(finding.twice for finding in findings),
        sum(finding.repeated for finding in findings),
        sum(finding.allowed for finding in hits),
        round(time.monotonic() - began, 1),
        tuple(broken),
    )
