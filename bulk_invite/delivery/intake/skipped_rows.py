"""Rows that earlier runs created and this run does not read again, reported beside the reading.

Results have a line for each of them: a million takes some seconds, for which no call waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import anyio

from bulk_invite.delivery.intake.admit_batch import Admitter, HandOver
from bulk_invite.domain.admissions import SkippedRow

PAGE: Final = 500
"""Rows reported at a time, in some milliseconds."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The rows of one source.

    page: the rows that follow the one with the given place, at most `PAGE`. place: of a row, as `page` takes
    it.
    """

    page: Callable[[str], Awaitable[list[SkippedRow]]]
    place: Callable[[SkippedRow], str]


class SkippedRows:
    """An intake that hands over nothing. `add` what is to be reported; `end` when no more will come."""

    is_resumed = False

    def __init__(self, admitter: Admitter) -> None:
        self.all_read = False
        self._admitter = admitter
        self._listings: deque[Listing] = deque()
        self._news = anyio.Event()
        self._ended = False

    def add(self, listing: Listing) -> None:
        self._listings.append(listing)
        self._news.set()

    def end(self) -> None:
        self._ended = True
        self._news.set()

    async def run(self, _hand_over: HandOver) -> None:
        """Report them until the end, or until it is cancelled."""
        while self._listings or not self._ended:
            await self._news.wait()
            self._news = anyio.Event()
            while self._listings:
                await self._report(self._listings.popleft())
        self.all_read = True

    async def _report(self, listing: Listing) -> None:
        last = ""
        while rows := await listing.page(last):
            self._admitter.skip(rows)
            last = listing.place(rows[-1])
