"""Decide what a run does with a row that it reads for the first time. Pure, except that the entry changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bulk_invite.checkpoint.tables.encoding import decode_errors, encode_errors
from bulk_invite.checkpoint.tables.stored_rows import Known
from bulk_invite.checkpoint.tables.values import UncertainPeriod
from bulk_invite.domain.admissions import AlreadySettled, SameReceiver, ToSend
from bulk_invite.domain.classify import NOES
from bulk_invite.domain.findings import MAY_BE_MISSING
from bulk_invite.domain.rows import Invitation
from bulk_invite.domain.same_receiver import IS_SKIPPED, SAME_RECEIVER, OnSameReceiver, Twin
from bulk_invite.domain.verdicts import OPEN, State


@dataclass(frozen=True, slots=True)
class Terms:
    """What a run does with rows that were refused or resemble others.

    uncertain_period: when rows may have been called without a record.
    """

    retry_failed: bool
    on_same_receiver: OnSameReceiver
    uncertain_period: UncertainPeriod | None

    def compares(self, entry: Known | None) -> bool:
        """Whether a row is compared with others: it certainly has no invitation, and may be sent."""
        match None if entry is None else entry.state:
            case None | State.DUPLICATE:
                return True
            case State.FAILED:
                return self.retry_failed
            case State.PENDING | State.DEFERRED:
                return self.uncertain_period is None
            case _:
                return False


class Twins:
    """The other rows with the receivers of a batch: those before the batch, and those in it.

    before: by token of the row in question. receivers: hashes by token.
    """

    def __init__(self, receivers: Mapping[str, str], before: Mapping[str, Twin]) -> None:
        self._receivers = receivers
        self._before = before
        self._within: dict[str, Twin] = {}

    def of(self, row: Invitation) -> Twin | None:
        """Return the row that comes first."""
        receiver = self._receivers.get(row.client_token, "")
        return self._before.get(row.client_token) or self._within.get(receiver)

    def admitted(self, row: Invitation, entry: Known) -> None:
        """Note a row that the run sends: rows after it are compared with it."""
        if receiver := self._receivers.get(row.client_token):
            self._within.setdefault(receiver, Twin(row.position, entry.state, entry.last_sent))


def decide(
    row: Invitation, entry: Known, twins: Twins, terms: Terms, *, is_new: bool
) -> ToSend | AlreadySettled | SameReceiver:
    """Decide about a row, and change its entry to match. is_new: no run has read it before."""
    twin = twins.of(row) if terms.compares(None if is_new else entry) else None
    if twin is not None and terms.on_same_receiver is OnSameReceiver.SKIP:
        if entry.state is State.FAILED:
            return _settled(row, entry, twin)
        entry.state, entry.code, entry.errors = State.DUPLICATE, SAME_RECEIVER, encode_errors((IS_SKIPPED,))
        return SameReceiver(row, twin)
    refused = entry.state is State.FAILED and terms.retry_failed
    if refused or entry.state is State.DUPLICATE:
        _reset(entry)
    _put_in_doubt(entry, terms.uncertain_period)
    if entry.state in {State.CREATED, State.FAILED}:
        return _settled(row, entry)
    twins.admitted(row, entry)
    return ToSend(
        row,
        entry.doubt_since,
        entry.last_sent,
        entry.code,
        decode_errors(entry.errors),
        deferred=entry.state is State.DEFERRED,
        refused=refused,
        twin=twin,
    )


def _settled(row: Invitation, entry: Known, twin: Twin | None = None) -> AlreadySettled:
    errors = decode_errors(entry.errors)
    return AlreadySettled(row, entry.state, entry.invitation_id, entry.arn, entry.code, errors, twin)


def _reset(entry: Known) -> None:
    """Reset the state so that the earlier refusal does not count again."""
    entry.state, entry.code, entry.errors = State.PENDING, "", "[]"


def _put_in_doubt(entry: Known, uncertain_period: UncertainPeriod | None) -> None:
    """Put a row in doubt if calls of it may be missing."""
    if uncertain_period is None or (
        entry.last_sent is not None and entry.last_sent >= uncertain_period.until
    ):
        return
    if entry.state not in OPEN:
        return
    entry.last_sent = uncertain_period.until
    if entry.doubt_since is None:
        entry.state, entry.doubt_since = State.IN_DOUBT, uncertain_period.since
    elif entry.code in NOES:
        return  # the row is looked up in any case, and the refusal is evidence then
    entry.code, entry.errors = MAY_BE_MISSING, "[]"
