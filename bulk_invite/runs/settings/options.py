"""The settings as an operator writes them: on the command line, in the environment, in the file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, cast, get_args, get_origin

from pydantic import PlainSerializer
from pydantic.fields import FieldInfo

from bulk_invite.runs.settings.model import SECTIONS, Settings

ENVIRONMENT_PREFIX: Final = "BULK_INVITE_"


@dataclass(frozen=True, slots=True)
class Option:
    """One setting. default: as it is written, or "" where the help text gives it. metavar: "" for a switch.

    choices: the words that it may be, besides other values where metavar has more. only: the one of `send`
    and `serve` that takes it, or "". common: whether the short help has it. short: as `-q`, or "".
    """

    name: str
    key: str
    heading: str
    help: str
    metavar: str
    default: str
    choices: tuple[str, ...]
    only: str
    common: bool
    short: str

    @property
    def flag(self) -> str:
        return "--" + self.key.replace("_", "-")

    @property
    def variable(self) -> str:
        return ENVIRONMENT_PREFIX + self.key.upper()


def _option(name: str, field: FieldInfo, heading: str) -> Option:
    shown = field.json_schema_extra
    if not isinstance(shown, dict) or field.description is None:
        raise TypeError(f"{name} is not declared by option().")
    choices = tuple(_choices(field.annotation))
    return Option(
        name=name,
        key=field.alias or name,
        heading=heading,
        help=field.description,
        metavar=str(shown["metavar"]) or "|".join(choices),
        default=_written(field),
        choices=choices,
        only=str(shown["only"] or ""),
        common=bool(shown["common"]),
        short=str(shown["short"]),
    )


def _choices(annotation: Any) -> Iterator[str]:
    """The words of a type: of a Literal, also within a union or behind validators."""
    if get_origin(annotation) is Literal:
        yield from get_args(annotation)
    else:
        for inner in get_args(annotation):
            yield from _choices(inner)


def _written(field: FieldInfo) -> str:
    """The default of a setting, as its type writes it."""
    default = field.default
    for each in field.metadata:
        if isinstance(each, PlainSerializer):
            write = cast("Callable[[Any], Any]", each.func)
            default = write(default)
    if default in (None, False, {}):
        return ""
    return f"{default:g}" if isinstance(default, float) else str(default)


OPTIONS: Final[Mapping[str, Option]] = {
    name: _option(name, field, section.model_config["title"] or "")
    for section in SECTIONS
    for name, field in section.model_fields.items()
}
"""Every setting by the name of its field, in the order of the help."""


CHECKPOINT_SETTINGS: Final = ("checkpoint", "checkpoint_schema")
"""Settings that locate the checkpoint."""

SELECTION_SETTINGS: Final = (
    "table",
    "query",
    "key",
    "request_column",
    "columns",
    "constants",
    "session_settings",
)
"""Settings that select what is read from a database, and how."""

SOURCE_SETTINGS: Final = (*SELECTION_SETTINGS, "token_from", "label", "label_sensitive")
"""Those, what the client tokens are derived from, and how rows are labeled."""

LOG_SETTINGS: Final = ("quiet", "verbose", "log_format", "log_level")
"""Settings of the log on standard error, for every command that has one."""


def settings_given(settings: Settings, names: Iterable[str]) -> list[str]:
    """The flags of those settings that do not have their default."""
    return [
        OPTIONS[name].flag for name in names if getattr(settings, name) != Settings.model_fields[name].default
    ]


SEND_ONLY: Final = tuple(each.name for each in OPTIONS.values() if each.only == "send")
"""They mean something only to a run that ends; where `serve` ignored them, it would send unasked."""

SERVE_ONLY: Final = tuple(each.name for each in OPTIONS.values() if each.only == "serve")

SEND: Final = tuple(name for name in OPTIONS if name not in SERVE_ONLY)

SERVE: Final = tuple(name for name in OPTIONS if name not in SEND_ONLY)
