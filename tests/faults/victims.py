"""A sender with its own rows and checkpoint that is killed repeatedly, and the properties that must hold."""

from __future__ import annotations

import random
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from checkpoints import Place
from command import Emulator, running
from rows import make_row, messages, read_rows, write_rows

from bulk_invite.domain.errors import BulkInviteError
from bulk_invite.domain.verdicts import State
from faults.launched import Ended, Launcher, Program, Stand

ROWS = 30
"""Rows of one victim, at most; the numbers of its rows are its own."""

_SENDABLE = [state for state in State if state not in (State.REJECTED, State.DUPLICATE)]
_ASKED_FOR = {State.IN_DOUBT, State.CREATED}
"""The allowed states of a row whose invitation exists."""


@dataclass
class Victim:
    """valid: its rows that have to arrive, once each. kills: how often it really was killed."""

    number: int
    folder: Path
    chance: random.Random
    url: str
    place: Place
    kills: int = 0
    broken: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.in_flight = self.chance.randint(4, 8)
        first, count = self.number * ROWS, self.chance.randint(12, ROWS)
        self.valid = [
            make_row(number, EngagementIdentifier=f"eng-{number // 3:014}")
            for number in range(first, first + count)
        ]
        self.rejected = self.chance.choice((0, 0, 2))
        self.duplicates = self.chance.choice((0, 3))
        lines = [
            *self.valid,
            *self.valid[: self.duplicates],
            *({"Invitation": {}} for _ in range(self.rejected)),
        ]
        self.chance.shuffle(lines)
        self.results = self.folder / f"{self.number}.out"
        self._source = write_rows(self.folder / f"{self.number}.ndjson", lines)

    def command(self) -> tuple[str | Path, ...]:
        send: tuple[str | Path, ...] = (
            "send",
            self._source,
            "--endpoint-url",
            self.url,
            *self.place.options,
            "--json",
        )
        pace = (
            "--rate",
            "300",
            "--burst",
            "20",
            "--max-in-flight",
            str(self.in_flight),
            "--max-attempts",
            "99",
        )
        return (*send, *pace, "--results", self.results)

    def program(self, stand: Stand | None = None) -> Program:
        return Program(self.command(), self.folder, stand)

    def stand(self, launcher: Launcher, stand: Stand) -> bool:
        """Run until it kills itself there; False when it came to its end before that."""
        return self._was_killed(launcher.run(self.program(stand)))

    def killed_after(self, launcher: Launcher, seconds: float) -> bool:
        batch = launcher.start(self.program())
        batch.kill_after(seconds)
        return self._was_killed(batch.ended()[0])

    def installed_killed_after(self, seconds: float) -> bool:
        """The same with the installed command, from its cold start on."""
        with running(*self.command(), cwd=self.folder, installed=True) as sender:
            with suppress(subprocess.TimeoutExpired):
                sender.process.wait(seconds)
            sender.process.kill()
            ran = sender.ended()
        return self._was_killed(Ended(ran.code, ran.stdout, ran.stderr, ran.seconds, 0.0, None))

    def _was_killed(self, ended: Ended) -> bool:
        if ended.code == -signal.SIGKILL:
            self.kills += 1
            return True
        if ended.code != self.code:
            self.broken.append(f"victim {self.number}: exit {ended.code} of a run in between: {ended.said}")
        return False

    @property
    def code(self) -> int:
        """The exit code of a run that comes to its end."""
        return 1 if self.rejected else 0

    def known(self) -> dict[str, tuple[State, str]]:
        """State and Id by token, as the checkpoint has them; empty without a checkpoint."""
        try:
            with self.place.reader() as reader:
                return {
                    each.client_token: (each.state, each.invitation_id) for each in reader.records(_SENDABLE)
                }
        except BulkInviteError:
            return {}

    def check_intents(self, service: Emulator) -> None:
        """After a kill: of every invitation there is, the checkpoint knows at least that it was asked for."""
        mine = set(messages(self.valid))
        invited = {
            entry["client_token"]: entry["id"]
            for entry in service.invitations()
            if entry["request"]["Invitation"]["Message"] in mine
        }
        known = self.known()  # read after the ledger: a row in it was sent before
        for token, identifier in invited.items():
            state, kept = known.get(token, (State.PENDING, ""))
            if state not in _ASKED_FOR or kept not in ("", identifier):
                self.broken.append(f"victim {self.number}: invited, but {state} in the checkpoint")

    def finish(self, launcher: Launcher) -> None:
        """Run to the end, and check what the run says of it."""
        ended = launcher.run(self.program(), within=90)
        if ended.code != self.code:
            self.broken.append(f"victim {self.number}: exit {ended.code} at the end: {ended.said}")
            return
        said = ended.json
        found = (
            said["created"] + said["already_created"],
            said["rejected"],
            said["duplicate"],
            said["in_doubt"],
        )
        expected = (len(self.valid), self.rejected, self.duplicates, 0)
        if found != expected:
            self.broken.append(f"victim {self.number}: says {found} where {expected} is right")

    def check_end(self, entries: list[dict[str, Any]]) -> None:
        """Checkpoint and results against `entries`, the ledger's invitations of this victim."""
        ledger = {entry["client_token"]: entry["id"] for entry in entries}
        created = {token: kept for token, (state, kept) in self.known().items() if state is State.CREATED}
        if created != ledger:
            self.broken.append(f"victim {self.number}: the checkpoint's Ids are not the ledger's")
        if not (written := self.results / "created.ndjson").exists():
            self.broken.append(f"victim {self.number}: no results")
        elif {line["token"]: line["Id"] for line in read_rows(written)} != ledger:
            self.broken.append(f"victim {self.number}: the results' Ids are not the ledger's")


