"""Fields of the emulator's options that know how they are written on the command line.

Not the settings' declarations: those belong to the runs, which the rehearsal does not import, and scenarios
and live simulations read and write the emulator's options, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from enum import Enum
from pathlib import Path
from typing import Any

from bulk_invite.domain.durations import format_duration, parse_duration
from bulk_invite.domain.errors import UsageError
from bulk_invite.rehearsal.emulator.credentials import Credential
from bulk_invite.rehearsal.emulator.rate_trace import RateTrace


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a whole number.") from None


def _real(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number.") from None


def _or_none(read: Callable[[str], float]) -> Callable[[str], float | None]:
    return lambda text: None if text == "none" else read(text)


def _text(default: Any) -> str:
    return f"{default:g}" if isinstance(default, float) else str(default).lower()


def _duration(default: float | None) -> str | None:
    return None if default is None else format_duration(default)


def _nothing(default: Any) -> None:
    del default


def _anything(value: Any) -> bool:
    del value
    return True


def _from_0(value: float | None) -> bool:
    return value is None or 0 <= value < math.inf


def _above_0(value: float | None) -> bool:
    return value is None or 0 < value < math.inf


def _share(value: float) -> bool:
    return 0 <= value <= 1


_FROM_0 = "must be 0 or more"
_ABOVE_0 = "must be more than 0, or none for no limit"


@dataclass(frozen=True, slots=True)
class _Way:
    """metavar: what the help calls a value. read: makes it of a text, or raises ValueError with a sentence.

    shown: a default as text for the help. allowed, rule: which values there may be, and in words.
    """

    metavar: str
    read: Callable[[str], Any]
    shown: Callable[[Any], str | None] = _text
    allowed: Callable[[Any], bool] = _anything
    rule: str = ""
    repeatable: bool = False


class Form(Enum):
    """How a value is written on the command line."""

    TEXT = _Way("HOST", str)
    TEXTS = _Way("ID", str, _nothing, repeatable=True)
    PATH = _Way("FILE", Path, _nothing)
    INTEGER = _Way("N", _integer, allowed=_from_0, rule=_FROM_0)
    COUNT = _Way("N|none", _or_none(_integer), allowed=_above_0, rule=_ABOVE_0)
    RATE = _Way("N|none", _or_none(_real), allowed=_above_0, rule=_ABOVE_0)
    RATE_TRACE = _Way("TRACE", RateTrace.parse, _nothing)
    AMOUNT = _Way("N", _real, allowed=_from_0, rule=_FROM_0)
    PROBABILITY = _Way("PROBABILITY", _real, allowed=_share, rule="must be a probability between 0 and 1")
    DURATION = _Way("DURATION", parse_duration, _duration, allowed=_from_0, rule=_FROM_0)
    SWITCH = _Way("", bool)
    CREDENTIALS = _Way("KEY:SECRET[:ACCOUNT]", Credential.parse, _nothing, repeatable=True)


@dataclass(frozen=True, slots=True)
class Flag:
    """An option on the command line, how its value is written, and its heading in the help.

    common: whether the short help has it.
    """

    name: str
    form: Form
    panel: str
    help: str
    common: bool = False

    def read(self, given: Any) -> Any:
        """The value of a text, or of the texts of a repeatable option. Raises ValueError with a sentence."""
        way = self.form.value
        return tuple(map(way.read, given)) if way.repeatable else way.read(given)


def option(default: Any, name: str, form: Form, panel: str, help_text: str, *, common: bool = False) -> Any:
    """A dataclass field with a default that the command line can set by the option `name`."""
    return field(default=default, metadata={"flag": Flag(name, form, panel, help_text, common)})


def flags(options: type[Any]) -> Mapping[str, Flag]:
    """The command line options of a dataclass, by field."""
    return {each.name: each.metadata["flag"] for each in fields(options) if "flag" in each.metadata}


def check_all(options: Any) -> None:
    """Raise UsageError for a value out of range; None is "no limit" where there can be one."""
    for name, flag in flags(type(options)).items():
        way, value = flag.form.value, getattr(options, name)
        if not way.allowed(value):
            raise UsageError(f"{flag.name} {way.rule}.")
