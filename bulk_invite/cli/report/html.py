"""Builds HTML and SVG from elements; every text that is not `Markup` is escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape
from typing import Final

from bulk_invite.domain.texts import escaped

_EMPTY: Final = frozenset({"meta", "path", "rect", "line", "br", "wbr"})
"""Elements without content or end tag."""

_BREAKS: Final = re.compile(r"(?<=[^$][./_-])(?=[^./_-])|(?<=[a-z])(?=[A-Z])")
"""Between the parts of `$.Lead.CountryCode`, `not_in_enum` and `/exports/spring-2026.ndjson`."""

_CODE: Final = re.compile(r"(`[^`]+`|--[a-z][a-z-]*)")


class Markup(str):
    """A string that is already HTML or SVG."""

    __slots__ = ()


def element(name: str, /, *content: str | Iterable[str], **attributes: str | float) -> Markup:
    """An element. Underscores in attribute names become hyphens; a trailing one is dropped.

    Unprintable characters become backslash escapes: a bidirectional override must not reorder its neighbors.
    """
    named = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_plain(value))}"' for key, value in attributes.items()
    )
    if name in _EMPTY:
        return Markup(f"<{name}{named}/>" if name in {"path", "rect", "line"} else f"<{name}{named}>")
    return Markup(f"<{name}{named}>{''.join(map(_inner, content))}</{name}>")


def join(parts: Iterable[str]) -> Markup:
    """Concatenate texts and markup."""
    return Markup("".join(_inner(part) for part in parts))


def prose(text: str) -> Markup:
    """A text in which `backticks` and --options are code."""
    return join(
        element("code", part.strip("`")) if at % 2 else part for at, part in enumerate(_CODE.split(text))
    )


def breakable(text: str) -> Markup:
    """A name or a path whose lines may break between its parts."""
    first, *others = _BREAKS.split(text)
    return join([first, *(part for other in others for part in (element("wbr"), other))])


def _inner(part: str | Iterable[str]) -> str:
    match part:
        case Markup():
            return part
        case str():
            return escape(str(escaped(part)), quote=False)
        case _:
            return join(part)


def _plain(value: str | float) -> str:
    """The value of an attribute; coordinates keep one decimal."""
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else escaped(str(value))
