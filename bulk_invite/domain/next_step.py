"""Decide the next step of a row; this is the only place that does. Pure.

Theory: a row's state is what was last committed. Its next step follows from three inputs: what just happened
to the row, the facts of the row, and the state of the run. `Deliverer` carries the step out and asks again,
until the row has ended, is on hold, or is left as it is.

Invariants:
- A call needs a permit, and must not create a second invitation: a row in doubt is not called if its token
  may be forgotten, or if only a look-up can explain its last answer.
- A row that is not in doubt is not called while its engagement is full. A row in doubt is called, since its
  own invitation may have filled the engagement.
- A denied row waits until it is known whether the denial concerns the row or the sender.
- A drain leaves the row as last committed; a row whose call was aborted is in doubt.
- `Hold`, `StopRun`, `End` and `Leave` end the loop; every other step produces something new to decide on.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from bulk_invite.domain.classify import ID_OF_ANOTHER, NOES, is_unfamiliar
from bulk_invite.domain.findings import MAY_BE_MISSING, DoubtfulRow, Finding, Found, TooEarly
from bulk_invite.domain.outcomes import Outcome
from bulk_invite.domain.transitions import Transition, after_look_up
from bulk_invite.domain.verdicts import State


class Until(Enum):
    """What a row waits for before it waits for a permit.

    TURN: nothing. UNREACHABLE: the endpoint can be reached. FAILING: the endpoint answers again.
    """

    TURN = "turn"
    AFTER_THROTTLE = "after_throttle"
    AFTER_DOUBT = "after_doubt"
    AFTER_WITHHELD = "after_withheld"
    UNREACHABLE = "unreachable"
    FAILING = "failing"


class OnHold(Enum):
    """Why a row is on hold.

    ENGAGEMENT_FULL: there may be room at the end. DENIED: it is not yet known whether the row or the sender
    is denied. LOOK_UP: its absence from the lists is not yet conclusive.
    """

    ENGAGEMENT_FULL = "engagement_full"
    DENIED = "denied"
    LOOK_UP = "look_up"


@dataclass(frozen=True, slots=True)
class Call:
    """Make a call with the permit."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait and get a permit. code: the reason, as named by the service or the exception."""

    until: Until
    code: str = ""


@dataclass(frozen=True, slots=True)
class LookUp:
    """Look the row up at the service. waits: until its absence is conclusive.

    gives_up: the run has used up its tries; unless it is found, the row stays in doubt.
    """

    waits: bool = False
    gives_up: bool = False


@dataclass(frozen=True, slots=True)
class Settle:
    """Commit a transition without a call. finding: the result of the look-up, if there was one."""

    transition: Transition
    finding: Finding | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """Keep the row for later in this run."""

    reason: OnHold


@dataclass(frozen=True, slots=True)
class StopRun:
    """The sender is refused, so no row can be sent. because: passed to `reason_to_stop`."""

    because: Transition


@dataclass(frozen=True, slots=True)
class End:
    """This run has finished with the row."""


@dataclass(frozen=True, slots=True)
class Leave:
    """The run drains; a later run continues with the row."""


Step = Call | Wait | LookUp | Settle | Hold | StopRun | End | Leave


@dataclass(frozen=True, slots=True)
class LookedUp:
    """A look-up returned a finding. gives_up: as in the step that requested it."""

    finding: Finding
    gives_up: bool = False


Happened = Transition | LookedUp | None
"""What just happened to a row. Transition: it was committed, or it is the failed preparation of a call.
LookedUp: the row was looked up. None: its turn begins, or a wait is over."""


class RowFacts(Protocol):
    """A row, as last committed. A fact is only found out when a decision asks for it.

    doubt: the row as a look-up needs it; None if it is not in doubt.
    is_from_earlier_run: this run has committed nothing about it yet.
    is_too_old: the service may have forgotten its token by the time a call arrives.
    denial: the last transition of this run, if it was a denial.
    tries_left: doubtful attempts that this run still tolerates.
    is_poison: the row keeps getting the same unfamiliar answer, while other rows get good ones.
    """

    @property
    def state(self) -> State: ...

    @property
    def doubt(self) -> DoubtfulRow | None: ...

    @property
    def is_from_earlier_run(self) -> bool: ...

    @property
    def is_too_old(self) -> bool: ...

    @property
    def denial(self) -> Transition | None: ...

    @property
    def tries_left(self) -> int: ...

    @property
    def is_poison(self) -> bool: ...

    @property
    def has_permit(self) -> bool: ...


