"""Counts, result rows and log lines of a run, each only after its commit."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from typing import Final, Protocol, assert_never

import structlog

from bulk_invite.domain.admissions import (
    Admission,
    AlreadySettled,
    Duplicate,
    SameReceiver,
    SeenAgain,
    SkippedRow,
    ToSend,
)
from bulk_invite.domain.events import Answered
from bulk_invite.domain.observer import Observer
from bulk_invite.domain.outcomes import Outcome
from bulk_invite.domain.rows import Invitation, Position, Rejection, Row, RowError, row_fields
from bulk_invite.domain.same_receiver import SAME_RECEIVER, Twin, described
from bulk_invite.domain.verdicts import State

_log = structlog.get_logger()

WARNING: Final = "warning"
"""The codes of warnings in `Counts.codes`; those of rejected and failed rows are under their state."""

_MOST_TWINS: Final = 5
"""Positions kept of rows with the engagement and account of another row."""


_ROUTINE: Final = (State.CREATED, State.DEFERRED)
"""Ends that are logged at debug level only."""


class Outlet(Protocol):
    """Destination of result rows."""

    def created(
        self, position: Position, client_token: str, invitation_id: str, arn: str, label: str
    ) -> None: ...

    def failed(self, row: Row, errors: tuple[RowError, ...], label: str) -> None: ...

    def rejected(self, row: Row, errors: tuple[RowError, ...], label: str) -> None: ...


@dataclass(slots=True)
class Counts:
    """Counts of one run; every row read is counted once, in one of `states` or in `already_created`.

    settled_before: rows that earlier runs settled; skipped: those of them that this run does not read.
    known_lines: lines at the beginnings of files that earlier runs have read and this run reads again.
    ended_now: rows that ended in this run; failed_now: those of them that failed. in_flight: rows with a call
    in progress; they also count as in doubt. with_warnings: rows to send that have warnings. same_receiver:
    rows whose engagement and account another row has, sent or not; twins: the first of them. all_read: no
    more rows will come. codes: why rows were rejected (by their first error), failed in this run, or have
    warnings.
    """

    rows: int = 0
    already_created: int = 0
    settled_before: int = 0
    skipped: int = 0
    known_lines: int = 0
    attempts: int = 0
    throttled: int = 0
    failed_now: int = 0
    ended_now: int = 0
    in_flight: int = 0
    with_warnings: int = 0
    same_receiver: int = 0
    twins: list[Position] = field(default_factory=list)
    all_read: bool = False
    states: Counter[State] = field(default_factory=Counter)
    codes: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))


class Tally:
    """Keeps the counts; writes result rows and one log line for every row that ends."""

    def __init__(self, outlet: Outlet | None, observer: Observer | None = None) -> None:
        self.counts = Counts()
        self._outlet = outlet
        self._observer = observer or Observer()
        # Bound once: a lazy logger is made anew for every event, even for one below the level.
        self._log = _log.bind()

    def took_in(self, admission: Admission) -> None:
        """Count a row that was read; report it if it ends here."""
        self._observer.took_in(admission)
        if isinstance(admission, SeenAgain):
            return
        self.counts.rows += 1
        match admission:
            case ToSend():
                self._admitted(admission)
            case Rejection():
                self._rejected(admission)
            case Duplicate():
                self._duplicate(admission)
            case SameReceiver(invitation=invitation, twin=twin):
                self.counts.states[State.DUPLICATE] += 1
                self._warn_of(twin, invitation, now="skipped")
            case AlreadySettled():
                self._already_settled(admission)
            case _:  # pragma: no cover
                assert_never(admission)

    def skipped(self, row: SkippedRow) -> None:
        """Count a row that an earlier run created and this run does not read again."""
        self.skipped_many(created=1, failed=0)
        if self._outlet is not None:
            self._outlet.created(row.position, row.client_token, row.invitation_id, row.arn, row.label)

    def skipped_many(self, created: int, failed: int) -> None:
        """Count rows that earlier runs settled and this run does not read again."""
        self.counts.rows += created + failed
        self.counts.skipped += created + failed
        self.counts.settled_before += created + failed
        self.counts.already_created += created
        self.counts.states[State.FAILED] += failed

    def reads_again(self, lines: int) -> None:
        """Count lines that earlier runs have read and this run is about to read again."""
        self.counts.known_lines += lines

    @property
    def reports_rows(self) -> bool:
        """Whether each row is reported, too, and counting them is not enough."""
        return self._outlet is not None

    def _rejected(self, rejection: Rejection) -> None:
        self.counts.states[State.REJECTED] += 1
        self.counts.codes[State.REJECTED][rejection.errors[0].code] += 1
        if self._outlet is not None:
            self._outlet.rejected(rejection.row, rejection.errors, rejection.label)
        _log.warning(
            "row.rejected",
            **row_fields(rejection.row.position, rejection.label),
            errors=[f"{error.code} at {error.path}" for error in rejection.errors],
        )

    def _duplicate(self, duplicate: Duplicate) -> None:
        self.counts.states[State.DUPLICATE] += 1
        _log.debug(
            "row.duplicate",
            **row_fields(duplicate.invitation.position, duplicate.invitation.label),
            client_token=duplicate.invitation.client_token,
        )

    def _already_settled(self, settled: AlreadySettled) -> None:
        row, label = settled.invitation.row, settled.invitation.label
        self.counts.settled_before += 1
        if settled.state is State.CREATED:
            self.counts.already_created += 1
            if self._outlet is not None:
                token = settled.invitation.client_token
                self._outlet.created(row.position, token, settled.invitation_id, settled.arn, label)
            return
        self.counts.states[State.FAILED] += 1
        if settled.twin is not None:
            self._warn_of(settled.twin, settled.invitation, now="not retried")
        if self._outlet is not None:
            self._outlet.failed(row, _with_messages(settled.code, settled.errors), label)

    def _admitted(self, to_send: ToSend) -> None:
        self.counts.states[_state_before(to_send)] += 1
        warnings = to_send.invitation.warnings
        if warnings:
            self.counts.with_warnings += 1
            self.counts.codes[WARNING].update({each.code for each in warnings})
        for warning in warnings:
            _log.warning(
                "row.warning",
                **row_fields(to_send.invitation.position, to_send.invitation.label),
                code=warning.code,
                path=warning.path,
                message=warning.message,
            )
        if to_send.twin is not None:
            self._warn_of(
                to_send.twin, to_send.invitation, now="sent as well; --on-same-receiver skip leaves it out"
            )

    def _warn_of(self, twin: Twin, invitation: Invitation, *, now: str) -> None:
        """Count and report a row whose engagement and account another row has. now: what happens to it."""
        self.counts.same_receiver += 1
        if len(self.counts.twins) < _MOST_TWINS:
            self.counts.twins.append(invitation.position)
        fields = {
            **row_fields(invitation.position, invitation.label),
            "code": SAME_RECEIVER,
            "message": described(twin, invitation.position),
            "twin": str(twin.position),
            "invited": twin.invited,
            "now": now,
        }
        _log.warning("row.same_receiver", **{name: value for name, value in fields.items() if value})

    def sent(self, to_send: ToSend, before: State, at: float) -> None:
        """Count an attempt that is durable and about to leave. before: the row's state. at: epoch seconds."""
        self._observer.sent(to_send, at)
        self.counts.attempts += 1
        self.counts.in_flight += 1
        self._move(before, State.IN_DOUBT)

    def came_back(self) -> None:
        """Count a call that has ended."""
        self.counts.in_flight -= 1

    def answered(
        self, to_send: ToSend, before: State, answered: Answered, seconds: float | None = None
    ) -> None:
        """Count and report a row's new, durable state. seconds: duration of the call, if there was one."""
        self._observer.answered(to_send, answered, seconds)
        self._move(before, answered.state)
        if answered.outcome is Outcome.THROTTLED:
            self.counts.throttled += 1
        if not answered.counted:
            self.counts.attempts -= 1
        if self._outlet is None:
            return
        row, label = to_send.invitation.row, to_send.invitation.label
        if answered.state is State.CREATED:
            self._outlet.created(
                row.position, answered.client_token, answered.invitation_id, answered.arn, label
            )
        elif answered.state is State.FAILED:
            self._outlet.failed(row, _with_messages(answered.code, answered.errors), label)

    def ended(self, to_send: ToSend, answered: Answered, *, attempts: int) -> None:
        """Write the one log line of an invitation that this run has finished with."""
        self._observer.ended(to_send, answered, attempts)
        self.counts.ended_now += 1
        if answered.state is State.FAILED:
            self.counts.failed_now += 1
            self.counts.codes[State.FAILED][answered.code] += 1
        # A few engagements may defer thousands of rows; the summary of the run counts them.
        level = logging.DEBUG if answered.state in _ROUTINE else logging.WARNING
        if self._log.is_enabled_for(level):
            self._log_end(level, to_send, answered, attempts)

    def _log_end(self, level: int, to_send: ToSend, answered: Answered, attempts: int) -> None:
        fields = {
            **row_fields(to_send.invitation.position, to_send.invitation.label),
            "code": answered.code,
            "engagement": to_send.invitation.engagement,
            "errors": [f"{error.code} at {error.path}" for error in answered.errors],
            "attempts": attempts,
            "client_token": answered.client_token,
            "invitation_id": answered.invitation_id,
            "request_id": answered.request_id,
        }
        given = {name: value for name, value in fields.items() if value}
        self._log.log(level, f"invitation.{answered.state}", **given)

    def _move(self, before: State, after: State) -> None:
        self.counts.states[before] -= 1
        self.counts.states[after] += 1


def _state_before(to_send: ToSend) -> State:
    return State.PENDING if to_send.doubt_since is None else State.IN_DOUBT


def _with_messages(code: str, errors: tuple[RowError, ...]) -> tuple[RowError, ...]:
    """The service's errors, with a message where the service gave none or the checkpoint kept none."""
    sentence = f"The service refused the request with {code}."
    return tuple(
        error if error.message else replace(error, message=sentence)
        for error in errors or (RowError("$", code, ""),)
    )
