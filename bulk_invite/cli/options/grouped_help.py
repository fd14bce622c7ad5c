"""Help texts: what a command is for and its examples first, then its options, as in a manual page.

A command with many options has two: `--help` with its common options, and `--help-all` with all of them by
heading.
"""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, Final, Protocol, get_args, runtime_checkable

import typer
from typer.core import TyperCommand, TyperGroup

from bulk_invite.cli.options.help_layout import columns, definitions, prose, wrapped
from bulk_invite.domain.validation_texts import explained

_MANY: Final = 12
"""Options that a help text can have without becoming too long to read."""

_WHOLE: Final = 1000
"""Characters of a first sentence at most: more than any has, so that none is cut."""

_OWN: Final = "Options"
_EXAMPLES: Final = "Examples:"
_EXIT_CODES: Final = "Exit codes:"

_MEANING: Final = re.compile(
    r"(?P<sentence>.*?\.)(?: .*?)??(?: \[(?:env: \w+)?(?:; )?(?P<default>default: .*)?\])?", re.DOTALL
)
_LEAST: Final = re.compile(r"\bx>=(\S+)\]")


@runtime_checkable
class Declared(Protocol):
    """The declaration of an option, beside `typer.Option` in its annotation."""

    @property
    def common(self) -> bool:
        """Whether the short help has it."""


class GroupedCommand(TyperCommand):
    """A command with a short and a whole help. The object of its context is its topic in the manual."""

    _help_all: Any = None

    def make_context(self, *args: Any, **extra: Any) -> Any:
        try:
            return super().make_context(*args, **extra)
        except typer.BadParameter as error:
            # typer imports it to read the value of an option, which the help does not need.
            from pydantic import ValidationError  # noqa: PLC0415

            if isinstance(error.__cause__, ValidationError):
                error.message = explained(error.__cause__.errors(include_url=False)[0])
            raise

    def get_short_help_str(self, limit: int = _WHOLE) -> str:
        return super().get_short_help_str(limit)

    def get_params(self, ctx: Any) -> Any:
        return [*super().get_params(ctx), self._help_all_option(ctx)]

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        arguments = [_argument(each) for each in self.get_params(ctx) if _is_argument(each)]
        return [self.options_metavar or "", *arguments]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        formatter.write(self._page(ctx, whole=not self._is_long))

    @property
    def _is_long(self) -> bool:
        return len(self.params) > _MANY and bool(self._rare)

    @cached_property
    def _rare(self) -> frozenset[str]:
        """The options that only --help-all has."""
        if self.callback is None:
            return frozenset()
        parameters = inspect.signature(self.callback).parameters.values()
        return frozenset(
            parameter.name
            for parameter in parameters
            for each in get_args(parameter.annotation)
            if isinstance(each, Declared) and not each.common
        )

    def _help_all_option(self, ctx: Any) -> Any:
        if self._help_all is None:
            # A copy of --help: an option is otherwise made from a parameter of the function.
            option: Any = copy.copy(self.get_help_option(ctx))
            option.name, option.opts = "help_all", ["--help-all"]
            option.help, option.callback = "Show all options and exit.", self._show_all
            option.hidden = not self._is_long
            self._help_all = option
        return self._help_all

    def _show_all(self, ctx: Any, _: Any, wanted: bool) -> None:  # noqa: FBT001 - typer calls it so
        if wanted and not ctx.resilient_parsing:
            typer.echo(self._page(ctx, whole=True))
            ctx.exit()

    def _page(self, ctx: Any, *, whole: bool) -> str:
        width = columns()
        about, _, codes = inspect.cleandoc(self.help or "").partition(_EXIT_CODES)
        arguments = [
            (_argument(each), each.help or "") for each in self.get_params(ctx) if _is_argument(each)
        ]
        parts = [_usage(ctx, self), prose(about, width)]
        if self.epilog:
            examples = inspect.cleandoc(self.epilog).removeprefix(_EXAMPLES)
            parts.append(f"{_EXAMPLES}\n{prose(examples, width)}")
        parts += _sections([("Arguments", arguments), *self._options(ctx, whole=whole)], width)
        program = ctx.command_path.partition(" ")[0]
        more = wrapped(f"Manual: {program} manual {ctx.obj}", width)
        if whole:
            parts.append(prose(f"{_EXIT_CODES}{codes}", width))
        else:
            more = [*wrapped(f"All options and exit codes: {ctx.command_path} --help-all", width), *more]
        parts.append("\n".join(more))
        return "\n\n".join(parts)

    def _options(self, ctx: Any, *, whole: bool) -> Iterator[tuple[str, list[tuple[str, str]]]]:
        """The options by heading, those without one last; or the common ones."""
        options = [each for each in self.get_params(ctx) if not (_is_argument(each) or each.hidden)]
        if not whole:
            left_out = {*self._rare, "help_all"}
            common = [each for each in options if each.name not in left_out]
            yield "Common options", [_short(_record(each, ctx)) for each in common]
            return
        headings = dict.fromkeys(each.rich_help_panel for each in options if each.rich_help_panel)
        for heading in (*headings, None):
            yield (
                heading or _OWN,
                [_record(each, ctx) for each in options if each.rich_help_panel == heading],
            )


class GroupedProgram(TyperGroup):
    """A program that shows its commands by heading, each with its whole first sentence.

    commands: `Commands`, as a subclass sets them.
    """

    commands: Any

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            # Typer takes any for a reader of standard output that has gone, and ends with 1; that one is a
            # ReaderGoneError here.
            raise ConnectionError(error.strerror) from error

    def format_help(self, ctx: Any, formatter: Any) -> None:
        width, name = columns(), ctx.command_path
        widest = max(map(len, self.commands))
        commands = [
            (heading, [(command.ljust(widest), each.purpose) for command, each in listed.items()])
            for heading, listed in self.commands.headings.items()
        ]
        options = [_record(each, ctx) for each in self.get_params(ctx)]
        parts = [
            _usage(ctx, self),
            prose(self.help or "", width),
            *_sections([(_OWN, options), *commands], width),
            f"More: {name} help COMMAND\nManual: {name} manual",
        ]
        formatter.write("\n\n".join(parts))


def _usage(ctx: Any, command: Any) -> str:
    pieces = " ".join(command.collect_usage_pieces(ctx))
    return "\n".join(wrapped(f"Usage: {ctx.command_path} {pieces}", columns(), next_margin=" " * 4))


def _sections(sections: Sequence[tuple[str, list[tuple[str, str]]]], width: int) -> list[str]:
    return [
        "\n".join([f"{heading}:", *definitions(records, width)]) for heading, records in sections if records
    ]


def _is_argument(parameter: Any) -> bool:
    return bool(parameter.param_type_name == "argument")


def _argument(parameter: Any) -> str:
    """An argument as its declaration writes it, without the type that typer adds."""
    if parameter.metavar:
        return str(parameter.metavar)
    name = str(parameter.name).upper()
    return name if parameter.required else f"[{name}]"


def _record(option: Any, ctx: Any) -> tuple[str, str]:
    """An option as it is written, and its meaning in plain words."""
    names, meaning = option.get_help_record(ctx)
    return names, _LEAST.sub(r"\1 or more]", meaning.replace("  [", " ["))


def _short(record: tuple[str, str]) -> tuple[str, str]:
    """A switch by its first name, and the first sentence of a meaning with its default."""
    names, meaning = record
    found = _MEANING.fullmatch(meaning)
    if found is None:
        return record
    default = f" [{found['default']}]" if found["default"] else ""
    return names.partition(" / ")[0], found["sentence"] + default
