"""The shapes of the service model, resolved: the basis of validator, JSON Schema and examples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from bulk_invite.domain.errors import ServiceModelError
from bulk_invite.validation.patterns import TextPattern, read_pattern
from bulk_invite.validation.service_model import ServiceModel

# A row is a request, except: the run provides the catalog, a token can be derived, and metadata is dropped.
MAY_BE_ABSENT = frozenset({"Catalog", "ClientToken"})


@dataclass(frozen=True, slots=True)
class Text:
    name: str
    pattern: TextPattern


@dataclass(frozen=True, slots=True)
class Choice:
    """A text that is one of `values`. A pattern beside an enum is ignored: one of them knows only USD.

    sensitive: whether the model marks it so; then no message says which value is meant.
    """

    name: str
    values: tuple[str, ...]
    sensitive: bool = False


@dataclass(frozen=True, slots=True)
class Scalar:
    """A number, boolean or time. A time is ISO 8601 text or seconds since 1970."""

    name: str
    kind: Literal["integer", "float", "boolean", "timestamp"]
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    name: str
    item: Shape
    min_items: int = 0
    max_items: int | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """A structure; a `union` has exactly one of its members."""

    name: str
    members: Mapping[str, Shape]
    required: frozenset[str]
    union: bool = False


Shape: TypeAlias = Text | Choice | Scalar | Listing | Record

_SCALARS: Mapping[str, Literal["integer", "float", "boolean", "timestamp"]] = {
    "integer": "integer",
    "long": "integer",
    "float": "float",
    "double": "float",
    "boolean": "boolean",
    "timestamp": "timestamp",
}


def resolve(model: ServiceModel, name: str, *, optional: frozenset[str] = frozenset()) -> Shape:
    """Resolve a shape and everything it refers to; members in `optional` are not required at its top level.

    Raises ServiceModelError for what this program cannot validate: unknown types and recursive shapes.
    """
    shape = _resolve(model, name, ())
    if optional and isinstance(shape, Record):
        return Record(shape.name, shape.members, shape.required - optional, shape.union)
    return shape


def member_names(shape: Shape) -> frozenset[str]:
    """The names of all members, at any depth."""
    match shape:
        case Listing(item=item):
            return member_names(item)
        case Record(members=members):
            return frozenset(members).union(*map(member_names, members.values()))
        case _:
            return frozenset()


def _resolve(model: ServiceModel, name: str, parents: tuple[str, ...]) -> Shape:
    if name in parents:
        raise ServiceModelError(f"{model.path}: the shape {name} contains itself, which is not supported.")
    shape, parents = model.shape(name), (*parents, name)
    match shape.get("type"):
        case "string":
            return _text(name, shape)
        case "list":
            item = _resolve(model, shape["member"]["shape"], parents)
            return Listing(name, item, shape.get("min", 0), shape.get("max"))
        case "structure":
            members = {
                member: _member(model, reference, parents)
                for member, reference in shape.get("members", {}).items()
            }
            return Record(name, members, frozenset(shape.get("required", ())), shape.get("union", False))
        case str(kind) if kind in _SCALARS:
            return Scalar(name, _SCALARS[kind], shape.get("min"), shape.get("max"))
        case kind:
            raise ServiceModelError(
                f"{model.path}: the shape {name} has the type {kind}, which is not supported."
            )


def _member(model: ServiceModel, reference: Mapping[str, Any], parents: tuple[str, ...]) -> Shape:
    shape = _resolve(model, reference["shape"], parents)
    if isinstance(shape, Choice) and reference.get("sensitive"):
        return replace(shape, sensitive=True)
    return shape


def _text(name: str, shape: Mapping[str, Any]) -> Text | Choice:
    if "enum" in shape:
        return Choice(name, tuple(shape["enum"]), sensitive=shape.get("sensitive", False))
    pattern = read_pattern(shape["pattern"]) if "pattern" in shape else TextPattern()
    lengths = [length for length in (pattern.max_length, shape.get("max")) if length is not None]
    shortest = max(pattern.min_length, shape.get("min", 0))
    return Text(name, TextPattern(shortest, min(lengths, default=None), pattern.form))
