"""What the flow tells to whoever watches it: metrics, traces, the live page.

Each is told only after the commit that makes it true, on the event loop's thread, and must not wait.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from bulk_invite.domain.admissions import Admission, ToSend
from bulk_invite.domain.events import Answered


class Observer(Protocol):
    def took_in(self, admission: Admission) -> None:
        """A row was read."""

    def sent(self, to_send: ToSend, at: float) -> None:
        """An attempt is durable and about to leave; epoch seconds."""

    def answered(self, to_send: ToSend, answered: Answered, seconds: float | None) -> None:
        """What is known of a row now. seconds: what the call took; None where there was none."""

    def ended(self, to_send: ToSend, answered: Answered, attempts: int) -> None:
        """This run is done with a row, after so many attempts."""

    def committed(self, seconds: float, events: int) -> None:
        """So many events were written together."""


class Observers:
    """All of them as one."""

    def __init__(self, observers: Sequence[Observer] = ()) -> None:
        self._observers = observers

    def took_in(self, admission: Admission) -> None:
        for each in self._observers:
            each.took_in(admission)

    def sent(self, to_send: ToSend, at: float) -> None:
        for each in self._observers:
            each.sent(to_send, at)

    def answered(self, to_send: ToSend, answered: Answered, seconds: float | None) -> None:
        for each in self._observers:
            each.answered(to_send, answered, seconds)

    def ended(self, to_send: ToSend, answered: Answered, attempts: int) -> None:
        for each in self._observers:
            each.ended(to_send, answered, attempts)

    def committed(self, seconds: float, events: int) -> None:
        for each in self._observers:
            each.committed(seconds, events)