class RunFacts(Protocol):
    """The state of the run, as it concerns one row.

    is_last_round: rows that were on hold are being retried. is_full: the row's engagement is full.
    is_down: the service does not answer. has_room: there is memory to hold the row.
    """

    @property
    def is_draining(self) -> bool: ...

    @property
    def is_last_round(self) -> bool: ...

    @property
    def is_full(self) -> bool: ...

    @property
    def is_down(self) -> bool: ...

    @property
    def has_room(self) -> bool: ...


def next_step(  # noqa: C901, PLR0911 - one arm per event
    happened: Happened, row: RowFacts, run: RunFacts
) -> Step:
    """Decide the next step of a row."""
    match happened:
        case None:
            return _in_turn(row, run)
        case LookedUp():
            return _after_finding(happened, row, run)
        case Transition(stops_run=True):
            return StopRun(happened)
        case (
            Transition(state=State.CREATED | State.FAILED)
            | Transition(outcome=Outcome.UNCLEAR | Outcome.TOO_EARLY)
        ):
            return End()
        case Transition(state=State.DEFERRED):
            return _hold_or_end(OnHold.ENGAGEMENT_FULL, run)
        case Transition(outcome=Outcome.DENIED):
            return Hold(OnHold.DENIED)
        case Transition(outcome=Outcome.DOUBTFUL | Outcome.UNKNOWN) if row.tries_left <= 0 or row.is_poison:
            return LookUp(gives_up=True)
        case Transition(outcome=Outcome.DOUBTFUL | Outcome.UNKNOWN, code=code):
            return Wait(Until.FAILING if run.is_down else Until.AFTER_DOUBT, code)
        case Transition(outcome=Outcome.THROTTLED, code=code):
            return Wait(Until.AFTER_THROTTLE, code)
        case Transition(outcome=Outcome.WITHHELD, code=code):
            return Wait(Until.AFTER_WITHHELD, code)
        case Transition(outcome=Outcome.UNREACHABLE, code=code):
            return Wait(Until.UNREACHABLE, code)
        case Transition():  # a refusal after doubt, or an absence: may it be called?
            return _in_turn(row, run)


def _in_turn(row: RowFacts, run: RunFacts) -> Step:
    """Decide whether the row may be called now, or what must come first.

    A denied row gets its turn only once its denial is known to concern the row, or at the end of the run.
    """
    if row.doubt is None and row.denial is not None:
        return Settle(row.denial.failed())
    if run.is_draining:
        return Leave()
    if row.doubt is None and run.is_full:
        is_deferred = row.state is State.DEFERRED
        return _hold_or_end(OnHold.ENGAGEMENT_FULL, run) if is_deferred else Settle(Transition.deferred())
    if row.denial is not None and not run.is_last_round:
        return _hold_or_end(OnHold.LOOK_UP, run)  # so that no other row waits for a look-up
    if row.denial is not None or row.is_too_old or _needs_look_up(row):
        return LookUp(waits=run.is_last_round)
    return Call() if row.has_permit else Wait(Until.TURN)


def _needs_look_up(row: RowFacts) -> bool:
    """Whether only a look-up can explain the last answer to a row in doubt.

    This applies to a refusal after doubt; for a row of an earlier run, also for an answer in no table, the Id
    of another row, and a call that an older checkpoint may lack.
    """
    if row.doubt is None:
        return False
    code = row.doubt.code
    is_unexplained = code in {ID_OF_ANOTHER, MAY_BE_MISSING} or is_unfamiliar(code)
    return code in NOES or (row.is_from_earlier_run and is_unexplained)


def _after_finding(happened: LookedUp, row: RowFacts, run: RunFacts) -> Step:
    assert row.doubt is not None  # noqa: S101 - only a row in doubt is looked up
    finding = happened.finding
    if happened.gives_up and not isinstance(finding, Found):
        return End()
    if isinstance(finding, TooEarly) and run.has_room and not run.is_last_round:
        return Hold(OnHold.LOOK_UP)
    return Settle(after_look_up(finding, row.doubt), finding)


def _hold_or_end(reason: OnHold, run: RunFacts) -> Step:
    """Hold the row for later in this run; in the last round, or without room, for a later run."""
    return End() if run.is_last_round or not run.has_room else Hold(reason)
