"""HTML and SVG put together of elements, in which every text is escaped unless it is markup itself."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Final

from bulk_invite.runs.output.logs import escaped

_EMPTY: Final = frozenset({"meta", "path", "rect", "line", "br"})
"""Elements that hold nothing and are not closed by a tag of their own."""


class Markup(str):
    """Text that is HTML or SVG already."""

    __slots__ = ()


def element(name: str, /, *content: str | Iterable[str], **attributes: str | float) -> Markup:
    """An element. Underscores in the names of attributes become hyphens; one at their end is left out.

    A text that is not `Markup` stands there as text; what does not print stands as an escape, so that it
    cannot turn round what is beside it.
    """
    named = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_plain(value))}"' for key, value in attributes.items()
    )
    if name in _EMPTY:
        return Markup(f"<{name}{named}/>" if name in {"path", "rect", "line"} else f"<{name}{named}>")
    return Markup(f"<{name}{named}>{''.join(map(_inner, content))}</{name}>")


def join(parts: Iterable[str]) -> Markup:
    """Texts and markup, one after the other."""
    return Markup("".join(_inner(part) for part in parts))


def prose(text: str) -> Markup:
    """A text in which `backticks` stand around what is typed."""
    parts = text.split("`")
    return join(element("code", part) if at % 2 else part for at, part in enumerate(parts))


def _inner(part: str | Iterable[str]) -> str:
    match part:
        case Markup():
            return part
        case str():
            return escape(str(escaped(part)), quote=False)
        case _:
            return join(part)


def _plain(value: str | float) -> str:
    """Coordinates need no more than a tenth of a point."""
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(escaped(str(value)))