@dataclass(frozen=True)
class Audit:
    """The ledger against the rows of all victims."""

    lost: int
    twice: int
    repeated: int
    broken: tuple[str, ...]


def audit(service: Emulator, victims: list[Victim]) -> Audit:
    """Judge by the ledger; `repeated` are calls that no fault of the emulator explains."""
    entries, calls, totals = service.invitations(), service.calls(), service.audit()
    invited = Counter(entry["request"]["Invitation"]["Message"] for entry in entries)
    broken: list[str] = []
    expected: set[str] = set()
    for victim in victims:
        own = set(messages(victim.valid))
        victim.check_end([e for e in entries if e["request"]["Invitation"]["Message"] in own])
        broken += victim.broken
        expected |= own
    if strangers := set(invited) - expected:
        broken.append(f"{len(strangers)} invitations without a row")
    if odd := set(totals["outcomes"]) - {"created", "replayed", "throttled", "none"}:
        broken.append(f"the service answered {', '.join(sorted(odd))}")
    twice = max(
        sum(count > 1 for count in invited.values()), totals["double_by_token"], totals["double_by_body"]
    )
    unbroken = sum(explains_nothing(call) for call in calls)
    return Audit(len(expected - set(invited)), twice, unbroken - len(expected), tuple(broken))


def explains_nothing(call: dict[str, Any]) -> bool:
    """Whether a call alone is no reason for another one."""
    return call["fault"] in (None, "slow") and call["outcome"] != "throttled"


Kill = Callable[[Victim], bool]
"""Kill a victim once; False when it came to its end before that."""


def suffer(victim: Victim, kill: Kill, times: int, service: Emulator, launcher: Launcher) -> Victim:
    """Kill a victim up to that many times, one run after the other, then let it finish."""
    try:
        for _ in range(times):
            if not kill(victim):
                break
            if victim.chance.random() < 0.5:  # reading the checkpoint may repair it: the next run has to, too
                victim.check_intents(service)
        victim.finish(launcher)
    except AssertionError as error:  # it hung, and was killed
        victim.broken.append(str(error)[-500:])
    return victim
