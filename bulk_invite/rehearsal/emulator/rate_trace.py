"""A rate that changes over time: tokens up to a time, and the time of a number of tokens."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from operator import itemgetter

from bulk_invite.domain.durations import parse_duration
from bulk_invite.domain.errors import UsageError


@dataclass(frozen=True, slots=True)
class RateTrace:
    """steps: seconds since the account's first call, and the calls per second from then on.

    Raises UsageError unless the times start at 0 and ascend, and the rates are above 0.
    """

    steps: tuple[tuple[float, float], ...]
    _tokens_before: tuple[float, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        starts = [start for start, _ in self.steps]
        if starts[:1] != [0]:
            raise UsageError("--rate-trace must start at 0s.")
        if not all(earlier < later for earlier, later in pairwise(starts)):
            raise UsageError("The times of --rate-trace must ascend.")
        if not all(0 < rate < math.inf for _, rate in self.steps):
            raise UsageError("The rates of --rate-trace must be more than 0.")
        tokens = ((end - start) * rate for (start, rate), (end, _) in pairwise(self.steps))
        object.__setattr__(self, "_tokens_before", tuple(accumulate(tokens, initial=0.0)))

    @classmethod
    def parse(cls, text: str) -> RateTrace:
        """Parse `DURATION:RATE,DURATION:RATE`, such as `0s:10,20m:4`. Raises UsageError for anything else."""
        try:
            written = [step.split(":") for step in text.split(",")]
            steps = tuple((parse_duration(start), float(rate)) for start, rate in written)
        except ValueError:
            form = "DURATION:RATE,DURATION:RATE, such as 0s:10,20m:4"
            raise UsageError(f"--rate-trace must be {form}, not {text!r}.") from None
        return cls(steps)

    def tokens(self, time: float) -> float:
        """The tokens of the first `time` seconds: the integral of the rate."""
        step = bisect_right(self.steps, time, lo=1, key=itemgetter(0)) - 1
        start, rate = self.steps[step]
        return self._tokens_before[step] + (time - start) * rate

    def time(self, tokens: float) -> float:
        """Seconds until `tokens` have accumulated: the inverse of `tokens()`."""
        step = bisect_right(self._tokens_before, tokens, lo=1) - 1
        start, rate = self.steps[step]
        return start + (tokens - self._tokens_before[step]) / rate
