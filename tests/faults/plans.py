"""Everything about one simulation, drawn from its seed."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any, Final

import orjson
from rows import make_row

from bulk_invite.rehearsal.emulator.options import Options
from faults.courses import KINDS, Roads
from faults.virtual_service import Manners, Trouble

DEADLINE: Final = 30.0
SETTLING: Final = 60.0
_HOUR: Final = 3600.0

UNKNOWN: Final = "eng-0000000unknown"
FORBIDDEN: Final = "eng-00000forbidden"


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run is ended from outside, if it lives that long; then no sender runs for some seconds.

    how: `killed`, `drained`, `cut_off` (drained, then broken off a second later), or "" for not at all.
    point: what the process passes by, `count` times, when it is killed; "" for `after` seconds.
    """

    how: str
    point: str
    count: int
    after: float
    downtime: float


@dataclass(frozen=True, slots=True)
class Plan:
    """skew: seconds by which the sender's clock is ahead of the service's. disk: usual seconds of a write.

    seek, rate: as in `pacing.governor.Limits`; quota: the daily quota as set for the sender.
    """

    seed: int
    lines: tuple[bytes, ...]
    batch: int
    in_flight: int
    rate: float
    seek: bool
    quota: int | None
    tries: int
    lifetime: float
    skew: float
    disk: float
    endings: tuple[Ending, ...]
    options: Options
    roads: Roads
    manners: Manners


def draw(seed: int) -> Plan:
    chance = Random(f"{seed}/plan")
    waiting, room = Random(f"{seed}/waiting"), Random(f"{seed}/room")
    lines = _lines(chance)
    list_delay = chance.choice([0.0, 0.0, 2.0, 10.0, 25.0])
    retention = chance.choice([_HOUR, 8 * _HOUR])
    fault = chance.choice([0.0, 0.02, 0.1, 0.3])
    favoured = {kind: chance.choice([0.0, 1.0, 1.0, 4.0]) for kind in KINDS}
    total = sum(favoured.values()) or 1.0
    latency = chance.choice([0.02, 0.1, 0.5])
    in_flight, rate = chance.randint(1, 16), chance.choice([1.0, 5.0, 20.0])
    capped = chance.random() < 0.1
    quota = chance.randint(max(2, len(lines) // 3), len(lines)) if capped else None
    return Plan(
        seed=seed,
        lines=lines,
        batch=chance.randint(1, 20),
        in_flight=in_flight,
        rate=rate,
        seek=chance.random() < 0.3,
        quota=quota,
        tries=chance.choice([1, 2, 4, 8]),
        lifetime=retention * chance.choice([0.2, 0.5, 0.9]),
        skew=chance.choice([0.0, 0.0, -100.0, 100.0]),
        disk=chance.choice([0.001, 0.01, 0.1]),
        endings=tuple(_ending(chance, len(lines)) for _ in range(chance.choice([0, 1, 1, 2, 3, 5]))),
        options=Options(
            seed=seed,
            rate=chance.choice([None, None, 2.0, 10.0]),
            token_retention=retention,
            list_delay=list_delay,
            invitations_per_engagement=chance.choice([9, 9, 9, 3]),
            daily_quota=chance.randint(len(lines) // 2 + 2, 2 * len(lines))
            if chance.random() < 0.03
            else None,
            read_rate=chance.choice([None, 10.0, 2.0]),
            tell_retry_after=chance.random() < 0.5,
            unknown_engagements=(UNKNOWN,),
            forbidden_engagements=(FORBIDDEN,),
        ),
        roads=Roads(
            seed,
            latency,
            {kind: fault * share / total for kind, share in favoured.items()},
            latest=SETTLING - list_delay - 2.0,
            deadline=DEADLINE,
            waits=waiting.choice([0.0, 0.0, 0.05, 0.3]),
            longest_wait=2 * retention,
        ),
        manners=Manners(
            variant=chance.choice(["", "", "replay", "content", "full"]),
            troubles=tuple(_trouble(chance) for _ in range(chance.choice([0, 0, 0, 1, 2]))),
            reads_denied=chance.random() < 0.04,
            read_faults=chance.choice([0.0, 0.2, 1.0]),
            full_until=room.choice([60.0, _HOUR, 5 * _HOUR]) if room.random() < 0.1 else 0.0,
        ),
    )


def _ending(chance: Random, rows: int) -> Ending:
    how = chance.choice(["killed", "killed", "killed", "drained", "cut_off"])
    point = chance.choice(["", "writing", "written", "left", "decided", "heard"])
    return Ending(
        how,
        point if how == "killed" else "",
        count=chance.randint(1, max(2, rows // 2)),
        after=chance.choice([1.0, 4.0, 30.0]) * chance.random(),
        downtime=chance.choice([1.0, 5.0, 30.0, 90.0, 0.3 * _HOUR, _HOUR, 9 * _HOUR, 50 * _HOUR])
        * chance.uniform(0.5, 1.5),
    )


def _trouble(chance: Random) -> Trouble:
    kind = chance.choice(
        ["unreachable", "unreachable", "failing", "failing", "expired", "not_renewed", "refused"]
    )
    begin = chance.choice([2.0, 20.0, 100.0]) * chance.random()
    return Trouble(kind, begin, begin + chance.choice([5.0, 120.0, 1800.0]) * chance.random())


def _lines(chance: Random) -> tuple[bytes, ...]:
    count = chance.randint(5, 60)
    engagements = chance.randint(max(1, count // 9), max(1, count // 2))
    rows = [
        make_row(number, EngagementIdentifier=f"eng-{chance.randrange(engagements):014}")
        for number in range(count)
    ]
    for number in range(chance.choice([0, 0, 1, 3])):
        refused = chance.choice([UNKNOWN, FORBIDDEN])
        rows.append(make_row(1000 + number, EngagementIdentifier=refused))
    if chance.random() < 0.3:
        # The same invitation under tokens of their own: meant to be sent each for itself.
        for number in range(chance.randint(1, 4)):
            rows.append(
                {**chance.choice(rows[:count]), "ClientToken": f"twin-{number:04}-of-this-simulation"}
            )
    lines = [orjson.dumps(row) for row in rows]
    lines += [chance.choice(lines) for _ in range(chance.choice([0, 0, 2]))]
    lines += [orjson.dumps(_spoilt(chance, row)) for row in rows[: chance.choice([0, 0, 3])]]
    chance.shuffle(lines)
    return tuple(lines)


def _spoilt(chance: Random, row: dict[str, Any]) -> dict[str, Any]:
    return chance.choice([{}, {**row, "Invitation": {}}, {**row, "Catalog": "AWS"}, {**row, "Extra": 1}])
