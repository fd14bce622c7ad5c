"""SIGTERM in every phase of a run, with the time from the signal to the exit; then the same command again."""

from __future__ import annotations

import os
import random
import signal
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final

from command import CREATED, Emulator, ScriptedServer, always, emulator, free_port, running, wait_until
from rows import make_rows, messages, write_rows

from bulk_invite.rehearsal.emulator.fault_options import FaultOptions
from faults.launched import Batch, Launcher, Program, Stand
from faults.tried import Tried
from faults.victims import explains_nothing

STOPPED, INTERRUPTED = 75, 130
SOON: Final = 4.0
"""Seconds that a stop may take, over the time of a call in flight; what it must not wait for takes longer."""

_ROWS: Final = 20
_IN_FLIGHT: Final = 4
_CALM: Final = ("--rate", "100", "--burst", "8")


@dataclass(frozen=True)
class Phase:
    """The phase of a run in which the signal comes.

    service: the emulator's options. stand: where to make it wait. log: what it logs on arriving there; calls:
    how many the service has had by then; settle: seconds after that, up to so many. call: how long a call in
    flight takes. again: how many signals. code: how it ends. repeats: how many calls may be repeated.
    """

    name: str
    service: dict[str, Any] = field(default_factory=dict)
    options: tuple[str, ...] = _CALM
    stand: Stand | None = None
    log: str = "run.started"
    calls: int = 0
    settle: float = 0.2
    call: float = 0.0
    again: bool = False
    code: int = STOPPED
    repeats: int = 0


_LEFT: Final = Stand("sent", 1, 0.01)
"""A call is in flight: the marker shows it, the service only after its decision."""

STARTING, ASKING, FIFO, LONG = "starting", "asking who we are", "reading a FIFO", "validating a long file"
DOWN, GONE = "endpoint down", "endpoint gone on the way"

PHASES: Final = (
    Phase(STARTING),
    Phase(ASKING, log=""),
    Phase(FIFO),
    Phase(LONG),
    Phase("waiting for a permit", options=("--rate", "0.1", "--burst", "1"), calls=1),
    Phase("fast call in flight", {"latency": 0.2}, calls=2, call=0.2),
    Phase("slow call in flight", {"latency": 2.5}, stand=_LEFT, call=2.5),
    Phase("backoff after a throttle", {"faults": FaultOptions(throttle=1.0), "retry_after": 20.0}, calls=1),
    Phase("backoff in doubt", {"faults": FaultOptions(error_500=1.0)}, calls=12, settle=1.0),
    Phase("parked by the daily quota", options=(*_CALM, "--daily-quota", "5"), calls=5),
    Phase(DOWN, log="endpoint.unreachable"),
    Phase(GONE, {"latency": 0.1}, log="endpoint.unreachable", repeats=_IN_FLIGHT),
    Phase("committing an intent, slow disk", stand=Stand("in_intent", 2, 0.3), settle=0.0, call=0.3),
    Phase("committing an answer, slow disk", stand=Stand("in_commit", 2, 0.3), settle=0.0, call=0.3),
    Phase("putting results in place", stand=Stand("in_results", 1, 0.3), settle=0.0, call=0.9, code=0),
    Phase(
        "slow call, second signal",
        {"latency": 30.0},
        stand=_LEFT,
        again=True,
        code=INTERRUPTED,
        repeats=_IN_FLIGHT,
    ),
)


