"""How a setting is declared: one field says all that the command line, the help and the docs show of it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict


class Section(BaseModel):
    """Settings that belong together; `title` is their heading in the help."""

    # A section is never validated by itself, and the help needs only the declarations.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


def option(
    default: Any,
    help_text: str,
    *,
    metavar: str = "",
    alias: str | None = None,
    only: Literal["send", "serve"] | None = None,
    common: bool = False,
    short: str = "",
) -> Any:
    """Declare a setting.

    metavar: what its value is called in the help; a switch and a choice need none. alias: its name, where
    that differs from the field's. only: the one of `send` and `serve` that takes it. common: whether the
    short help of a command has it, with the first sentence of its meaning. short: a second name of one
    letter, such as `-q`.
    """
    shown: JsonDict = {"metavar": metavar, "only": only, "common": common, "short": short}
    return Field(default, alias=alias, description=help_text, json_schema_extra=shown)
