"""The emulated service: decides each call and records it in the ledger before the response. Synchronous.

There is no await between a decision and its record, so calls are decided strictly one after another.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from bulk_invite.rehearsal.emulator.audit import CREATE
from bulk_invite.rehearsal.emulator.call import Call
from bulk_invite.rehearsal.emulator.create_invitation import CreateInvitation, Decision
from bulk_invite.rehearsal.emulator.faults import Draw, Fault, Faults
from bulk_invite.rehearsal.emulator.list_and_get import (
    GetInvitation,
    ListInvitations,
    ReadLimits,
    throttle_read,
)
from bulk_invite.rehearsal.emulator.model_check import RequestCheck
from bulk_invite.rehearsal.emulator.options import Options
from bulk_invite.rehearsal.emulator.request_parsing import Gateway
from bulk_invite.rehearsal.emulator.responses import Answer, throttled
from bulk_invite.rehearsal.emulator.signatures import SignedRequest
from bulk_invite.rehearsal.emulator.state import ServiceState
from bulk_invite.validation.service_model import ServiceModel

LIST: Final = "ListEngagementInvitations"
GET: Final = "GetEngagementInvitation"

_SUCCESSES: Final = frozenset({"created", "replayed", "answered"})
_UNSEEN: Final = Answer("none", b"")


class PartnerCentral:
    """Decides calls by `options` and `state`."""

    def __init__(self, options: Options, state: ServiceState, model: ServiceModel) -> None:
        self._options = options
        self._state = state
        self._next_call = state.next_call
        self._gateway = Gateway(options, frozenset({CREATE, LIST, GET}))
        self._faults = Faults(options)
        self._create = CreateInvitation(options, state, RequestCheck(model, CREATE))
        self._list = ListInvitations(options, state, RequestCheck(model, LIST))
        self._get = GetInvitation(state, RequestCheck(model, GET))
        self._read_limits = ReadLimits(options.read_rate)

    def enter(self, request: SignedRequest, now: float) -> tuple[Call, Answer | None]:
        """Number and authenticate a request; with an answer, already recorded, where it is refused here."""
        number = self._next_call
        self._next_call += 1
        call, answer = self._gateway.enter(request, number, now)
        if answer is not None:
            self._state.record(call.entry(now, answer.outcome))
        return call, answer

    def draw(self, call: Call) -> Draw:
        """The fault and jitter for this call."""
        draw = self._faults.draw(call.number)
        spared = call.operation != CREATE and not self._options.faults_on_reads
        return replace(draw, fault=None) if spared else draw

    def decide(self, call: Call, draw: Draw, now: float) -> tuple[Answer, Fault | None]:
        """Decide a call and record it; returns the answer of the service and the fault, if any.

        Raises LedgerError where the ledger cannot be written; then nothing is committed.
        """
        if draw.fault is not None and not draw.after and draw.fault is not Fault.SLOW:
            return self.drop(call, draw.fault, now), draw.fault
        decision = self._decision(call, now)
        answer = decision.answer
        is_affected = draw.fault is Fault.SLOW or answer.outcome in _SUCCESSES
        fault = draw.fault if is_affected else None
        entry = call.entry(now, answer.outcome, fault=fault, charged=decision.charged)
        self._state.record(*filter(None, (decision.invitation,)), entry)
        return answer, fault

    def drop(self, call: Call, fault: Fault, now: float) -> Answer:
        """Record a call that a fault kept from the service; only a throttle sends an answer."""
        answer = throttled(self._options.retry_after) if fault is Fault.THROTTLE else _UNSEEN
        self._state.record(call.entry(now, answer.outcome, fault=fault))
        return answer

    def _decision(self, call: Call, now: float) -> Decision:
        if call.operation == CREATE:
            return self._create.decide(call, now)
        refused = throttle_read(self._read_limits, call, now, tell=self._options.tell_retry_after)
        read = self._list if call.operation == LIST else self._get
        return Decision(refused or read.answer(call, now))
