"""When a service asks a full engagement again. Pure, except for the clock that it is given.

An engagement that was refused is asked once per retry, at the end of a round, so new rows come first. The
wait doubles with each refusal, from the retry interval to `_LONGEST`. All refused retries together take at
most `_SHARE` of the daily quota, spread over the day: what is left belongs to rows that can be invited.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from bulk_invite.domain.durations import DAY, HOUR

_LONGEST: Final = 4 * HOUR
"""Longest wait between two retries of an engagement, unless the retry interval is longer."""

_SHARE: Final = 0.1
"""Share of the daily quota for retries that are refused again."""

_A_DAY: Final = 1_000.0
"""Refused retries in 24 hours under any quota: new rows wait while engagements are asked again."""

_BURST: Final = 1 / 24
"""Share of the retries of a day that may be made at once, but at least one."""

_MAX_REMEMBERED: Final = 100_000
"""Engagements remembered; a forgotten one begins with the shortest wait again."""


@dataclass(frozen=True, slots=True)
class _Refused:
    """times: refusals so far, as far as this process knows. due: when to ask again, by the clock.

    round: the last one in which it had a row.
    """

    times: int
    due: float
    round: int


class EngagementRetries:
    """Full engagements and their next retries.

    interval: seconds to the first retry. clock: seconds that never jump. quota: calls allowed in 24 hours, if
    known.
    """

    def __init__(
        self, interval: float, clock: Callable[[], float], quota: Callable[[], int | None] = lambda: None
    ) -> None:
        self._interval = interval
        self._clock = clock
        self._quota = quota
        self._refused: OrderedDict[str, _Refused] = OrderedDict()
        self._asked: set[str] = set()
        self._round = 0
        self._filled_at = clock()
        self._allowance = self._burst()

    @property
    def engagements(self) -> int:
        """Number of engagements that wait."""
        return len(self._refused)

    def next_due(self) -> float | None:
        """When the first engagement is asked again, by the clock. May be called from another thread."""
        return min((each.due for each in list(self._refused.values())), default=None)

    def is_due(self) -> bool:
        """Whether an engagement, or one that is forgotten, may be asked again. For other threads, too."""
        due = self.next_due()
        return due is None or due <= self._clock()

    def waits(self, engagement: str) -> bool:
        """Whether its rows must not be called now."""
        return engagement in self._refused and engagement not in self._asked

    def is_due_soon(self, engagement: str) -> bool:
        """Whether the end of this round may ask it again."""
        return self._refused[engagement].due <= self._clock() + 1.5 * self._interval

    def note_full_before(self, engagement: str) -> None:
        """Note an engagement that an earlier run found full."""
        known = self._refused.get(engagement)
        if known is None:
            self._remember(engagement, 0, self._clock() + self._interval)
        elif known.round != self._round:
            self._remember(engagement, known.times, known.due)

    def note_refused(self, engagement: str) -> None:
        """Note a refusal. Further calls that were in flight at the same time add nothing to the wait."""
        known = self._refused.get(engagement)
        if known is not None and engagement not in self._asked:
            return
        times = 1
        if known is not None:
            times = known.times + 1
            self._fill()
            self._allowance -= 1
        self._asked.discard(engagement)
        wait = min(self._interval * 2 ** min(times - 1, 32), max(_LONGEST, self._interval))
        self._remember(engagement, times, self._clock() + wait)

    def note_created(self, engagement: str) -> None:
        """Note room in an engagement that was asked again; other calls left before its refusal."""
        if engagement in self._asked:
            self._asked.remove(engagement)
            self._refused.pop(engagement, None)

    def ask_soon(self, engagements: Iterable[str]) -> None:
        """These may have been refused because the account was full, and it has room now."""
        for engagement in engagements:
            if engagement in self._refused:
                self._remember(engagement, 0, self._clock())

    def take(self, engagements: Iterable[str], limit: int) -> list[str]:
        """Return at most `limit` of the engagements, the first due ones first; the caller asks each now."""
        self._fill()
        now, half = self._clock(), self._interval / 2  # a round later would be a whole interval too late
        due = [(self._refused[each].due, each) for each in engagements if self.waits(each)]
        taken = [each for at, each in sorted(due) if at <= now + half]
        taken = taken[: min(limit, max(0, int(self._allowance)))]
        self._asked.update(taken)
        return taken

    def begin_round(self) -> None:
        """What was taken and not asked waits again; what had no row in the round before is forgotten.

        Every row that waits is read in every round, so the rows are gone from their source.
        """
        self._asked.clear()
        for gone in [name for name, each in self._refused.items() if each.round < self._round]:
            del self._refused[gone]
        self._round += 1

    def _remember(self, engagement: str, times: int, due: float) -> None:
        self._refused[engagement] = _Refused(times, due, self._round)
        self._refused.move_to_end(engagement)
        if len(self._refused) > _MAX_REMEMBERED:
            self._refused.popitem(last=False)

    def _a_day(self) -> float:
        quota = self._quota()
        return _A_DAY if quota is None else min(_A_DAY, _SHARE * quota)

    def _burst(self) -> float:
        return max(1.0, _BURST * self._a_day())

    def _fill(self) -> None:
        now = self._clock()
        gained = (now - self._filled_at) / DAY * self._a_day()
        self._allowance = min(self._burst(), self._allowance + gained)
        self._filled_at = now
