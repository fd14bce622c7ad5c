"""The options of the emulator that are faults: how probable each is."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Final

from bulk_invite.domain.errors import UsageError
from bulk_invite.rehearsal.emulator.option_fields import Form, check_all, option

FAULTS: Final = "Faults"
"""Their heading in the help."""


def _fault(name: str, help_text: str, *, common: bool = False) -> float:
    probability: float = option(0.0, name, Form.PROBABILITY, FAULTS, help_text, common=common)
    return probability


@dataclass(frozen=True, slots=True)
class FaultOptions:
    """Probability of each fault per call. They exclude each other, so that their sum is at most 1."""

    error_500: float = _fault(
        "--fault-500", "Probability of InternalServerException, with or without a commit."
    )
    error_503: float = _fault(
        "--fault-503", "Probability of a 503 HTML page, as from a load balancer, with or without a commit."
    )
    reset_before: float = _fault(
        "--fault-reset-before", "Probability of a connection reset (RST) before the commit."
    )
    reset_after: float = _fault(
        "--fault-reset-after", "Probability of a connection reset (RST) after the commit.", common=True
    )
    close: float = _fault(
        "--fault-close", "Probability of a connection closed without a response, with or without a commit."
    )
    truncate: float = _fault(
        "--fault-truncate", "Probability of a truncated response, with or without a commit."
    )
    empty: float = _fault(
        "--fault-empty", "Probability of a 200 with {} and no Id, with or without a commit."
    )
    html: float = _fault(
        "--fault-html", "Probability of a 200 HTML page, as from a proxy, with or without a commit."
    )
    slow: float = _fault(
        "--fault-slow", "Probability of a response that is late by --slow-for, with or without a commit."
    )
    throttle: float = _fault(
        "--fault-throttle", "Probability of ThrottlingException with x-amz-retry-after.", common=True
    )

    def __post_init__(self) -> None:
        check_all(self)
        # A sum such as 0.7 + 0.2 + 0.1 may exceed 1 by a rounding error.
        if math.fsum(self.probabilities().values()) > 1 + 1e-9:
            raise UsageError("The probabilities of the faults add up to more than 1.")

    def probabilities(self) -> dict[str, float]:
        return {kind.name: getattr(self, kind.name) for kind in fields(self)}
