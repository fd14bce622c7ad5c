"""The emulated service: every call decided and in the ledger before anything is answered. Synchronous.

Between a decision and its record there is no await, so that calls are decided strictly one after the other.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from bulk_invite.rehearsal.emulator.audit import CREATE
from bulk_invite.rehearsal.emulator.call import Call
from bulk_invite.rehearsal.emulator.create_invitation import CreateInvitation, Decision
from bulk_invite.rehearsal.emulator.faults import Fault, Faults, Luck
from bulk_invite.rehearsal.emulator.list_and_get import (
    GetInvitation,
    ListInvitations,
    ReadLimits,
    throttle_read,
)
from bulk_invite.rehearsal.emulator.model_check import RequestCheck
from bulk_invite.rehearsal.emulator.options import Options
from bulk_invite.rehearsal.emulator.request_parsing import Door
from bulk_invite.rehearsal.emulator.responses import Answer, throttled
from bulk_invite.rehearsal.emulator.signatures import SignedRequest
from bulk_invite.rehearsal.emulator.state import Book
from bulk_invite.validation.service_model import ServiceModel

LIST: Final = "ListEngagementInvitations"
GET: Final = "GetEngagementInvitation"

_SUCCESSES: Final = frozenset({"created", "replayed", "answered"})
_UNSEEN: Final = Answer("none", b"")


class PartnerCentral:
    """Decides calls by `options` on the state in `book`."""

    def __init__(self, options: Options, book: Book, model: ServiceModel) -> None:
        self._options = options
        self._book = book
        self._next_call = book.next_call
        self._door = Door(options, frozenset({CREATE, LIST, GET}))
        self._faults = Faults(options)
        self._create = CreateInvitation(options, book, RequestCheck(model, CREATE))
        self._list = ListInvitations(options, book, RequestCheck(model, LIST))
        self._get = GetInvitation(book, RequestCheck(model, GET))
        self._read_limits = ReadLimits(options.read_rate)

    def enter(self, request: SignedRequest, now: float) -> tuple[Call, Answer | None]:
        """Number a request and let it in; with an answer, recorded already, where it ends at the door."""
        number = self._next_call
        self._next_call += 1
        call, answer = self._door.enter(request, number, now)
        if answer is not None:
            self._book.record(call.entry(now, answer.outcome))
        return call, answer

    def luck(self, call: Call) -> Luck:
        """What this call is to meet."""
        luck = self._faults.luck(call.number)
        spared = call.operation != CREATE and not self._options.faults_on_reads
        return replace(luck, fault=None) if spared else luck

    def decide(self, call: Call, luck: Luck, now: float) -> tuple[Answer, Fault | None]:
        """Decide a call and record it: the answer of the service, and the fault that befalls it, if any.

        Raises LedgerError when the ledger cannot be written; nothing is committed then.
        """
        if luck.fault is not None and not luck.after and luck.fault is not Fault.SLOW:
            return self.drop(call, luck.fault, now), luck.fault
        decision = self._decision(call, now)
        answer = decision.answer
        befalls = luck.fault is Fault.SLOW or answer.outcome in _SUCCESSES
        fault = luck.fault if befalls else None
        entry = call.entry(now, answer.outcome, fault=fault, charged=decision.charged)
        self._book.record(*filter(None, (decision.invitation,)), entry)
        return answer, fault

    def drop(self, call: Call, fault: Fault, now: float) -> Answer:
        """Record a call that a fault has kept from the service; only a throttle has an answer to send."""
        answer = throttled(self._options.retry_after) if fault is Fault.THROTTLE else _UNSEEN
        self._book.record(call.entry(now, answer.outcome, fault=fault))
        return answer

    def _decision(self, call: Call, now: float) -> Decision:
        if call.operation == CREATE:
            return self._create.decide(call, now)
        refused = throttle_read(self._read_limits, call, now, tell=self._options.tell_retry_after)
        read = self._list if call.operation == LIST else self._get
        return Decision(refused or read.answer(call, now))
