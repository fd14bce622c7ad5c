"""All observers of a run, as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from bulk_invite.domain.admissions import Admission, ToSend
from bulk_invite.domain.events import Answered
from bulk_invite.domain.observer import Observer


class Observers(Observer):
    """Forwards every event to the observers that watch it, in order."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._took_in = _watching(observers, "took_in")
        self._sent = _watching(observers, "sent")
        self._answered = _watching(observers, "answered")
        self._ended = _watching(observers, "ended")
        self._committed = _watching(observers, "committed")

    def took_in(self, admission: Admission) -> None:
        for each in self._took_in:
            each(admission)

    def sent(self, to_send: ToSend, at: float) -> None:
        for each in self._sent:
            each(to_send, at)

    def answered(self, to_send: ToSend, answered: Answered, seconds: float | None) -> None:
        for each in self._answered:
            each(to_send, answered, seconds)

    def ended(self, to_send: ToSend, answered: Answered, attempts: int) -> None:
        for each in self._ended:
            each(to_send, answered, attempts)

    def committed(self, seconds: float, events: int) -> None:
        for each in self._committed:
            each(seconds, events)


def _watching(observers: Sequence[Observer], event: str) -> list[Callable[..., Any]]:
    """The methods of those that override it: an event that nothing watches costs nothing."""
    return [
        getattr(each, event)
        for each in observers
        if getattr(type(each), event) is not getattr(Observer, event)
    ]
