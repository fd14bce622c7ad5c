"""Readiness at a moment, and the file that holds it. A probe reads it every few seconds, without a log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import ClassVar, Final

import orjson

from bulk_invite.domain.clock import utc_text
from bulk_invite.domain.errors import ControlError

LIVE_FOR: Final = 15.0
"""Seconds after which a file that was not renewed is stale."""

_LARGEST: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class HealthView:
    """Health at a moment. at: epoch seconds; reasons: why a part does not respond, by name of the part."""

    NOT_ASKED: ClassVar[str] = "not asked yet"

    ready: bool
    reasons: Mapping[str, str]
    at: float

    @property
    def known(self) -> Mapping[str, str]:
        """Reasons of the parts that were checked."""
        return {part: reason for part, reason in self.reasons.items() if reason != self.NOT_ASKED}


def read(path: Path) -> HealthView:
    """Read a health file. Raises ControlError where there is none."""
    try:
        if not path.is_file():  # opening a pipe would block
            raise ControlError(f"There is no health file {path}: no run is updating it.")
        with path.open("rb") as file:
            return _parsed(file.read(_LARGEST))
    except OSError as error:
        raise ControlError(f"The health file {path} cannot be read: {reason_of(error)}.") from error
    except ValueError as error:
        raise ControlError(f"{path} is not a health file.") from error


def is_live(view: HealthView, now: float) -> bool:
    """Whether the file was renewed recently. A time in the future does not count: the clock was set back."""
    return abs(now - view.at) < LIVE_FOR


def serialized(view: HealthView) -> bytes:
    values = {
        "ready": view.ready,
        "at": utc_text(view.at),
        "live_until": utc_text(view.at + LIVE_FOR),
        "reasons": view.reasons,
    }
    return orjson.dumps(values, option=orjson.OPT_APPEND_NEWLINE)


def _parsed(text: bytes) -> HealthView:
    match orjson.loads(text):
        case {"ready": bool(ready), "at": str(at), "reasons": dict(reasons)}:
            said = {str(part): str(reason) for part, reason in reasons.items()}
            return HealthView(ready, said, datetime.fromisoformat(at).timestamp())
        case _:
            raise ValueError("other members")


def reason_of(error: OSError) -> str:
    return error.strerror or type(error).__name__
