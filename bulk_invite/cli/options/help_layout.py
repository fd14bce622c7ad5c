"""Layout of a help text: prose, definitions, and commands to copy, in the columns of the terminal."""

from __future__ import annotations

import inspect
import re
import shutil
import textwrap
from collections.abc import Iterator, Sequence
from typing import Final

from bulk_invite.cli.options.code_lines import fitted

_WIDEST: Final = 120
_MARGIN: Final = "  "

_LONGEST_NAME: Final = 30
"""Columns of a name that has its meaning beside it; that of a longer name begins on the next line."""

_VERBATIM: Final = "\b"
"""Begins a paragraph of commands, as in every help text of this kind."""

_QUOTED: Final = re.compile(r"'\{[^']*\}'")
_KEPT: Final = "\0"


def columns() -> int:
    """Columns of a help text on this terminal."""
    return min(shutil.get_terminal_size().columns, _WIDEST) - len(_MARGIN)


def wrapped(text: str, width: int, *, margin: str = "", next_margin: str | None = None) -> list[str]:
    """Lines of at most `width` columns. Names of options, and JSON in quotes, are never broken."""
    kept = _QUOTED.sub(lambda found: found[0].replace(" ", _KEPT), text)
    lines = textwrap.wrap(
        kept,
        width,
        initial_indent=margin,
        subsequent_indent=margin if next_margin is None else next_margin,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace(_KEPT, " ") for line in lines]


def prose(text: str, width: int) -> str:
    """Paragraphs and commands. A paragraph that begins with a backspace is commands."""
    blocks = re.split(r"\n{2,}", inspect.cleandoc(text))
    return "\n\n".join("\n".join(_block(each, width)) for each in blocks if each)


def _block(block: str, width: int) -> Iterator[str]:
    if not block.startswith(_VERBATIM):
        yield from wrapped(block, width, margin=_MARGIN)
        return
    commands = textwrap.dedent(block.removeprefix(f"{_VERBATIM}\n"))
    whole = re.sub(r" *\\\n *", " ", commands)
    yield from textwrap.indent(fitted(whole, width - 2 * len(_MARGIN)), 2 * _MARGIN).splitlines()


def definitions(records: Sequence[tuple[str, str]], width: int) -> Iterator[str]:
    """Lines with a name each and its meaning beside it, or below it where the name is too long."""
    longest = max(len(name) for name, _ in records)
    column = min(longest, _LONGEST_NAME, width // 3) + 2 * len(_MARGIN)
    for name, meaning in records:
        lines = wrapped(meaning, width, margin=" " * column)
        head = f"{_MARGIN}{name}"
        if len(head) + len(_MARGIN) > column or not lines:
            yield from wrapped(name, width, margin=_MARGIN)
        else:
            lines[0] = head + lines[0][len(head) :]
        yield from lines
