"""Fields of the emulator's options that know how they are written on the command line."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import Enum, auto
from typing import Any

from bulk_invite.domain.errors import UsageError


class Form(Enum):
    """How a value is written on the command line."""

    TEXT = auto()
    TEXTS = auto()
    PATH = auto()
    INTEGER = auto()
    COUNT = auto()  # an integer, or "none" for no limit
    RATE = auto()  # a number, or "none" for no limit
    RATE_TRACE = auto()
    AMOUNT = auto()  # a number, 0 too
    PROBABILITY = auto()
    DURATION = auto()
    SWITCH = auto()
    CREDENTIALS = auto()


@dataclass(frozen=True, slots=True)
class Flag:
    """An option on the command line, how its value is written, and its heading in the help."""

    name: str
    form: Form
    panel: str
    help: str

    def check(self, value: Any) -> None:
        """Raise UsageError for a value out of range; None is "no limit" where there can be one."""
        match self.form:
            case Form.PROBABILITY if not 0 <= value <= 1:
                raise UsageError(f"{self.name} must be a probability between 0 and 1, not {value:g}.")
            case Form.RATE | Form.COUNT if value is not None and not 0 < value < math.inf:
                raise UsageError(f"{self.name} must be more than 0, or none for no limit.")
            case Form.DURATION | Form.INTEGER | Form.AMOUNT if (
                value is not None and not 0 <= value < math.inf
            ):
                raise UsageError(f"{self.name} must be 0 or more.")
            case _:
                pass


def option(default: Any, name: str, form: Form, panel: str, help_text: str) -> Any:
    """A dataclass field with a default that the command line can set by the option `name`."""
    return field(default=default, metadata={"flag": Flag(name, form, panel, help_text)})


def flags(options: type[Any]) -> Mapping[str, Flag]:
    """The command line options of a dataclass, by field."""
    return {each.name: each.metadata["flag"] for each in fields(options) if "flag" in each.metadata}


def check_all(options: Any) -> None:
    for name, flag in flags(type(options)).items():
        flag.check(getattr(options, name))
