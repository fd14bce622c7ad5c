"""Two senders started on one checkpoint at the same instant: one works, the other leaves or finds it done."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Final

from command import Emulator, emulator
from rows import make_rows, messages, write_rows

from faults.launched import Ended, Launcher, Program
from faults.tried import Tried

REFUSED: Final = 4
_SENTENCE: Final = "Another sender is working on the checkpoint"
_ROWS: Final = 12
_IN_FLIGHT: Final = 4
_SIDE_BY_SIDE: Final = 3

TOGETHER, KILLED = "two senders at once", "two senders at once, one killed"


@dataclass
class Contest:
    """Two senders and their checkpoint. seen: the exit codes of both, in order."""

    number: int
    folder: Path
    chance: random.Random
    seen: tuple[int, ...] = ()
    kills: int = 0
    broken: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rows = make_rows(_ROWS, start=self.number * _ROWS)
        self._source = write_rows(self.folder / f"{self.number}.ndjson", self.rows)

    def program(self, url: str, rate: str) -> Program:
        names = ("--endpoint-url", url, "--checkpoint", f"{self.number}.db", "--json")
        pace = ("--rate", rate, "--burst", "3", "--max-in-flight", str(_IN_FLIGHT))
        return Program(("send", self._source, *names, *pace), self.folder)

    def hold(self, launcher: Launcher, url: str) -> None:
        """Both come to their end. A slow one outlasts the patience of the other, a fast one does not."""
        program = self.program(url, self.chance.choice(("5", "200")))
        ended = launcher.start(program, program).ended()
        self.seen = tuple(sorted(each.code for each in ended))
        if self.seen not in ((0, 0), (0, REFUSED)):
            self.broken.append(f"contest {self.number}: exits {self.seen}: {[each.said for each in ended]}")
            return
        self._check_loser(ended)
        winners = [each for each in ended if each.code == 0]
        if sum(each.json["created"] for each in winners) != _ROWS:
            self.broken.append(f"contest {self.number}: both say that they created the same rows")

    def hold_with_a_kill(self, launcher: Launcher, url: str) -> None:
        """One of them, whichever it is, is killed; the other continues its work or has left."""
        program = self.program(url, "20")
        batch = launcher.start(program, program)
        victim = self.chance.randrange(2)
        batch.kill_after(self.chance.uniform(0.05, 0.9), run=victim)
        ended = batch.ended()
        self.seen = tuple(sorted(each.code for each in ended))
        self.kills += ended[victim].code == -signal.SIGKILL
        if ended[1 - victim].code not in (0, REFUSED):
            said = ended[1 - victim].said
            self.broken.append(
                f"contest {self.number}: the survivor's exit is {ended[1 - victim].code}: {said}"
            )
        self._check_loser(ended)
        last = launcher.run(program)
        if (last.code, last.json["created"] + last.json["already_created"]) != (0, _ROWS):
            self.broken.append(f"contest {self.number}: exit {last.code} at the end: {last.said}")

    def _check_loser(self, ended: list[Ended]) -> None:
        for each in ended:
            if each.code == REFUSED and (_SENTENCE not in each.said or each.json["created"]):
                self.broken.append(f"contest {self.number}: the loser says: {each.said}")


Hold = Callable[[Contest, Launcher, str], None]


def campaign(times: int, folder: Path, seed: int) -> list[Tried]:
    """Hold a number of contests, a third of them with a kill."""
    kills = max(1, times // 3)
    with ExitStack() as stack:
        idle: SimpleQueue[Launcher] = SimpleQueue()
        for number in range(_SIDE_BY_SIDE):
            idle.put(stack.enter_context(Launcher(folder / f"launcher-{number}")))
        return [
            _held(TOGETHER, Contest.hold, times - kills, folder / "together", seed, idle),
            _held(KILLED, Contest.hold_with_a_kill, kills, folder / "killed", seed, idle),
        ]


def _held(fault: str, hold: Hold, times: int, folder: Path, seed: int, idle: SimpleQueue[Launcher]) -> Tried:
    began = time.monotonic()
    folder.mkdir(parents=True)
    chance = random.Random(f"{seed} {fault}")
    contests = [Contest(n, folder, random.Random(chance.getrandbits(64))) for n in range(times)]
    with emulator(latency=0.02, seed=seed) as service, ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:

        def one(contest: Contest) -> None:
            launcher = idle.get()
            try:
                hold(contest, launcher, service.url)
            finally:
                idle.put(launcher)

        list(pool.map(one, contests))
        return _judged(fault, service, contests, time.monotonic() - began)


def _judged(fault: str, service: Emulator, contests: list[Contest], seconds: float) -> Tried:
    rows = [row for contest in contests for row in contest.rows]
    invited, totals = service.messages(), service.audit()
    broken = [sentence for contest in contests for sentence in contest.broken]
    if set(invited) - set(messages(rows)):
        broken.append("invitations without a row")
    seen = Counter(contest.seen for contest in contests)
    if fault == TOGETHER and len(contests) >= 10 and set(seen) != {(0, 0), (0, REFUSED)}:
        broken.append(f"the contests came to only one end: {dict(seen)}")
    twice = max(
        sum(count > 1 for count in invited.values()), totals["double_by_token"], totals["double_by_body"]
    )
    return Tried(
        fault,
        len(contests),
        len(set(messages(rows)) - set(invited)),
        twice,
        totals["calls"] - len(rows),
        sum(contest.kills for contest in contests) * _IN_FLIGHT,
        seconds,
        tuple(broken),
    )
