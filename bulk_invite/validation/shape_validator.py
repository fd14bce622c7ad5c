"""Find all errors of a value against a shape of the service model, in plain sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from pydantic_core import ErrorDetails, ValidationError

from bulk_invite.domain.rows import RowError
from bulk_invite.validation.compiled import compile_shape
from bulk_invite.validation.field_texts import counted, field_text, unknown_field_text
from bulk_invite.validation.json_text import MAX_ERRORS
from bulk_invite.validation.places import path_text, shape_at, similar_member
from bulk_invite.validation.service_model import ServiceModel
from bulk_invite.validation.shapes import Listing, Record, Shape, resolve


class ShapeValidator:
    """Checks parsed JSON against one input or output shape of the service model.

    Raises ServiceModelError if the shape is missing or cannot be compiled.
    """

    def __init__(
        self, model: ServiceModel, shape_name: str, *, optional: frozenset[str] = frozenset()
    ) -> None:
        self.shape = resolve(model, shape_name, optional=optional)
        self._counts = _counts(self.shape)
        self._validator = compile_shape(self.shape)

    def errors(self, value: object) -> tuple[RowError, ...]:
        """All errors of `value`: at most MAX_ERRORS, and a last one if there are more."""
        return bounded(self.each_error(value))

    def each_error(self, value: object, whole: object = None) -> Iterator[RowError]:
        """The errors of `value`, without limit. They contain nothing of it: names are those of the model.

        whole: the original in which members are numbered; by default `value` itself.
        """
        if self._counts is not None:
            yield from self._counts.errors(value, "$")
        try:
            self._validator.validate_python(value)
        except ValidationError as error:
            found = error.errors(include_url=False, include_context=False)
            whole = value if whole is None else whole
            yield from (_row_error(self.shape, whole, detail) for detail in found)


def bounded(errors: Iterator[RowError]) -> tuple[RowError, ...]:
    """The first MAX_ERRORS errors, and a last one if there are more."""
    shown = tuple(islice(errors, MAX_ERRORS))
    if next(errors, None) is None:
        return shown
    return (
        *shown,
        RowError("$", "too_many_errors", f"has more errors; the first {MAX_ERRORS} are listed"),
    )


@dataclass(frozen=True, slots=True)
class _Counts:
    """The permitted numbers of union members and list elements, at this shape and below.

    Checked apart from pydantic's pass, in which a wrong count hides errors inside.
    """

    union: frozenset[str] | None
    min_items: int
    max_items: int | None
    members: tuple[tuple[str, _Counts], ...]
    item: _Counts | None

    def errors(self, value: object, path: str) -> Iterator[RowError]:
        if isinstance(value, dict):
            if self.union is not None and len(self.union & value.keys()) != 1:
                names = ", ".join(sorted(self.union))
                one_of = "one of: " if len(self.union) > 1 else "the field "
                yield RowError(path, "not_exactly_one", f"must have exactly {one_of}{names}")
            for name, counts in self.members:
                if name in value:
                    yield from counts.errors(value[name], f"{path}.{name}")
        elif isinstance(value, list):
            if len(value) < self.min_items:
                yield RowError(
                    path, "too_few", f"has {counted(len(value), 'element')}; at least {self.min_items:,}"
                )
            if self.max_items is not None and len(value) > self.max_items:
                yield RowError(
                    path, "too_many", f"has {counted(len(value), 'element')}; at most {self.max_items:,}"
                )
            if self.item is not None:
                for index, item in enumerate(value):
                    yield from self.item.errors(item, f"{path}[{index}]")


def _counts(shape: Shape) -> _Counts | None:
    match shape:
        case Listing():
            item = _counts(shape.item)
            if item is None and shape.max_items is None and not shape.min_items:
                return None
            return _Counts(None, shape.min_items, shape.max_items, (), item)
        case Record():
            inner = ((name, _counts(member)) for name, member in shape.members.items())
            members = tuple((name, counts) for name, counts in inner if counts is not None)
            union = frozenset(shape.members) if shape.union else None
            return _Counts(union, 0, None, members, None) if members or union else None
        case _:
            return None


# Maps pydantic's error types to our codes; any other one is a wrong type.
_CODES: Mapping[str, str] = {
    "missing": "missing",
    "extra_forbidden": "unknown_member",
    "literal_error": "not_in_enum",
    "string_pattern_mismatch": "invalid_format",
    "string_unicode": "invalid_format",
    "string_too_short": "too_short",
    "string_too_long": "too_long",
    "greater_than_equal": "out_of_range",
    "less_than_equal": "out_of_range",
}


def _row_error(root: Shape, whole: object, detail: ErrorDetails) -> RowError:
    path = detail["loc"]
    written = path_text(root, whole, path)
    code = _CODES.get(detail["type"], "wrong_type")
    if code == "unknown_member":
        known = similar_member(shape_at(root, path[:-1]), str(path[-1]))
        return RowError(written, code, unknown_field_text(known, written))
    given, shape = detail["input"], shape_at(root, path)
    if code == "not_in_enum" and not isinstance(given, str):
        code = "wrong_type"
    return RowError(written, code, field_text(code, shape, given))