@dataclass
class Stop:
    """One run that is stopped in a phase, and the same command after it."""

    phase: Phase
    folder: Path
    chance: random.Random
    after: float = 0.0
    lost: int = 0
    twice: int = 0
    repeated: int = 0
    broken: list[str] = field(default_factory=list)

    def make(self, launcher: Launcher) -> None:
        self.folder.mkdir(parents=True)
        self.rows = make_rows(_ROWS)
        self._source = self._prepared_source()
        self._ledger = self.folder / "ledger.ndjson"
        try:
            if self.phase.name == STARTING:
                self._stop_installed()
            else:
                self._stop_launched(launcher)
            self._go_on(launcher)
        except AssertionError as error:  # it hung, and was killed
            self.broken.append(str(error)[-500:])

    def _prepared_source(self) -> Path:
        source = self.folder / "rows.ndjson"
        if self.phase.name == FIFO:
            os.mkfifo(source)
        elif self.phase.name == LONG:
            write_rows(source, ["{}"] * 300_000)
        else:
            write_rows(source, self.rows)
        return source

    def _program(self, url: str, options: Sequence[str], stand: Stand | None = None) -> Program:
        flags = ("--endpoint-url", url, "--json", "--max-in-flight", str(_IN_FLIGHT), "--results", "out")
        return Program(("send", self._source, *flags, "--max-attempts", "99", *options), self.folder, stand)

    def _stop_installed(self) -> None:
        with emulator(ledger=self._ledger, latency=0.2) as service:
            program = self._program(service.url, ("--rate", "2"))
            with running(*program.arguments, cwd=self.folder, installed=True) as sender:
                time.sleep(self.chance.uniform(0.15, 1.2))
                began = time.monotonic()
                sender.signal(signal.SIGTERM)
                ran = sender.ended()
                self._judge(ran.code, time.monotonic() - began, ran.stderr)

    def _stop_launched(self, launcher: Launcher) -> None:
        with self._held_open(), self._service() as (url, ready):
            batch = launcher.start(self._program(url, self.phase.options, self.phase.stand))
            try:
                wait_until(lambda: self.phase.log in batch.log() and ready(batch), within=20)
                time.sleep(self.chance.uniform(0, self.phase.settle))
                batch.signal(signal.SIGTERM)
                if self.phase.again:
                    wait_until(lambda: "run.draining" in batch.log(), within=20)
                    batch.signal(signal.SIGTERM)
            except AssertionError:
                batch.signal(signal.SIGKILL)
                self.broken.append(f"never came to {self.phase.name}: {batch.log()[-300:]}")
            (ended,) = batch.ended()
        self._judge(ended.code, ended.after, ended.stderr)

    @contextmanager
    def _held_open(self) -> Iterator[None]:
        """A writer of the FIFO that writes nothing."""
        if self.phase.name != FIFO:
            yield
            return
        fd = os.open(self._source, os.O_RDWR)
        try:
            yield
        finally:
            os.close(fd)

    @contextmanager
    def _service(self) -> Iterator[tuple[str, Callable[[Batch], bool]]]:
        """The endpoint, and whether the phase is reached as far as it can see."""
        phase = self.phase
        with ExitStack() as stack:
            if phase.name == ASKING:
                over = threading.Event()
                silent = ScriptedServer(always(CREATED), others=lambda: bytes(over.wait(30)))
                stack.enter_context(silent)
                stack.callback(over.set)
                yield silent.url, lambda _: bool(silent.others)
            elif phase.name == DOWN:
                yield f"http://127.0.0.1:{free_port()}", lambda _: True
            else:
                serving = stack.enter_context(ExitStack())
                there = serving.enter_context(emulator(ledger=self._ledger, **phase.service))

                def reached(batch: Batch) -> bool:
                    marked = phase.stand is None or batch.mark().exists()
                    return marked and len(there.calls()) >= phase.calls

                if phase.name == GONE:
                    leaving = threading.Thread(target=_leave, args=(there, serving))
                    leaving.start()
                    stack.callback(leaving.join)
                yield there.url, (lambda _: not leaving.is_alive()) if phase.name == GONE else reached

    def _judge(self, code: int, after: float | None, stderr: str) -> None:
        """The exit code, and how long it took from the last signal on."""
        if code != self.phase.code:
            self.broken.append(f"exit {code}, not {self.phase.code}: {stderr[-300:]}")
        if "Traceback" in stderr or "Internal error" in stderr:
            self.broken.append(f"an internal error: {stderr[-300:]}")
        self.after = SOON * 9 if after is None else after
        if self.after > self.phase.call + SOON:
            self.broken.append(f"{self.after:.1f} s from the signal to the exit")

    def _go_on(self, launcher: Launcher) -> None:
        """The same command on a service in good health: every row has its invitation, once."""
        if self.phase.name in (FIFO, LONG):  # the rows come now
            self._source.unlink()
            write_rows(self._source, self.rows)
        with emulator(ledger=self._ledger) as service:
            ended = launcher.run(self._program(service.url, _CALM))
            invited, totals, calls = service.messages(), service.audit(), service.calls()
        if ended.code != 0:
            self.broken.append(f"exit {ended.code} of the same command again: {ended.said}")
        self.lost = len(set(messages(self.rows)) - set(invited))
        self.twice = max(totals["double_by_token"], totals["double_by_body"])
        self.repeated = sum(map(explains_nothing, calls)) - _ROWS


def _leave(service: Emulator, serving: ExitStack) -> None:
    """End a service in the middle of a call."""
    wait_until(lambda: len(service.calls()) >= 3, within=20)
    serving.close()


def campaign(
    times: int, folder: Path, seed: int, *, phases: Sequence[Phase] = PHASES, side_by_side: int = 3
) -> list[Tried]:
    """Stop repeatedly in every phase; its line shows the shortest, median and longest time to the exit."""
    with ExitStack() as stack:
        idle: SimpleQueue[Launcher] = SimpleQueue()
        for number in range(side_by_side):
            idle.put(stack.enter_context(Launcher(folder / f"launcher-{number}")))
        with ThreadPoolExecutor(side_by_side) as pool:

            def one(number: int) -> Tried:
                launcher = idle.get()
                try:
                    phase, chance = phases[number], random.Random(f"{seed} {phases[number].name}")
                    return _tried(phase, times, folder / f"phase-{number}", chance, launcher)
                finally:
                    idle.put(launcher)

            return list(pool.map(one, range(len(phases))))


def _tried(phase: Phase, times: int, folder: Path, chance: random.Random, launcher: Launcher) -> Tried:
    began = time.monotonic()
    stops = [Stop(phase, folder / str(number), chance) for number in range(times)]
    for stop in stops:
        stop.make(launcher)
    took = [stop.after for stop in stops]
    figures = f"{min(took):.2f}/{statistics.median(took):.2f}/{max(took):.2f} s"
    return Tried(
        f"SIGTERM, {phase.name}: {figures}",
        times,
        sum(stop.lost for stop in stops),
        sum(stop.twice for stop in stops),
        sum(stop.repeated for stop in stops),
        phase.repeats * times,
        time.monotonic() - began,
        tuple(sentence for stop in stops for sentence in stop.broken),
    )
