"""Shapes compiled for pydantic-core: to find every error, or only to accept quickly."""

from __future__ import annotations

from typing import Generic, Literal, TypeVar

from pydantic_core import CoreConfig, CoreSchema, SchemaError, SchemaValidator, ValidationError, core_schema

from bulk_invite.domain.errors import ServiceModelError
from bulk_invite.validation.shapes import Choice, Listing, Record, Scalar, Shape, Text


def compile_shape(
    shape: Shape, *, unknown: Literal["forbid", "ignore"] = "forbid", list_bounds: bool = False
) -> SchemaValidator:
    """Compile a shape. Does not check that a union has exactly one member.

    unknown: whether unknown members are errors, or dropped from the validator's result. list_bounds: whether
    to check the length of lists. Pydantic does not examine the content of a list that is too long.
    """
    try:
        # An internal error must not put a row's values into a traceback.
        config = CoreConfig(hide_input_in_errors=True)
        return SchemaValidator(_schema(shape, unknown, list_bounds=list_bounds), config)
    except SchemaError as error:
        raise ServiceModelError(
            f"The shape {shape.name} of the service model cannot be compiled: {error}.",
            hint="Patterns with look-around or back-references are not supported.",
        ) from error


Known = TypeVar("Known")


class QuickCheck(Generic[Known]):
    """Recognizes valid values at a fraction of the cost of finding errors; not for all shapes.

    Known: what its caller knows of a valid value, such as a TypedDict.

    Unknown members are dropped instead of refused, which saves a third; so are further members of a union.
    The caller must prove that nothing was dropped, and proves in the same step that no key occurs twice (see
    `json_text`).
    """

    def __init__(self, shape: Shape) -> None:
        self._applies = isinstance(shape, Record) and _is_simple(shape)
        self._validator = compile_shape(shape, unknown="ignore", list_bounds=True)

    def known_members(self, value: object) -> Known | None:
        """The known members of `value`: texts, members sorted. None if it is not certainly valid."""
        if not self._applies:
            return None
        try:
            known: Known = self._validator.validate_python(value)
        except ValidationError:
            return None
        return known


def _is_simple(shape: Shape) -> bool:
    """Texts only, so that the length of orjson's output is a proof."""
    match shape:
        case Text() | Choice():
            return True
        case Scalar():
            return False
        case Listing(item=item):
            return _is_simple(item)
        case Record(members=members):
            return all(map(_is_simple, members.values()))


def _schema(shape: Shape, unknown: Literal["forbid", "ignore"], *, list_bounds: bool) -> CoreSchema:
    match shape:
        case Text(pattern=pattern):
            return core_schema.str_schema(
                min_length=pattern.min_length or None,
                max_length=pattern.max_length,
                pattern=pattern.rust,
                regex_engine="rust-regex",
                strict=True,
            )
        case Choice(values=values):
            return core_schema.literal_schema(list(values))
        case Scalar():
            return _scalar_schema(shape)
        case Listing(item=item):
            return core_schema.list_schema(
                _schema(item, unknown, list_bounds=list_bounds),
                min_length=shape.min_items if list_bounds else None,
                max_length=shape.max_items if list_bounds else None,
                strict=True,
            )
        case Record():
            return _record_schema(shape, unknown, list_bounds=list_bounds)


def _record_schema(record: Record, unknown: Literal["forbid", "ignore"], *, list_bounds: bool) -> CoreSchema:
    members = {
        name: _schema(member, unknown, list_bounds=list_bounds)
        for name, member in sorted(record.members.items())
    }
    if unknown == "ignore" and record.union:
        choices = ({name: core_schema.typed_dict_field(member)} for name, member in members.items())
        return core_schema.union_schema(
            [core_schema.typed_dict_schema(each, extra_behavior=unknown, strict=True) for each in choices],
            mode="left_to_right",
        )
    fields = {
        name: core_schema.typed_dict_field(member, required=name in record.required)
        for name, member in members.items()
    }
    return core_schema.typed_dict_schema(fields, extra_behavior=unknown, strict=True)


def _scalar_schema(scalar: Scalar) -> CoreSchema:
    match scalar.kind:
        case "integer":
            low = None if scalar.minimum is None else int(scalar.minimum)
            high = None if scalar.maximum is None else int(scalar.maximum)
            return core_schema.int_schema(ge=low, le=high, strict=True)
        case "float":
            return core_schema.float_schema(ge=scalar.minimum, le=scalar.maximum, strict=True)
        case "boolean":
            return core_schema.bool_schema(strict=True)
        case "timestamp":
            return core_schema.datetime_schema(strict=False)
