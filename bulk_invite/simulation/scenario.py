"""Scenarios: small files that say how a server limits, how it is sent to, and what has to come of it.

title       one line
length      how long is sent, such as "20m"
warm_up     share of the length that is not counted
fixed_rate  calls per second of the fixed rate beside it
live        how long it takes over real HTTP, such as "60s"; without it, only in virtual time
[server]    options of the emulator as on its command line: rate = 10, latency = "100ms"
[sender]    settings of `send`: max_rate = 100, daily_quota = 10000
[target]    what is to be reached, see `Target`
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from bulk_invite.durations import parse_duration
from bulk_invite.emulator.command import options_of
from bulk_invite.emulator.flag import flags
from bulk_invite.emulator.options import Options
from bulk_invite.errors import UsageError

_FOLDER: Final = Path(str(files("bulk_invite.simulation"))) / "scenarios"

_Length = Annotated[float, BeforeValidator(parse_duration), Field(gt=0)]
_Share = Annotated[float, Field(ge=0, le=1)]


class Target(BaseModel):
    """What the worst of all seeds has to reach.

    goodput: granted calls as a share of what the server allows, at least; throttled: share of all calls, at
    most; probes: calls per day that ask whether an unknown cap is over, at most; over: calls that left when
    the day was used up, at most.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    goodput: _Share | None = None
    throttled: _Share | None = None
    probes: int | None = None
    over: int | None = None


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    length: _Length
    fixed_rate: float = Field(gt=0)
    warm_up: _Share = 0.1
    live: _Length | None = None
    server: dict[str, str | int | float | bool]
    sender: dict[str, str | int | float] = {}
    target: Target


@dataclass(frozen=True, slots=True)
class Scenario:
    """A file that was read; times in seconds. sender: settings of `send`, as in its TOML file."""

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


def names() -> list[str]:
    """The scenarios that come with the program."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def load(name: str) -> Scenario:
    """Read a shipped scenario by its name, or one of your own by its path. Raises UsageError."""
    path = Path(name) if name.endswith(".toml") else _FOLDER / f"{name}.toml"
    try:
        read = _File.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageError(
            f"There is no scenario {name}: {error.strerror}.",
            hint=f"Name a .toml file, or one of {', '.join(names())}.",
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"The scenario {path} is not valid TOML: {error}.") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise UsageError(f"The scenario {path} has something wrong at {place}: {first['msg']}.") from error
    if unknown := sorted(set(read.server) - set(flags(Options))):
        raise UsageError(f"The scenario {path} names server options that do not exist: {', '.join(unknown)}.")
    return Scenario(
        path.stem,
        read.title,
        read.length,
        read.warm_up,
        read.fixed_rate,
        read.live,
        options_of(
            {key: value if isinstance(value, bool) else str(value) for key, value in read.server.items()}
        ),
        read.server,
        read.sender,
        read.target,
    )
