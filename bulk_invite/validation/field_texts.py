"""What is wrong with a field, in the words of its author: never a value, never a bare pattern."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from types import NoneType
from typing import Final

from bulk_invite.validation.compiled import compile_shape
from bulk_invite.validation.places import nearest
from bulk_invite.validation.shapes import Choice, Listing, Record, Scalar, Shape, Text

_LISTED: Final = 12
"""Values of a choice that a message lists one by one."""

# By shape name: what a text or a choice has to be, and an example, which is none of our example rows'. Where
# another model does not accept the example, the words do not hold either.
_FORMS: Final[Mapping[str, tuple[str, str]]] = {
    "Amount": ("must be digits, with at most two of them after a point", "1250.50"),
    "AwsAccount": ("must be 12 digits", "111122223333"),
    "CatalogIdentifier": ("must be letters only", "Sandbox"),
    "CompanyWebsiteUrl": ("must be a web address", "https://www.example.org"),
    "CountryCode": ("must be a two-letter country code of ISO 3166 in capitals (GB, not UK)", "DE"),
    "Date": ("must be a date as YYYY-MM-DD", "2027-06-30"),
    "EngagementIdentifier": ("must be eng- and 14 digits or lower-case letters", "eng-0a1b2c3d4e5f6g"),
    "EstimationUrl": (
        "must be the link of an estimate in the AWS Pricing Calculator",
        f"https://calculator.aws/#/estimate?id={'0a1b2c3d' * 4}",
    ),
    "ExpectedCustomerSpendCurrencyCodeEnum": (
        "must be a three-letter currency code of ISO 4217 in capitals",
        "USD",
    ),
    "PhoneNumber": ("must begin with + and the country code, then digits only", "+12065550100"),
    "SenderContactEmail": ("must be an e-mail address", "jane.doe@example.org"),
}

_KINDS: Final[Mapping[type[Shape], str]] = {
    Text: "text",
    Choice: "text",
    Listing: "a list",
    Record: "an object",
}
_SCALARS: Final[Mapping[str, str]] = {
    "integer": "a whole number",
    "float": "a number",
    "boolean": "true or false",
    "timestamp": "a time: ISO 8601 text, or seconds since 1970",
}
_GIVEN: Final[Mapping[type[object], str]] = {
    str: "text",
    bool: "true or false",
    int: "a number",
    float: "a number",
    list: "a list",
    dict: "an object",
    NoneType: "null",
}


def field_text(code: str, shape: Shape | None, given: object) -> str:
    """One clause about a field. given: its value."""
    match shape:
        case _ if code == "missing":
            return "required field is missing"
        case Choice() if code == "not_in_enum" and isinstance(given, str):
            return _choice(shape, given)
        case Text() if isinstance(given, str):
            return _text(code, shape, given)
        case Scalar() if code == "out_of_range":
            return f"must be {_SCALARS[shape.kind]}{_range(shape)}"
        case None:
            return "is not valid"
        case _:
            return _type(shape, given)


def _text(code: str, text: Text, given: str) -> str:
    if code in _LENGTHS:
        return _LENGTHS[code](len(given), text.pattern.min_length, text.pattern.max_length or 0)
    if text.pattern.form is None or any("\ud800" <= each <= "\udfff" for each in given):
        return "must be valid Unicode text"
    return _form(text)


def unknown_field_text(known: str | None, path: str) -> str:
    """known: the field of the model with a similar name. path: as it is shown."""
    if known:
        return f"unknown field (did you mean {known}?)"
    number = path.rpartition(".?")[2]
    return f"unknown field, number {number} of its object" if number.isdecimal() else "unknown field"


def counted(count: int, noun: str) -> str:
    return f"1 {noun}" if count == 1 else f"{count:,} {noun}s"


def _choice(choice: Choice, given: str) -> str:
    """The nearest value is the service's, but that of a sensitive field would give away what was given."""
    if described := _described(choice):
        return described
    if len(choice.values) == 1:
        return f"must be {choice.values[0]}"
    near = None if choice.sensitive else _near(choice.values, given)
    perhaps = f"; did you mean {near}?" if near else ""
    if len(choice.values) <= _LISTED:
        return f"must be one of: {', '.join(choice.values)}{perhaps}"
    return f"must be one of {len(choice.values)} values, which `bulk-invite schema` lists{perhaps}"


@lru_cache(maxsize=256)
def _near(values: tuple[str, ...], given: str) -> str | None:
    """Remembered, since a sheet repeats its mistakes and a search takes as long as twenty valid rows."""
    return nearest(values, given)


def _form(text: Text) -> str:
    if text.pattern.form == ".*":
        return "must be one line, without line breaks"
    other = "has characters or a form that the service does not accept; `bulk-invite schema` shows its form"
    return _described(text) or other


@cache
def _described(shape: Text | Choice) -> str | None:
    words, example = _FORMS.get(shape.name, ("", ""))
    if not words or not compile_shape(shape).isinstance_python(example):
        return None
    return f"{words}, such as {example}"


def _type(shape: Shape, given: object) -> str:
    expected = _SCALARS[shape.kind] if isinstance(shape, Scalar) else _KINDS[type(shape)]
    found = _GIVEN.get(type(given), "another type")
    quotes = "; put it in quotes" if expected == "text" and found in {"a number", "true or false"} else ""
    return f"must be {expected}, is {found}{quotes}" if found != expected else f"must be {expected}"


def _range(scalar: Scalar) -> str:
    low = "" if scalar.minimum is None else f" from {scalar.minimum:,}"
    return low if scalar.maximum is None else f"{low} up to {scalar.maximum:,}"


def _short(count: int, least: int, _most: int) -> str:
    if count == 0:
        return "must not be empty" if least == 1 else f"is empty; at least {counted(least, 'character')}"
    return f"has {counted(count, 'character')}; at least {least:,}"


_LENGTHS: Final[Mapping[str, Callable[[int, int, int], str]]] = {
    "too_short": _short,
    "too_long": lambda count, _least, most: f"has {counted(count, 'character')}; at most {most:,}",
}
