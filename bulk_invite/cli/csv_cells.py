"""CSV cells that spreadsheets do not execute.

A cell that begins with `=`, `+`, `-` or `@` is a formula, and formulas can fetch URLs and start programs. As
OWASP recommends (CSV Injection), such a cell gets a leading single quote, which makes it text. In locales
where the semicolon separates columns, a formula can also begin after a semicolon.
"""

from __future__ import annotations

import re
from typing import Final

from bulk_invite.domain.texts import escaped

_FORMULA: Final = re.compile(r"(?:^|(?<=;))(?=\s*[=+\-@\uff1d\uff0b\uff0d\uff20])")
"""Includes the full-width forms, which some spreadsheets treat alike."""


def cell(value: object) -> object:
    """A value for a cell; line ends, tabs and other unprintable characters are escaped."""
    return _FORMULA.sub("'", escaped(value)) if isinstance(value, str) else value
