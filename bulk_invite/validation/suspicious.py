r"""Values that the service accepts and that are hardly meant: what a spreadsheet or an export leaves behind.

Nearly no row has any, and a look at each of its texts would cost a third of its validation. So a row's
canonical JSON is searched for marks first: there, every text begins and ends with a quotation mark, and no
white space lies between texts. Rust's engine searches for a few dozen short literals at once with vector
instructions, but only if all alternatives begin with a literal; therefore there are several searches. A mark
without a suspicious value costs a closer look; a suspicious value has a mark, or it would be overlooked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from pydantic_core import SchemaValidator, core_schema

from bulk_invite.domain.rows import RowError
from bulk_invite.validation.shapes import Listing, Record, Shape, Text

_ACCOUNT: Final = "AwsAccountId"
_DIGITS: Final = 12
_DIGITS_LEFT: Final = 9
"""Digits of an account number, and how many of them are left at least when it has lost its leading zeros."""

_SPACE: Final = " \t\n\r\u00a0\u2002\u2003\u2009\u200b\u202f\u3000\ufeff"
_PLACEHOLDERS: Final = frozenset(
    {
        *("NULL", "null", "(null)", "<null>", "N/A", "n/a", "N/a", "n.a.", "N.A.", "<NA>", "NaN", "nan"),
        *("NaT", "None", "undefined", "(blank)", "TBD", "tbd", "-", "--", "?"),
    }
)
"""Whole texts, in the case in which programs write them: Null is a name, and NA is Namibia."""

_OBJECT: Final = re.escape("[object Object]")
_NOT_FILLED_IN: Final = re.compile(rf"\{{\{{[^{{}}]+\}}\}}|{_OBJECT}")
"""A field of a template that got no value, or an object where a text was meant: anywhere in a text."""

_SHEET_ERRORS: Final = tuple(
    re.escape(f"#{name}")
    for name in (
        *("N/A", "REF!", "VALUE!", "NAME?", "DIV/0!", "NULL!", "NUM!", "SPILL!", "##"),
        *("N/D", "WERT!", "BEZUG!", "ZAHL!", "VALEUR!", "NOM?", "VALOR!", "VALORE!", "NOME?"),
        *("¡VALOR!", "¡REF!", "¿NOMBRE?"),
    )
)
"""In English, German, French, Spanish, Italian and Portuguese."""

_SHEET_ERROR: Final = re.compile(f"{'|'.join(_SHEET_ERRORS)}|^#NV$")
_FORMULA: Final = re.compile(r"=\s*[-+]?[A-Za-z0-9$('\"@{]")

_EMAIL: Final = re.compile(r"([^\s@]+)@([^\s@]+)")
_LINK: Final = re.compile(r"(?:https?://)?([A-Za-z0-9.-]+)(?::[0-9]+)?(?:[/?#]\S*)?")
_TEST_HOST: Final = re.compile(
    r"(?:.*\.)?example\.(?:com|net|org)|.+\.(?:example|test|invalid)|(?:.+\.)?localhost", re.IGNORECASE
)

_CP1252: Final = {
    byte: char for byte in range(0x80, 0xA0) if (char := bytes([byte]).decode("cp1252", "ignore"))
}
_BYTES: Final = {ord(char): byte for byte, char in _CP1252.items()}
_UNUSUAL: Final = re.compile("[\u0180-\u02ff\u0500-\u05cf\u0700-\u07ff\U00040000-\U0010ffff]")
"""What CAFÉ® or Groß™ would be if they were garbled: letters that no text of an invitation has."""

_CERTAINLY_GARBLED: Final = re.compile("\u00c3[\u00a1-\u00bf](?=[a-z])|(?<=[a-z])\u00c3[\u00a0-\u00bf]|â€")
"""Small letters with accents beside other small ones, and quotation marks: within a text that is not."""

_CONTINUING: Final = "[\u0080-\u00bf" + "".join(_CP1252.values()) + "]"
"""What continuation bytes of UTF-8 look like in Latin-1 or Windows-1252."""

_LEADING: Final = ("ÂÃÄÅÌÍÎÏÐÑ", "ÒÓØÙÚÛâãðï", "àáäåæçèéê", "ëìíî\u00d7")
"""What leading bytes look like; more than ten in one search would not be literals any more."""


def _search(*alternatives: str) -> Callable[[bytes], bool]:
    """A search for any of them, which takes 0.1 to 0.3 us for a row of 1 kB."""
    pattern = "|".join(alternatives)
    return SchemaValidator(
        core_schema.str_schema(pattern=pattern, regex_engine="rust-regex")
    ).isinstance_python


# Three bytes or more each: the engine would take shorter ones for the `",` and `":` that are everywhere.
_AT_ENDS: Final = (
    *(f'{before}"{first}' for first in (" ", "=") for before in (":", ",", r"\[")),
    *(f' "{after}' for after in (",", "}", r"\]")),
    *(r'"\\[tnr]', r'\\[tnr]"'),
    *(re.escape(f'"{each}"') for each in sorted(_PLACEHOLDERS)),
)
_WITHIN: Final = ('"#NV"', *_SHEET_ERRORS, r"\{\{", _OBJECT)
_ON_ACCOUNTS: Final = rf'"{_ACCOUNT}":"[0-9]{{0,{_DIGITS - 1}}}[^0-9]'
_ON_TESTS: Final = r'(?i:example\.|\.example|\.test|\.invalid|localhost|"test@)'
_ON_SHORT_HOSTS: Final = '@[^."]*"'

_MARKS: Final = (_search(*_AT_ENDS), _search(*_WITHIN, _ON_ACCOUNTS))
_LIVE_MARKS: Final = (
    _search(*_AT_ENDS),
    _search(*_WITHIN),
    _search(_ON_ACCOUNTS, _ON_TESTS),
    _search(_ON_SHORT_HOSTS),
)
_MARKS_BEYOND_ASCII: Final = (
    *(_search(f"[{leading}]{_CONTINUING}") for leading in _LEADING),
    _search("\ufffd", *(f'"{each}|{each}"' for each in _SPACE if not each.isascii())),
)


class Suspicions:
    """Finds suspicious values in valid requests. is_live: whether an address for tests is one, too."""

    def __init__(self, shape: Shape, *, is_live: bool) -> None:
        self._shape = shape
        self._is_live = is_live
        self._marks = _LIVE_MARKS if is_live else _MARKS

    def may_have_any(self, written: bytes) -> bool:
        """Whether a request has marks. written: its canonical JSON."""
        for has_mark in self._marks:  # a loop: this runs once per row
            if has_mark(written):
                return True
        return not written.isascii() and any(has_mark(written) for has_mark in _MARKS_BEYOND_ASCII)

    def warnings(self, request: object) -> Iterator[RowError]:
        """One warning for each kind and text of a valid request."""
        for path, value in _texts(self._shape, request, "$"):
            yield from self._of_text(path, value)

    def _of_text(self, path: str, value: str) -> Iterator[RowError]:
        text = value.strip(_SPACE)
        if not text and value:
            yield RowError(path, "blank_text", "has only white space")
        elif text != value:
            yield RowError(path, "padded_text", "begins or ends with white space")
        if path.endswith(f".{_ACCOUNT}"):
            yield from _of_account(path, text)
        if text in _PLACEHOLDERS or _NOT_FILLED_IN.search(text):
            yield RowError(path, "placeholder_text", "looks like a placeholder for a missing value")
        if _FORMULA.match(text):
            yield RowError(path, "spreadsheet_formula", "looks like a spreadsheet formula, not its result")
        if _SHEET_ERROR.search(text):
            yield RowError(path, "spreadsheet_error", "has an error value of a spreadsheet")
        if _is_garbled(text):
            yield RowError(path, "garbled_text", "looks garbled, like UTF-8 read in another encoding")
        if self._is_live and _is_for_tests(text):
            yield RowError(path, "test_address", "looks like an address for tests, not that of a partner")


def _of_account(path: str, text: str) -> Iterator[RowError]:
    count = len(text) if text.isdecimal() else 0
    if _DIGITS_LEFT <= count < _DIGITS:
        what = f"has {count} digits instead of {_DIGITS}: a spreadsheet may have removed leading zeros"
        yield RowError(path, "lost_leading_zero", what)
    elif count != _DIGITS:
        yield RowError(path, "unusual_account", f"should be {_DIGITS} digits, such as 111122223333")


def _is_garbled(text: str) -> bool:
    """Whether characters are lost, or the text is UTF-8 that was read as Latin-1 or Windows-1252.

    A part of a text may be that by chance, so all of it has to be, and has to mean usual characters.
    """
    if text.isascii():
        return False
    if "\ufffd" in text or _CERTAINLY_GARBLED.search(text):
        return True
    try:
        meant = text.translate(_BYTES).encode("latin-1").decode()
    except UnicodeError:
        return False
    return _UNUSUAL.search(meant) is None


def _is_for_tests(text: str) -> bool:
    if email := _EMAIL.fullmatch(text):
        name, host = email.groups()
        return name.lower() == "test" or "." not in host or _TEST_HOST.fullmatch(host) is not None
    link = _LINK.fullmatch(text)
    return link is not None and _TEST_HOST.fullmatch(link[1]) is not None


def _texts(shape: Shape, value: object, path: str) -> Iterator[tuple[str, str]]:
    """The free texts of a valid value, each with its path."""
    match shape, value:
        case Record(members=members), dict():
            for name, inner in value.items():
                yield from _texts(members[name], inner, f"{path}.{name}")
        case Listing(item=item), list():
            for index, inner in enumerate(value):
                yield from _texts(item, inner, f"{path}[{index}]")
        case Text(), str():
            yield path, value
        case _:
            pass
