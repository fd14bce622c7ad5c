"""Cells of a CSV that a spreadsheet shows and does not run.

A cell that begins with `=`, `+`, `-` or `@` is a formula to a spreadsheet, and formulas fetch addresses and
start programs. OWASP's way against it (CSV Injection): a single quote before such a cell makes a text of it.
Where the semicolon separates columns, as in half of Europe, what follows one is the beginning of a cell, too.
"""

from __future__ import annotations

import re
from typing import Final

from bulk_invite.runs.output.logs import escaped

_FORMULA: Final = re.compile(r"(?:^|(?<=;))(?=\s*[=+\-@\uff1d\uff0b\uff0d\uff20])")
"""Also in full width, which some spreadsheets take for the same."""


def cell(value: object) -> object:
    """A value as it may stand in a cell: line ends, tabs and what else does not print are escapes."""
    return _FORMULA.sub("'", str(escaped(value))) if isinstance(value, str) else value
