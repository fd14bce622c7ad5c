"""Standard output, which carries results only."""

from __future__ import annotations

import os
import sys


def write(text: str) -> None:
    """Write a whole result. Raises OSError, BrokenPipeError where the reader has gone."""
    sys.stdout.write(text)
    sys.stdout.flush()


def silence() -> None:
    """Discard what is written from now on; else Python reports the same error again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
