"""Help texts with commands and options under headings, as in a manual page."""

from __future__ import annotations

from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

from bulk_invite.domain.validation_texts import plain

WIDEST: Final = 120
"""Columns of a help text at most, however wide the terminal is."""

_WHOLE: Final = 1000
"""Characters of a short help at most: more than any has, so that none is cut."""

_OWN: Final = "Options"


class GroupedCommand(TyperCommand):
    """A command that shows its arguments, its options by heading, and those without one last."""

    def make_context(self, *args: Any, **extra: Any) -> Any:
        try:
            return super().make_context(*args, **extra)
        except typer.BadParameter as error:
            if error.message:  # a missing parameter has none
                error.message = f"{plain(error.message)}."
            raise

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return [self.options_metavar or "", *map(_argument, self._arguments(ctx))]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        sections: dict[str, list[tuple[str, str]]] = {
            "Arguments": [(_argument(each), each.help or "") for each in self._arguments(ctx)]
        }
        own: list[tuple[str, str]] = []
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is None or parameter.param_type_name == "argument":
                continue
            heading = getattr(parameter, "rich_help_panel", None)
            (sections.setdefault(heading, []) if heading else own).append(record)
        _write({**sections, _OWN: own}, formatter)

    def _arguments(self, ctx: Any) -> list[Any]:
        return [each for each in self.get_params(ctx) if each.param_type_name == "argument"]


class GroupedProgram(TyperGroup):
    """A program that shows its commands by heading, each with its whole first sentence."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        widest = max(map(len, self.commands))
        sections: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command = self.commands[name]
            heading = getattr(command, "rich_help_panel", None) or "Commands"
            sentence = command.get_short_help_str(_WHOLE)
            sections.setdefault(heading, []).append((name.ljust(widest), sentence))
        _write(sections, formatter)


def _argument(parameter: Any) -> str:
    """An argument as its declaration writes it, without the type that typer adds."""
    if parameter.metavar:
        return str(parameter.metavar)
    name = str(parameter.name).upper()
    return name if parameter.required else f"[{name}]"


def _write(sections: dict[str, list[tuple[str, str]]], formatter: Any) -> None:
    for heading, records in sections.items():
        if records:
            with formatter.section(heading):
                formatter.write_dl(records)
