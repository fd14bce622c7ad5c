"""Makes commands fit the width of a terminal so that they can still be copied and run."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator

_COMMENT = re.compile(r"^(?P<code>.*?\S) {2,}(?P<comment># .*)$")
_WORD = re.compile(r"""(?:--[\w-]+\ +(?=[\w/]))?(?:"[^"]*"|'[^']*'|\\.|\S)+""")
"""A word of a command; an option and its value are one."""


def fitted(script: str, width: int) -> str:
    """The lines of a script in at most `width` columns where that is possible.

    A comment at the end of a long line goes above the line. A long command goes on after a backslash, but is
    never broken within a word.
    """
    return "\n".join(part for line in script.splitlines() for part in _fitted(line, width))


def typed_fitted(session: str, width: int) -> str:
    """The lines of a terminal session: what is typed after `$ ` is fitted, what is printed stays as it is."""
    lines, typed = list[str](), False
    for line in session.splitlines():
        typed = line.lstrip().startswith("$ ") or (typed and lines[-1].endswith("\\"))
        lines += _fitted(line, width) if typed else [line]
    return "\n".join(lines)


def commented(text: str, width: int) -> str:
    """The lines of a file in which # begins a comment: comments at the end of long lines go above them."""
    return "\n".join(part for line in text.splitlines() for part in _comment_above(line, width))


def _fitted(line: str, width: int) -> Iterator[str]:
    *comments, code = _comment_above(line, width)
    yield from comments
    yield from [code] if len(code) <= width or code.lstrip().startswith("#") else _broken(code, width)


def _comment_above(line: str, width: int) -> list[str]:
    found = _COMMENT.match(line)
    if len(line) <= width or found is None:
        return [line]
    comment = textwrap.wrap(found["comment"], width, subsequent_indent="# ", break_long_words=False)
    return [*comment, found["code"]]


def _broken(command: str, width: int) -> Iterator[str]:
    margin = len(command) - len(command.lstrip())
    line = " " * margin
    for word in _WORD.findall(command):
        if line.strip() and len(line) + len(word) + len(" \\") > width:
            yield f"{line.rstrip()} \\"
            line = " " * (margin + 4)
        line += f"{word} "
    yield line.rstrip()
