"""All observers of a run, as one."""

from __future__ import annotations

from collections.abc import Sequence

from bulk_invite.domain.admissions import Admission, ToSend
from bulk_invite.domain.events import Answered
from bulk_invite.domain.observer import Observer


class Observers(Observer):
    """Forwards every call to each observer, in order."""

    def __init__(self, observers: Sequence[Observer]) -> None:
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
