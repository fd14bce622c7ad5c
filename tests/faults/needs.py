"""Requirements of some campaigns on the machine: without them a developer's run skips them, and CI fails."""

from __future__ import annotations

import os

import pytest


def need(what: str, *, there: bool) -> None:
    if there:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"needs {what}, which has to be there where CI is true")
    pytest.skip(f"needs {what}")
