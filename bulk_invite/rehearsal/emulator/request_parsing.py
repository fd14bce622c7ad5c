"""Turns an HTTP request into a call: operation, caller and parsed body. Synchronous."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qs

import orjson

from bulk_invite.rehearsal.emulator.call import UNREADABLE, Call
from bulk_invite.rehearsal.emulator.ids import request_id
from bulk_invite.rehearsal.emulator.options import Options
from bulk_invite.rehearsal.emulator.responses import Answer, identity, refusal, sts_refusal
from bulk_invite.rehearsal.emulator.signatures import (
    PARTNER_CENTRAL,
    STS,
    Caller,
    Refused,
    Signatures,
    SignedRequest,
)

GET_CALLER_IDENTITY: Final = "GetCallerIdentity"
UNKNOWN: Final = "unknown"

_TARGET: Final = "AWSPartnerCentralSelling."
_FORM: Final = "application/x-www-form-urlencoded"
_STS_CODES: Final = {
    "UnrecognizedClientException": "InvalidClientTokenId",
    "InvalidSignatureException": "SignatureDoesNotMatch",
    "ExpiredTokenException": "ExpiredToken",
}


class Gateway:
    """Checks signatures, answers STS, and passes on calls of `operations`."""

    def __init__(self, options: Options, operations: frozenset[str]) -> None:
        self._options = options
        self._signatures = Signatures(options)
        self._operations = operations

    def enter(self, request: SignedRequest, number: int, now: float) -> tuple[Call, Answer | None]:
        """The call, and its answer where it ends here."""
        is_sts = request.headers.get("content-type", "").startswith(_FORM)
        caller = self._signatures.check(
            request, STS if is_sts else PARTNER_CENTRAL, now + self._options.clock_ahead
        )
        call = Call(
            number=number,
            operation=_sts_action(request.body) if is_sts else self._operation(request),
            account="" if isinstance(caller, Refused) else caller.account,
            request_id=request_id(self._options.seed, number),
            request=UNREADABLE if is_sts else _parsed(request.body),
        )
        if is_sts:
            return call, self._sts_answer(call, caller)
        if isinstance(caller, Refused):
            return call, refusal(caller.code, caller.message)
        if call.operation == UNKNOWN:
            return call, refusal("UnknownOperationException", "The emulator does not support this operation.")
        return call, None

    def _operation(self, request: SignedRequest) -> str:
        operation = request.headers.get("x-amz-target", "").removeprefix(_TARGET)
        return operation if operation in self._operations else UNKNOWN

    def _sts_answer(self, call: Call, caller: Caller | Refused) -> Answer:
        if self._options.no_sts:
            return Answer("no STS", b"Not Found", HTTPStatus.NOT_FOUND, "text/plain")
        if isinstance(caller, Refused):
            return sts_refusal(_STS_CODES.get(caller.code, caller.code), caller.message, call.request_id)
        if call.operation == UNKNOWN:
            return sts_refusal("InvalidAction", "The emulator does not support this action.", call.request_id)
        return identity(caller.account, caller.user, call.request_id)


def _sts_action(body: bytes) -> str:
    is_known = parse_qs(body).get(b"Action") == [GET_CALLER_IDENTITY.encode()]
    return GET_CALLER_IDENTITY if is_known else UNKNOWN


def _parsed(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return UNREADABLE
