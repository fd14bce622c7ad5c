"""The location of an error in a row, as `$.Invitation.Items[0]`.

A member is named only if the service model has it. Any other name is the row's own and may be sensitive
(`{"JaneDoe": ...}`, an account number): it is shown as its position, `?3` for the third member of its object.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from operator import itemgetter
from typing import TypeAlias

from bulk_invite.domain.rows import METADATA
from bulk_invite.validation.shapes import Listing, Record, Shape

Path: TypeAlias = tuple[str | int, ...]

_LIKE = 0.75
"""Share of letters in common from which a name counts as a misspelling of another."""

_LONGEST = 64
"""Maximum length of a name considered for that: none of the model is nearly as long."""


def step(shape: Shape | None, name: str | int, number: int = 0) -> tuple[str, Shape | None]:
    """The written form of a step, and the shape there, if the model has one. number: of a member, from 1."""
    match shape:
        case _ if isinstance(name, int):
            return f"[{name}]", shape.item if isinstance(shape, Listing) else None
        case Record(members=members) if name in members:
            return f".{name}", members[name]
        case _ if name == METADATA:
            return f".{METADATA}", None
        case _:
            return f".?{number}", None


def path_text(shape: Shape | None, value: object, path: Path) -> str:
    """The location of `path` in `value`, which `shape` describes. value: objects may be lists of pairs."""
    text = "$"
    for name in path:
        number, inner = _found(value, name)
        written, shape = step(shape, name, number)
        text, value = text + written, inner
    return text


def _found(value: object, name: str | int) -> tuple[int, object]:
    """The number of a member in its object, from 1, and its value; for a repeated one, the last."""
    match value, name:
        case dict(), str() if name in value:
            return list(value).index(name) + 1, value[name]
        case list(), str():  # pairs
            found = ((number, inner) for number, (each, inner) in enumerate(value, start=1) if each == name)
            return max(found, default=(0, None), key=itemgetter(0))
        case list(), int():
            return 0, value[name]
        case _:
            return 0, None


def shape_at(shape: Shape | None, path: Path) -> Shape | None:
    for name in path:
        _, shape = step(shape, name)
    return shape


def similar_member(shape: Shape | None, name: str) -> str | None:
    """The model's member that an unknown name resembles; it reveals no more of that name."""
    return nearest(shape.members, name) if isinstance(shape, Record) else None


def nearest(names: Iterable[str], given: str) -> str | None:
    """The one of `names` that `given` resembles, whatever its case."""
    if len(given) > _LONGEST:
        return None
    known = {each.lower(): each for each in names}
    like = get_close_matches(given.lower(), known, n=1, cutoff=_LIKE)
    return known[like[0]] if like else None
