"""What may stand in place of the last word of a command line. Only the declarations are asked, no file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import typer

from bulk_invite.cli.options.grouped_help import GroupedProgram

_NAMES_FILES: Final = re.compile(r"\b(?:FILE|DIR|(?<!\$\.)PATH)\b|SOURCE\.\.\.|SCENARIO")
"""What an option or an argument calls its value if that can be a file; `$.PATH` is a member of a row."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """words: each with its description or ""; files: whether names of files are possible, too."""

    words: Sequence[tuple[str, str]] = ()
    files: bool = False


@dataclass(slots=True)
class _Line:
    """A command line up to the last word. awaits: the option whose value comes next."""

    command: Any
    context: Any
    awaits: Any = None
    arguments: int = 0
    options_ended: bool = False


def candidates(program: Any, words: Sequence[str]) -> Candidates:
    """What may stand in place of the last of the words, which follow the name of the program."""
    *before, last = words
    line = _Line(program, typer.Context(program, **program.context_settings))
    for word in before:
        if not _follow(line, word):
            return Candidates()
    if line.awaits is not None:
        return _values(line, line.awaits, last)
    if last.startswith("-") and not line.options_ended:
        name, equals, value = last.partition("=")
        if not equals:
            return Candidates(list(_options(line, last)))
        found = _option(line, name)
        return Candidates() if found is None else _values(line, found, value, prefix=f"{name}=")
    if isinstance(line.command, GroupedProgram):
        return Candidates(list(line.command.commands.purposes(last)))
    argument = _argument(line)
    return Candidates() if argument is None else _values(line, argument, last)


def _follow(line: _Line, word: str) -> bool:
    """Go on by one word; False where it is not a command."""
    if line.awaits is not None:
        line.awaits = None
    elif word == "--":
        line.options_ended = True
    elif word.startswith("-") and word != "-" and not line.options_ended:
        option = None if "=" in word else _option(line, word)
        line.awaits = None if option is None or option.is_flag else option
    elif isinstance(line.command, GroupedProgram):
        command: Any = line.command.commands.get(word)
        if command is None:
            return False
        line.command = command
        line.context = typer.Context(command, parent=line.context, **command.context_settings)
    else:
        line.arguments += 1
    return True


def _options(line: _Line, start: str) -> Iterator[tuple[str, str]]:
    for parameter in _parameters(line, "option"):
        meaning = (parameter.help or "").partition(". ")[0]
        for name in (*parameter.opts, *parameter.secondary_opts):
            if name.startswith(start):
                yield name, meaning


def _option(line: _Line, name: str) -> Any:
    return next((each for each in _parameters(line, "option") if name in each.opts), None)


def _argument(line: _Line) -> Any:
    """The argument that comes next; the last one may be repeatable."""
    arguments = _parameters(line, "argument")
    if line.arguments < len(arguments):
        return arguments[line.arguments]
    return arguments[-1] if arguments and arguments[-1].nargs == -1 else None


def _parameters(line: _Line, kind: str) -> list[Any]:
    parameters: list[Any] = line.command.get_params(line.context)
    return [each for each in parameters if each.param_type_name == kind]


def _values(line: _Line, parameter: Any, start: str, prefix: str = "") -> Candidates:
    words = [
        (f"{prefix}{each.value}", each.help or "") for each in parameter.shell_complete(line.context, start)
    ]
    return Candidates(words, files=_NAMES_FILES.search(parameter.metavar or "") is not None)
