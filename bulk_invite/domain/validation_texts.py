"""Errors of pydantic about a value, in the words of an operator."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final

_WHOLE: Final = "must be a whole number"
_NUMBER: Final = "must be a number"
_SWITCH: Final = "must be true or false"
_TABLE: Final = "must be a table"
_LIST: Final = "must be a list"

_BY_TYPE: Final[Mapping[str, str]] = {
    "missing": "is missing",
    "extra_forbidden": "is unknown",
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_from_float": _WHOLE,
    "int_parsing_size": "must be a smaller number",
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "finite_number": "must be a finite number",
    "bool_type": _SWITCH,
    "bool_parsing": _SWITCH,
    "string_type": "must be text",
    "path_type": "must be the name of a file or folder, as text",
    "dict_type": _TABLE,
    "model_type": _TABLE,
    "model_attributes_type": _TABLE,
    "list_type": _LIST,
    "tuple_type": _LIST,
}

_BY_CONTEXT: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "greater_than": lambda context: f"must be more than {context['gt']:g}",
    "greater_than_equal": lambda context: f"must be {context['ge']:g} or more",
    "less_than": lambda context: f"must be less than {context['lt']:g}",
    "less_than_equal": lambda context: f"must be {context['le']:g} or less",
    "string_too_short": lambda _: "must not be empty",
    "too_short": lambda _: "must not be empty",
    "value_error": lambda context: str(context["error"]).removesuffix("."),
}

_QUOTED: Final = re.compile(r"'([^']*)'")
_OF_TYPER: Final = re.compile(r"'(?P<given>.*)' is not one of (?P<values>'.*')", re.DOTALL)


def explained(error: Mapping[str, Any]) -> str:
    """An error of pydantic as the end of a sentence, without its full stop: `must be more than 0`.

    typer has pydantic read the values of its options, too, and words a wrong choice itself.
    """
    kind, context = error["type"], error.get("ctx", {})
    if kind == "literal_error":
        return choice(_QUOTED.findall(context["expected"]), error["input"])
    if kind in _BY_CONTEXT:
        said = _BY_CONTEXT[kind](context)
        found = _OF_TYPER.fullmatch(said)
        return choice(_QUOTED.findall(found["values"]), found["given"]) if found else said
    return _BY_TYPE.get(kind, "is not valid")


def choice(values: Sequence[str], given: object) -> str:
    """What a value has to be, and the nearest: `must be Sandbox or AWS; did you mean AWS?`."""
    *others, last = values
    listed = f"{', '.join(others)} or {last}" if others else last
    known = {each.lower(): each for each in values}
    near = get_close_matches(str(given).lower(), known, n=1)
    return f"must be {listed}" + (f"; did you mean {known[near[0]]}?" if near else "")
