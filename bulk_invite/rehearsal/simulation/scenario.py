"""Scenarios: small TOML files with the limits of a server, the settings of a sender and a target.

title       one line; default: the name of the file
length      duration of sending, such as "20m"
warm_up     share of the length that is not counted; default: 0.1
fixed_rate  calls per second of the fixed-rate sender; default: the average rate that the server allows
live        duration over real HTTP, such as "60s"; without it, the scenario runs only in virtual time
full_engagements  rows at the beginning whose engagements are full; default: 0 (not over HTTP)
commits     minimum and maximum duration of a commit of `send`, such as ["50ms", "300ms"]; default: none
[server]    options of the emulator as on its command line: rate = 10, latency = "100ms"
[sender]    settings of `send`: max_rate = 100, daily_quota = 10000
[target]    the required results, see `Target`
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from bulk_invite.domain.durations import parse_duration
from bulk_invite.domain.errors import UsageError
from bulk_invite.domain.validation_texts import explained
from bulk_invite.rehearsal.emulator.command import options_of
from bulk_invite.rehearsal.emulator.option_fields import flags
from bulk_invite.rehearsal.emulator.options import Options
from bulk_invite.rehearsal.emulator.quotas import allowance

_SENDER: Final = frozenset({"rate", "max_rate", "daily_quota", "pace", "probe_interval"})
"""Settings of `send` that apply to a simulated sender."""

_FIXED_RATE: Final = 10.0
"""Calls per second of the fixed-rate sender where only the day is limited."""

_FOLDER: Final = Path(str(files("bulk_invite.rehearsal.simulation"))) / "scenarios"


def _length(value: object) -> float:
    if not isinstance(value, str):
        raise ValueError(f'{value} is not a duration: write a number and a unit in quotes, such as "20m"')  # noqa: TRY004 - pydantic reports it
    return parse_duration(value)


_Length = Annotated[float, BeforeValidator(_length), Field(gt=0)]
_Share = Annotated[float, Field(ge=0, le=1)]


class Target(BaseModel):
    """What the worst of all seeds must reach.

    goodput: minimum granted calls as a share of those allowed. throttled: maximum share of all calls.
    probes: maximum probe calls per day at an unknown quota. over: maximum calls made after the daily quota
    was used up. regained: maximum seconds from the last rise of the quota until nine tenths of it are used.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    goodput: _Share | None = None
    throttled: _Share | None = None
    probes: int | None = None
    over: int | None = None
    regained: _Length | None = None


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str = ""
    length: _Length
    fixed_rate: Annotated[float, Field(gt=0)] | None = None
    warm_up: _Share = 0.1
    live: _Length | None = None
    full_engagements: Annotated[int, Field(ge=0)] = 0
    commits: tuple[_Length, _Length] | None = None
    server: dict[str, str | int | float | bool]
    sender: dict[str, str | int | float] = {}
    target: Target = Target()


@dataclass(frozen=True, slots=True)
class Scenario:
    """A parsed scenario; times in seconds. sender: settings of `send`, as in its TOML file.

    commits: minimum and maximum duration of a commit to our checkpoint; None on a fast disk.
    """

    name: str
    title: str
    length: float
    warm_up: float
    fixed_rate: float
    live: float | None
    options: Options
    server: dict[str, Any]
    sender: dict[str, Any]
    target: Target
    full_engagements: int = 0
    commits: tuple[float, float] | None = None


def names() -> list[str]:
    """The names of the shipped scenarios."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def load(name: str) -> Scenario:
    """Read a shipped scenario by name, or a .toml file by path. Raises UsageError."""
    path = Path(name) if name.endswith(".toml") else _FOLDER / f"{name}.toml"
    try:
        read = _File.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageError(
            f"There is no scenario {name}: {error.strerror}.",
            hint=f"Name a .toml file, or one of {', '.join(names())}.",
            topic="rehearsal",
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"The scenario {path} is not valid TOML: {error}.", topic="rehearsal") from error
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, each['loc']))}: {explained(each)}"
            for each in error.errors(include_url=False)
        )
        raise UsageError(f"The scenario {path} is invalid: {wrong}.", topic="rehearsal") from error
    options = _options(path, read.server)
    if unknown := sorted(set(read.sender) - _SENDER):
        raise UsageError(
            f"The scenario {path} has unsupported sender settings: {', '.join(unknown)}.",
            hint=f"Supported: {', '.join(sorted(_SENDER))}.",
            topic="rehearsal",
        )
    average = allowance(options, 0.0, read.length) / read.length
    if average == math.inf and options.daily_quota is None:
        raise UsageError(
            f"The server of the scenario {path} has no quota.",
            hint="Set rate, rate_trace or daily_quota.",
            topic="rehearsal",
        )
    return Scenario(
        path.stem,
        read.title or path.stem,
        read.length,
        read.warm_up,
        read.fixed_rate or (average if average < math.inf else _FIXED_RATE),
        read.live,
        options,
        read.server,
        read.sender,
        read.target,
        read.full_engagements,
        read.commits,
    )


def _options(path: Path, server: Mapping[str, str | float | bool]) -> Options:
    if unknown := sorted(set(server) - set(flags(Options))):
        raise UsageError(
            f"The scenario {path} has unknown server options: {', '.join(unknown)}.",
            hint="Use options of the emulator, except faults.",
            topic="rehearsal",
        )
    texts = {key: value if isinstance(value, bool) else str(value) for key, value in server.items()}
    try:
        return options_of(texts)
    except typer.BadParameter as error:
        raise UsageError(
            f"Invalid server in the scenario {path}: {error.message}", topic="rehearsal"
        ) from error
