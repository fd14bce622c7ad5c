"""Kills at every labelled point and at random moments, without faults of the service and with all of them."""

from __future__ import annotations

import random
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, fields
from pathlib import Path
from queue import SimpleQueue
from typing import Final

from checkpoints import Place
from command import Emulator, emulator
from database import database, server

from bulk_invite.rehearsal.emulator.fault_options import FaultOptions
from faults.launched import Launcher, Stand
from faults.points import POINTS
from faults.tried import Tried
from faults.victims import Victim, audit, suffer

RANDOM: Final = ("random moment", "random moment, installed")
FAULTY: Final = tuple(f"{label}, with all faults" for label in ("any point", *RANDOM))
LABELS: Final = (*POINTS, *RANDOM, *FAULTY)

OF_A_ROW: Final = (
    *(f"{place}_{step}" for step in ("intent", "commit") for place in ("before", "in", "after")),
    "sent",
    "answered",
)
"""The points of a row's life."""

_WEIGHTS: Final = {
    **dict.fromkeys(POINTS, 2.0),
    **dict.fromkeys(OF_A_ROW, 8.0),
    "random moment": 32.0,
    "random moment, installed": 5.0,
    "any point, with all faults": 24.0,
    "random moment, with all faults": 24.0,
    "random moment, installed, with all faults": 4.0,
}

_SHY: Final = ("open", "claim", "begin_run")
"""Steps before the first call of a run."""

_BLOCK: Final = 60
"""Kills with one emulator, so that its ledger stays short."""

_PATIENCE: Final = 8
"""Blocks in a row whose runs all came to their end before they could be killed."""

_ALL_FAULTS: Final = dict.fromkeys((kind.name for kind in fields(FaultOptions)), 0.025)


@dataclass
class Toll:
    """The results of the kills at one label."""

    kills: int = 0
    lost: int = 0
    twice: int = 0
    repeated: int = 0
    allowed: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)


def shares(kills: int, labels: Sequence[str] = LABELS) -> dict[str, int]:
    """How many of the kills each label gets, at least one."""
    total = sum(_WEIGHTS[label] for label in labels)
    return {label: max(1, round(kills * _WEIGHTS[label] / total)) for label in labels}


Placing = Callable[[str], Place]
"""The location of the checkpoint of that name."""


def campaign(
    kills: int,
    folder: Path,
    seed: int,
    *,
    labels: Sequence[str] = LABELS,
    senders: int = 2,
    placing: Placing | None = None,
) -> list[Tried]:
    """Kill that many times in all, `senders` at a time; a line of the table for every label.

    placing: default is in files.
    """
    with ExitStack() as stack:
        idle: SimpleQueue[Launcher] = SimpleQueue()
        for number in range(senders):
            idle.put(stack.enter_context(Launcher(folder / f"launcher-{number}")))
        return [
            _tried(label, share, folder / str(number), random.Random(f"{seed} {label}"), idle, placing)
            for number, (label, share) in enumerate(shares(kills, labels).items())
        ]


def campaign_in_database(
    kills: int, folder: Path, seed: int, *, labels: Sequence[str] = LABELS
) -> list[Tried]:
    """The same with checkpoints in a PostgreSQL; one sender at a time, for there is one account."""
    with server() as running, database(running.url) as shared:

        def placing(name: str) -> Place:
            return Place(shared.url, f"v{zlib.crc32(name.encode()):08x}")

        return campaign(kills, folder, seed, labels=labels, senders=1, placing=placing)


def _tried(
    label: str,
    kills: int,
    folder: Path,
    chance: random.Random,
    idle: SimpleQueue[Launcher],
    placing: Placing | None,
) -> Tried:
    began, toll, block, in_vain = time.monotonic(), Toll(), 0, 0
    while toll.kills < kills and not toll.broken:
        before, block = toll.kills, block + 1
        place = folder / str(block)
        place.mkdir(parents=True)
        _kill_block(label, min(_BLOCK, kills - toll.kills), place, chance, idle, toll, placing)
        in_vain = in_vain + 1 if toll.kills == before else 0
        if in_vain == _PATIENCE:
            toll.broken.append(f"no run came to {label}")
    if label in FAULTY and kills > 20 and (unmet := set(_ALL_FAULTS) - set(toll.faults)):
        toll.broken.append(f"faults that never occurred: {', '.join(sorted(unmet))}")
    seconds = time.monotonic() - began
    return Tried(
        f"killed: {label}",
        toll.kills,
        toll.lost,
        toll.twice,
        toll.repeated,
        toll.allowed,
        seconds,
        tuple(toll.broken),
    )


def _kill_block(
    label: str,
    kills: int,
    folder: Path,
    chance: random.Random,
    idle: SimpleQueue[Launcher],
    toll: Toll,
    placing: Placing | None,
) -> None:
    faulty = label in FAULTY
    weather = (
        {
            "faults": FaultOptions(**_ALL_FAULTS),
            "slow_for": 0.3,
            "retry_after": 0.1,
            "rate": 120.0,
            "burst": 12,
        }
        if faulty
        else {}
    )
    with emulator(latency=0.02, seed=chance.getrandbits(30), **weather) as service:
        chains = list(_chains(kills, chance))
        places = placing or Place
        victims = [
            Victim(
                number,
                folder,
                random.Random(chance.getrandbits(64)),
                service.url,
                places(str(folder / f"{number}.db")),
            )
            for number in range(len(chains))
        ]

        def one(victim: Victim, times: int) -> None:
            launcher = idle.get()
            try:
                suffer(victim, lambda it: _kill(it, label, launcher), times, service, launcher)
            finally:
                idle.put(launcher)

        with ThreadPoolExecutor(4) as pool:
            for done in [pool.submit(one, *pair) for pair in zip(victims, chains, strict=True)]:
                done.result()
        _note(label, service, victims, toll)


def _chains(kills: int, chance: random.Random) -> Iterator[int]:
    """How often each victim is killed: once to five times, with a fixed total."""
    while kills > 0:
        yield (times := min(kills, chance.randint(1, 5)))
        kills -= times


def _kill(victim: Victim, label: str, launcher: Launcher) -> bool:
    faulty = label in FAULTY
    if "installed" in label:
        return victim.installed_killed_after(victim.chance.uniform(0.1, 1.8 if faulty else 1.3))
    if label.startswith("random moment"):
        return victim.killed_after(launcher, victim.chance.uniform(0.0, 0.8 if faulty else 0.3))
    point = victim.chance.choice(OF_A_ROW) if faulty else label
    return victim.stand(launcher, Stand(point, _passing(point, victim)))


def _passing(point: str, victim: Victim) -> int:
    """Which passing to be killed at; not so late that a resumed run seldom comes there."""
    if point in ("sent", "answered"):
        return victim.chance.randint(1, 8)
    if point in OF_A_ROW or point in ("in_open", "in_results"):
        return victim.chance.randint(1, 2)
    return 2 if point.endswith("save_pacing") and victim.chance.random() < 0.5 else 1


def _note(label: str, service: Emulator, victims: list[Victim], toll: Toll) -> None:
    found = audit(service, victims)
    toll.kills += sum(victim.kills for victim in victims)
    toll.lost += found.lost
    toll.twice += found.twice
    toll.repeated += found.repeated
    if label.partition("_")[2] not in _SHY:
        toll.allowed += sum(victim.kills * victim.in_flight for victim in victims)
    toll.faults.update(service.audit()["faults"])
    toll.broken += found.broken
