"""The next step of a row as one table, and the properties of every possible line of it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pytest
from facts import RowFacts, RunFacts

from bulk_invite.domain.classify import ID_OF_ANOTHER
from bulk_invite.domain.findings import MAY_BE_MISSING, Absent, DoubtfulRow, Found, Listed, TooEarly, Unclear
from bulk_invite.domain.next_step import (
    Call,
    End,
    Happened,
    Hold,
    Leave,
    LookedUp,
    LookUp,
    OnHold,
    Settle,
    Step,
    StopRun,
    Until,
    Wait,
    next_step,
)
from bulk_invite.domain.transitions import Transition, after_answer, after_look_up
from bulk_invite.domain.verdicts import (
    Conflict,
    Created,
    Denied,
    Doubtful,
    EngagementFull,
    Refused,
    SenderRefused,
    State,
    Throttled,
    Unknown,
    Unreachable,
    Verdict,
    Withheld,
)

SINCE = 900.0
NO = "ValidationException"
PAGE = "Unfamiliar.403.text-html"


def doubt(code: str = "500", *, is_denied: bool = False) -> DoubtfulRow:
    return DoubtfulRow("t1", "hash", "eng-1", "LeadInvitation", SINCE, 950.0, code, (), is_denied)


def answered(verdict: Verdict, since: float | None = None) -> Transition:
    """The state of a row after an answer; since: the start of earlier doubt."""
    return after_answer(verdict, doubt_since=since, sent_at=1000.0)


CREATED = Created("engi-1", "arn:1")
THROTTLED = Throttled("ThrottlingException", None)
FULL = EngagementFull("ServiceQuotaExceededException")
CONFLICT = Conflict("ConflictException")
REFUSED = Refused(NO)
DENIED = Denied("AccessDeniedException", whole_account=False)
DENIAL = answered(DENIED)
DENIAL_IN_DOUBT = answered(DENIED, SINCE)

FOUND = Found(Listed("engi-1", "arn:1", "eng-1", "LeadInvitation", "1", 940.0), 1)
ABSENT = Absent(0, 61.0)
EARLY = TooEarly(0, 20.0)
UNCLEAR = Unclear("LookUpDenied")

PENDING = RowFacts()
IN_DOUBT = RowFacts(State.IN_DOUBT, doubt())
DEFERRED = RowFacts(State.DEFERRED)
RUN = RunFacts()
LAST = RunFacts(is_last_round=True)
FULL_NOW = RunFacts(is_full=True)
NO_ROOM = RunFacts(has_room=False)
DRAINING = RunFacts(is_draining=True)
DOWN = RunFacts(is_down=True)


def pending(*, permit: bool = False, tries_left: int = 1, denial: Transition | None = None) -> RowFacts:
    return RowFacts(denial=denial, tries_left=tries_left, has_permit=permit)


def in_doubt(
    code: str = "500",
    *,
    permit: bool = False,
    earlier: bool = False,
    too_old: bool = False,
    tries_left: int = 1,
    poison: bool = False,
    denial: Transition | None = None,
) -> RowFacts:
    return RowFacts(
        State.IN_DOUBT,
        doubt(code, is_denied=denial is not None),
        is_from_earlier_run=earlier,
        is_too_old=too_old,
        denial=denial,
        tries_left=tries_left,
        is_poison=poison,
        has_permit=permit,
    )


HOLD_FULL = Hold(OnHold.ENGAGEMENT_FULL)
HOLD_DENIED = Hold(OnHold.DENIED)
HOLD_TO_LOOK_UP = Hold(OnHold.LOOK_UP)
TURN = Wait(Until.TURN)


def settled(finding: Found | Absent | TooEarly | Unclear, row: RowFacts = IN_DOUBT) -> Settle:
    assert row.doubt is not None
    return Settle(after_look_up(finding, row.doubt), finding)


TABLE: dict[str, tuple[Happened, RowFacts, RunFacts, Step]] = {
    # Its turn: send, or why not.
    "a row waits for a permit": (None, pending(), RUN, TURN),
    "and is sent by it": (None, pending(permit=True), RUN, Call()),
    "also while the service is down": (None, pending(permit=True), DOWN, Call()),
    "a drain leaves it": (None, pending(), DRAINING, Leave()),
    "with a permit too": (None, pending(permit=True), DRAINING, Leave()),
    "with its call cut off": (None, RowFacts(State.IN_DOUBT), DRAINING, Leave()),
    "and where its engagement is full": (
        None,
        pending(),
        RunFacts(is_draining=True, is_full=True),
        Leave(),
    ),
    "a full engagement defers it": (None, pending(), FULL_NOW, Settle(Transition.deferred())),
    "though it has a permit": (None, pending(permit=True), FULL_NOW, Settle(Transition.deferred())),
    "deferred before, and full again": (None, DEFERRED, RunFacts(is_full=True, is_last_round=True), End()),
    "deferred before, and room again": (None, DEFERRED, LAST, TURN),
    # Its turn, in doubt: the same token again, or a look-up first.
    "doubt of an earlier run is called again": (None, in_doubt(earlier=True), RUN, TURN),
    "and sent by its permit": (None, in_doubt(permit=True), RUN, Call()),
    "a full engagement is no reason to wait": (None, in_doubt(permit=True), FULL_NOW, Call()),
    "a token that may be forgotten": (None, in_doubt(too_old=True), RUN, LookUp()),
    "that grew too old while it waited": (None, in_doubt(too_old=True, permit=True), RUN, LookUp()),
    "a no of an earlier run": (None, in_doubt(NO, earlier=True), RUN, LookUp()),
    "a no of this run, taken back": (None, in_doubt(NO), LAST, LookUp(waits=True)),
    "an unfamiliar answer of an earlier run": (None, in_doubt(PAGE, earlier=True), RUN, LookUp()),
    "an unfamiliar answer of this run": (None, in_doubt(PAGE), RUN, TURN),
    "the Id of another row, earlier": (None, in_doubt(ID_OF_ANOTHER, earlier=True), RUN, LookUp()),
    "the Id of another row, now": (None, in_doubt(ID_OF_ANOTHER), RUN, TURN),
    "what an older checkpoint may lack": (None, in_doubt(MAY_BE_MISSING, earlier=True), RUN, LookUp()),
    "at the end absence is waited for": (None, in_doubt(too_old=True), LAST, LookUp(waits=True)),
    "a drain comes before a look-up": (None, in_doubt(NO, too_old=True), DRAINING, Leave()),
    # An answer.
    "created": (answered(CREATED), PENDING, RUN, End()),
    "created after doubt": (answered(CREATED, SINCE), PENDING, RUN, End()),
    "created while it drains": (answered(CREATED), PENDING, DRAINING, End()),
    "throttled": (answered(THROTTLED), PENDING, RUN, Wait(Until.AFTER_THROTTLE, "ThrottlingException")),
    "withheld": (answered(Withheld("W")), PENDING, RUN, Wait(Until.AFTER_WITHHELD, "W")),
    "unreachable": (answered(Unreachable("U")), PENDING, RUN, Wait(Until.UNREACHABLE, "U")),
    "in doubt": (answered(Doubtful("500")), in_doubt(), RUN, Wait(Until.AFTER_DOUBT, "500")),
    "in doubt, and the service is down": (
        answered(Doubtful("500")),
        in_doubt(),
        DOWN,
        Wait(Until.FAILING, "500"),
    ),
    "unfamiliar": (answered(Unknown(PAGE)), in_doubt(PAGE), RUN, Wait(Until.AFTER_DOUBT, PAGE)),
    "in doubt too often": (
        answered(Doubtful("500")),
        in_doubt(tries_left=0),
        RUN,
        LookUp(gives_up=True),
    ),
    "too often, while the service is down": (
        answered(Doubtful("500")),
        in_doubt(tries_left=-1),
        DOWN,
        LookUp(gives_up=True),
    ),
    "too often, in the last round": (
        answered(Doubtful("500")),
        in_doubt(tries_left=0),
        LAST,
        LookUp(gives_up=True),
    ),
    "unfamiliar, and this row's alone": (
        answered(Unknown(PAGE)),
        in_doubt(PAGE, poison=True),
        RUN,
        LookUp(gives_up=True),
    ),
    "refused": (answered(REFUSED), PENDING, RUN, End()),
    "conflict": (answered(CONFLICT), PENDING, RUN, End()),
    "refused after doubt": (answered(REFUSED, SINCE), in_doubt(NO), RUN, LookUp()),
    "conflict after doubt": (answered(CONFLICT, SINCE), in_doubt(CONFLICT.code), RUN, LookUp()),
    "full after doubt": (answered(FULL, SINCE), in_doubt(FULL.code), FULL_NOW, LookUp()),
    "full after doubt, at the end": (answered(FULL, SINCE), in_doubt(FULL.code), LAST, LookUp(waits=True)),
    "a no after doubt while it drains": (answered(REFUSED, SINCE), in_doubt(NO), DRAINING, Leave()),
    "full": (answered(FULL), DEFERRED, FULL_NOW, HOLD_FULL),
    "full, and no room to keep it": (answered(FULL), DEFERRED, NO_ROOM, End()),
    "full once more at the end": (answered(FULL), DEFERRED, LAST, End()),
    "deferred without a call": (Transition.deferred(), DEFERRED, FULL_NOW, HOLD_FULL),
    "denied": (DENIAL, pending(denial=DENIAL), RUN, HOLD_DENIED),
    "denied in the last round": (DENIAL, pending(denial=DENIAL), LAST, HOLD_DENIED),
    "denied, with no room": (DENIAL, pending(denial=DENIAL), NO_ROOM, HOLD_DENIED),
    "denied after doubt": (DENIAL_IN_DOUBT, in_doubt(denial=DENIAL_IN_DOUBT), RUN, HOLD_DENIED),
    "denied, and the sender is to blame": (
        answered(Denied("A", whole_account=True)),
        PENDING,
        RUN,
        StopRun(answered(Denied("A", whole_account=True))),
    ),
    "the sender is refused": (
        answered(SenderRefused("ExpiredToken")),
        PENDING,
        RUN,
        StopRun(answered(SenderRefused("ExpiredToken"))),
    ),
    "the sender is refused while it drains": (
        answered(SenderRefused("ExpiredToken"), SINCE),
        in_doubt(),
        DRAINING,
        StopRun(answered(SenderRefused("ExpiredToken"), SINCE)),
    ),
    # A denial that turned out to be the row's own.
    "it fails": (None, pending(denial=DENIAL), RUN, Settle(DENIAL.failed())),
    "also while it drains": (None, pending(denial=DENIAL), DRAINING, Settle(DENIAL.failed())),
    "and is at its end": (DENIAL.failed(), RowFacts(State.FAILED, denial=DENIAL.failed()), RUN, End()),
    "after doubt it is looked up at the end": (
        None,
        in_doubt(denial=DENIAL_IN_DOUBT),
        RUN,
        HOLD_TO_LOOK_UP,
    ),
    "with no room it is left in doubt": (None, in_doubt(denial=DENIAL_IN_DOUBT), NO_ROOM, End()),
    "and at the end looked up": (None, in_doubt(denial=DENIAL_IN_DOUBT), LAST, LookUp(waits=True)),
    "a drain leaves it in doubt": (None, in_doubt(denial=DENIAL_IN_DOUBT), DRAINING, Leave()),
    # A look-up.
    "found": (LookedUp(FOUND), IN_DOUBT, RUN, settled(FOUND)),
    "absent": (LookedUp(ABSENT), IN_DOUBT, RUN, settled(ABSENT)),
    "unclear": (LookedUp(UNCLEAR), IN_DOUBT, RUN, settled(UNCLEAR)),
    "too early": (LookedUp(EARLY), IN_DOUBT, RUN, HOLD_TO_LOOK_UP),
    "too early, with no room": (LookedUp(EARLY), IN_DOUBT, NO_ROOM, settled(EARLY)),
    "too early still, at the end": (LookedUp(EARLY), IN_DOUBT, LAST, settled(EARLY)),
    "given up, and found": (LookedUp(FOUND, gives_up=True), IN_DOUBT, RUN, settled(FOUND)),
    "given up, and absent": (LookedUp(ABSENT, gives_up=True), IN_DOUBT, RUN, End()),
    "given up, and too early": (LookedUp(EARLY, gives_up=True), IN_DOUBT, RUN, End()),
    "given up, and unclear": (LookedUp(UNCLEAR, gives_up=True), IN_DOUBT, LAST, End()),
    "absent after a no": (LookedUp(ABSENT), in_doubt(NO), LAST, settled(ABSENT, in_doubt(NO))),
    "was found": (after_look_up(FOUND, doubt()), PENDING, RUN, End()),
    "was absent": (after_look_up(ABSENT, doubt()), PENDING, RUN, TURN),
    "was absent, and its engagement is full": (
        after_look_up(ABSENT, doubt()),
        PENDING,
        FULL_NOW,
        Settle(Transition.deferred()),
    ),
    "was absent after a no": (after_look_up(ABSENT, doubt(NO)), RowFacts(State.FAILED), RUN, End()),
    "was absent after full": (after_look_up(ABSENT, doubt(FULL.code)), DEFERRED, RUN, HOLD_FULL),
    "was unclear": (after_look_up(UNCLEAR, doubt()), IN_DOUBT, RUN, End()),
    "was unclear after a no": (after_look_up(UNCLEAR, doubt(NO)), in_doubt(NO), RUN, End()),
    "was too early to the end": (after_look_up(EARLY, doubt()), IN_DOUBT, LAST, End()),
}


@pytest.mark.parametrize(("happened", "row", "run", "step"), TABLE.values(), ids=TABLE)
def test_the_table_of_next_steps(happened: Happened, row: RowFacts, run: RunFacts, step: Step) -> None:
    assert next_step(happened, row, run) == step


def _rows() -> Iterator[RowFacts]:
    """Every row that there can be, as far as its next step depends on it."""
    flags = (False, True)
    for state, permit, tries in product((State.PENDING, State.DEFERRED), flags, (0, 1)):
        for denial in (None, DENIAL):
            yield RowFacts(state, denial=denial, tries_left=tries, has_permit=permit)
    for permit in flags:
        yield RowFacts(State.IN_DOUBT, has_permit=permit)  # its first call was cut off
    codes = ("500", NO, FULL.code, PAGE, ID_OF_ANOTHER, MAY_BE_MISSING)
    for code, earlier, old, tries, poison, permit in product(codes, flags, flags, (0, 1), flags, flags):
        yield in_doubt(code, earlier=earlier, too_old=old, tries_left=tries, poison=poison, permit=permit)
    for old in flags:
        yield in_doubt("AccessDeniedException", too_old=old, denial=DENIAL_IN_DOUBT)


_RUNS = [RunFacts(*flags) for flags in product((False, True), repeat=5)]
_VERDICTS: list[Verdict] = [
    CREATED,
    THROTTLED,
    FULL,
    Doubtful("500"),
    Unknown(PAGE),
    Unreachable("U"),
    Withheld("W"),
    CONFLICT,
    REFUSED,
    DENIED,
    Denied("A", whole_account=True),
    SenderRefused("ExpiredToken"),
]
_FINDINGS = (FOUND, ABSENT, EARLY, UNCLEAR)


def _happened(row: RowFacts) -> Iterator[Happened]:
    since = None if row.doubt is None else SINCE
    yield None
    yield from (answered(verdict, since) for verdict in _VERDICTS)
    yield from (
        after_look_up(finding, doubt(code)) for finding in _FINDINGS for code in ("500", NO, FULL.code)
    )
    yield Transition.deferred()
    if row.denial is not None:
        yield row.denial.failed()
    if row.doubt is not None:
        yield from (LookedUp(finding, gives) for finding in _FINDINGS for gives in (False, True))


EVERY = [(happened, row, run) for row in _rows() for happened in _happened(row) for run in _RUNS]


def test_every_case_has_a_step_and_no_step_may_invite_twice() -> None:
    assert len(EVERY) > 50_000
    for happened, row, run in EVERY:
        step = next_step(happened, row, run)
        if step != Call():
            continue
        assert row.has_permit
        assert not run.is_draining
        assert not row.is_too_old
        assert row.denial is None
        if row.doubt is None:
            assert not run.is_full
        else:
            assert row.doubt.code not in {NO, FULL.code}
            assert not (row.is_from_earlier_run and row.doubt.code != "500")


def test_a_drain_changes_no_row_and_starts_no_wait() -> None:
    """Except for a denial that is explained."""
    for happened, row, run in EVERY:
        if happened is None and run.is_draining:
            step = next_step(happened, row, run)
            assert not isinstance(step, Call | Wait | LookUp)
            assert not isinstance(step, Settle) or row.denial is not None


def test_only_a_finding_ends_doubt() -> None:
    for happened, row, run in EVERY:
        step = next_step(happened, row, run)
        if isinstance(step, Settle) and row.doubt is not None:
            assert step.finding is not None
            assert isinstance(happened, LookedUp)
            assert step.transition == after_look_up(step.finding, row.doubt)


def test_only_denied_rows_are_kept_in_the_last_round_or_without_room() -> None:
    for happened, row, run in EVERY:
        step = next_step(happened, row, run)
        if isinstance(step, Hold) and (run.is_last_round or not run.has_room):
            assert step == HOLD_DENIED
