"""What the flow reports to metrics, traces and the live page."""

from __future__ import annotations

from bulk_invite.domain.admissions import Admission, ToSend
from bulk_invite.domain.events import Answered


class Observer:
    """Does nothing; an observer overrides what it watches.

    Every method is called only after the commit that makes it true, on the event loop's thread, and must not
    wait.
    """

    def took_in(self, admission: Admission) -> None:
        """A row was read."""

    def sent(self, to_send: ToSend, at: float) -> None:
        """An attempt is durable and about to leave; epoch seconds."""

    def answered(self, to_send: ToSend, answered: Answered, seconds: float | None) -> None:
        """What is known of a row now. seconds: duration of the call; None where there was none."""

    def ended(self, to_send: ToSend, answered: Answered, attempts: int) -> None:
        """This run is done with a row, after so many attempts."""

    def committed(self, seconds: float, events: int) -> None:
        """So many events were written together."""
