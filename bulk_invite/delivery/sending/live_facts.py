"""The facts that `next_step` decides on, taken from a run in progress."""

from __future__ import annotations

from dataclasses import dataclass

from bulk_invite.delivery.sending.circuit_breaker import CircuitBreaker
from bulk_invite.delivery.sending.may_call import MayCall
from bulk_invite.delivery.tracking.rows_on_hold import RowsOnHold
from bulk_invite.delivery.tracking.stop_switch import StopSwitch
from bulk_invite.delivery.tracking.tracked_row import TrackedRow
from bulk_invite.domain.findings import DoubtfulRow
from bulk_invite.domain.full_engagements import FullEngagements
from bulk_invite.domain.transitions import Transition
from bulk_invite.domain.verdicts import State


@dataclass(slots=True)
class RunNow:
    """What all rows of a run share. tries: doubtful attempts that a run tolerates of a row.

    is_last_round: see `RunFacts`.
    """

    stop: StopSwitch
    breaker: CircuitBreaker
    engagements: FullEngagements
    on_hold: RowsOnHold
    may_call: MayCall
    tries: int
    is_last_round: bool = False


class LiveFacts:
    """One row and its run: `RowFacts` and `RunFacts`, each found out when it is asked for.

    A step asks for few of them, and nothing else runs while it is decided on. To gather all of them for each
    step took 9 of the 100 us that a row spent in delivery.
    """

    __slots__ = ("_row", "_run", "has_permit")

    def __init__(self, row: TrackedRow, run: RunNow) -> None:
        self._row = row
        self._run = run
        self.has_permit = False

    @property
    def state(self) -> State:
        return self._row.state

    @property
    def doubt(self) -> DoubtfulRow | None:
        return None if self._row.doubt_since is None else self._row.doubt()

    @property
    def is_from_earlier_run(self) -> bool:
        return self._row.is_from_earlier_run

    @property
    def is_too_old(self) -> bool:
        return self._run.may_call.is_too_old(self._row)

    @property
    def denial(self) -> Transition | None:
        return self._row.denial

    @property
    def tries_left(self) -> int:
        return self._run.tries - (self._row.probes if self.is_down else self._row.doubtful)

    @property
    def is_poison(self) -> bool:
        return self._row.unfamiliar is not None and self._row.unfamiliar.is_due_to_row

    @property
    def is_draining(self) -> bool:
        return self._run.stop.draining

    @property
    def is_last_round(self) -> bool:
        return self._run.is_last_round

    @property
    def is_full(self) -> bool:
        return self._run.engagements.is_full(self._row.engagement, was_full=self._row.to_send.deferred)

    @property
    def is_down(self) -> bool:
        return self._run.breaker.is_open

    @property
    def has_room(self) -> bool:
        row = self._row
        may_wait = row.doubt_since is not None or self._run.engagements.may_be_asked_again(row.engagement)
        return may_wait and self._run.on_hold.has_room(row)
