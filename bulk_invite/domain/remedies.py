"""What can be done about a row that has no invitation, by its state and the code that says why. Pure.

What the codes of answers mean is known to `classify` alone: here is what follows from it for an operator.
"""

from __future__ import annotations

from typing import Final

from bulk_invite.domain.classify import FULL, ID_OF_ANOTHER, NO_ID, NOES, ODD_ID, classify, is_unfamiliar
from bulk_invite.domain.findings import MAY_BE_MISSING
from bulk_invite.domain.matching import DATED_BEFORE, NOT_COMPARABLE, SEVERAL_INVITATIONS, SEVERAL_ROWS
from bulk_invite.domain.verdicts import (
    Denied,
    Doubtful,
    HttpAnswer,
    NoAnswer,
    SenderRefused,
    State,
    Throttled,
    Unreachable,
    Verdict,
)

_FALL_BACK: Final = {
    State.REJECTED: "Mend the row by what the member expects (`bulk-invite validate` says it), and send it.",
    State.DUPLICATE: "Nothing: the same row stands elsewhere in the source, and is sent from there.",
    State.PENDING: "Run the same command: the row is sent.",
    State.DEFERRED: "Run the same command later: the row is tried again.",
    State.IN_DOUBT: "Run the same command: it asks again with the same token, or looks the row up.",
    State.CREATED: "Nothing: its invitation is there.",
    State.FAILED: "Ask the service why it refuses the row; mend it, or send it again with --retry-failed.",
}

_NO_JSON: Final = "Write one JSON object on the line, in UTF-8."
_ONE_FEWER: Final = "Give the member as many elements as the service takes."

_REJECTED: Final = {
    "missing": "Add the member; the service requires it.",
    "unknown_member": "Take the member out, or write its name right; the service knows no such member.",
    "not_in_enum": "Write one of the values that the service knows (`bulk-invite schema` lists them).",
    "invalid_format": "Write the value in the form that the service asks for (`bulk-invite schema` has it).",
    "too_short": "Write more: the service asks for a longer text.",
    "too_long": "Shorten the text to what the service takes.",
    "too_few": _ONE_FEWER,
    "too_many": _ONE_FEWER,
    "out_of_range": "Write a number within the limits of the service.",
    "wrong_type": "Write a value of the right kind: text in quotes, a list, an object.",
    "not_exactly_one": "Give exactly one of the kinds that stand to choose there.",
    "duplicate_key": "Give each member once.",
    "not_an_object": _NO_JSON,
    "invalid_json": _NO_JSON,
    "invalid_utf8": _NO_JSON,
    "line_too_long": "Shorten the line to 1 MiB; no invitation is that long.",
    "too_deep": "Nest fewer objects and lists within each other; no invitation is that deep.",
    "too_many_values": "Take out what no invitation has; the row has too many values.",
    "too_many_errors": "Mend what is listed, then validate the row again: it has more errors.",
    "no_such_date": "Write a date that exists, as YYYY-MM-DD.",
    "nul_character": "Take the character U+0000 out of the token.",
    "wrong_catalog": "Send the row with the --catalog that it names, or take its Catalog out.",
    "token_reused": "The row was changed but kept its ClientToken: remove the token or give a new one.",
    "changed_since_sent": (
        "Its partner is invited to what the row said before it was edited; to send what it says now, give it "
        "another key."
    ),
    "changed_since_refused": "Nobody was invited by the row as it was before: give it another key.",
    "key_of_another_source": (
        "Another table of the campaign has a row with this key: give this table a --campaign of its own."
    ),
}

_MEND_AND_SEND: Final = (
    "Mend the row where the service says it is wrong, without its ClientToken, and send it."
)
_NOT_NOW: Final = (
    "The service does not allow this as things are: check the engagement, then use --retry-failed."
)

_FAILED: Final = {
    "ValidationException": _MEND_AND_SEND,
    "ResourceNotFoundException": (
        "The service does not know the engagement: write its identifier right, without its ClientToken, and "
        "send the row."
    ),
    "ConflictException": (
        "The service has something that the row is in conflict with: look at its engagement, then mend the "
        "row or use --retry-failed."
    ),
    "AccessDeniedException": "The account is no member of that engagement; --retry-failed once it is.",
    "AccessDenied": "The account is no member of that engagement; --retry-failed once it is.",
    "REQUIRED_FIELD_MISSING": "Add the member that the service misses, without the ClientToken, and send it.",
    "INVALID_ENUM_VALUE": "Write a value that the service knows, without the ClientToken, and send it.",
    "INVALID_STRING_FORMAT": "Write the text in the service's form, without the ClientToken, and send it.",
    "INVALID_VALUE": _MEND_AND_SEND,
    "NOT_ENOUGH_VALUES": "Give the member more elements, without the ClientToken, and send it.",
    "TOO_MANY_VALUES": "Give the member fewer elements, without the ClientToken, and send it.",
    "DUPLICATE_KEY_VALUE": "Give each value once, without the ClientToken, and send it.",
    "VALUE_OUT_OF_RANGE": "Write a value within the limits, without the ClientToken, and send it.",
    "INVALID_RESOURCE_STATE": _NOT_NOW,
    "ACTION_NOT_PERMITTED": _NOT_NOW,
    "unnamed": _MEND_AND_SEND,
}

_FULL: Final = "Its engagement has all the invitations that it may have: the same command tries it again."
_LOOK: Final = "Look at them in Partner Central (`export` has the Ids): no command sends the row again."
_LATER: Final = "The service did not say what it has for the engagement: run `bulk-invite reconcile` later."
_IN_DOUBT: Final = {
    "": "Nobody saw an answer: run the same command, it asks again with the same token, or looks the row up.",
    NO_ID: "The service said yes without an Id: run the same command, it asks again with the same token.",
    ODD_ID: "The service said yes with an Id that cannot be one: run the same command, it asks again.",
    ID_OF_ANOTHER: (
        "The Id that came belongs to another row: look for a proxy before the endpoint that answers out of "
        "its memory, then run the same command: it looks the row up first."
    ),
    SEVERAL_INVITATIONS: f"More than one invitation says what the row says. {_LOOK}",
    SEVERAL_ROWS: f"More than one row says what the invitation says. {_LOOK}",
    DATED_BEFORE: (
        "An invitation says what the row says, but is older than its first call: look at it in Partner "
        "Central (`export` has its Id)."
    ),
    NOT_COMPARABLE: (
        "An invitation may be the row's: name the row's file (`bulk-invite reconcile FILE`), or look at it "
        "in Partner Central."
    ),
    MAY_BE_MISSING: (
        "The checkpoint is older than the last call, so the row may have been sent: run the same command, or "
        "`bulk-invite reconcile`; `export` says what a look-up came to."
    ),
    "LookUpDenied": (
        "Allow partnercentral:ListEngagementInvitations and partnercentral:GetEngagementInvitation, then run "
        "`bulk-invite reconcile`."
    ),
    "LookUpFailed": _LATER,
    "LookUpRefused": _LATER,
}
_UNFAMILIAR: Final = (
    "Something else than the service seems to answer the row: look for a firewall or a proxy before the "
    "endpoint, then run the same command: it looks the row up first."
)
_REFUSED_IN_DOUBT: Final = (
    "The service said no, and whether an earlier call arrived is not known: run `bulk-invite reconcile`."
)

_OF_STATE: Final = {
    State.REJECTED: _REJECTED,
    State.FAILED: _FAILED,
    State.DEFERRED: {FULL: _FULL, "EngagementFull": _FULL},
    State.IN_DOUBT: _IN_DOUBT | dict.fromkeys(NOES | _FAILED.keys(), _REFUSED_IN_DOUBT),
}


def mend_of(state: State, code: str) -> str:
    """One sentence or two: what to do about a row in `state`, or nothing where there is nothing to do.

    code: of a `RowError` or of the last answer, as the checkpoint keeps them.
    """
    if state is State.IN_DOUBT and is_unfamiliar(code):
        return _UNFAMILIAR
    known = _OF_STATE.get(state, {}).get(code)
    if known is None and state in {State.PENDING, State.IN_DOUBT}:
        known = _after(_meaning(code))
    return known or _FALL_BACK[state]


def _meaning(code: str) -> Verdict:
    """What a code says that is either the service's, a status, or the name of an exception."""
    status = int(code) if code.isascii() and code.isdecimal() else 400
    by_service = classify(HttpAnswer(status, code))
    by_silence = classify(NoAnswer((code,)))
    return by_silence if isinstance(by_silence, SenderRefused | Unreachable | Doubtful) else by_service


def _after(verdict: Verdict) -> str | None:
    """What is done about a row that is still to be sent, or sent again, after an answer of that kind."""
    match verdict:
        case Throttled():
            return "Nothing was wrong but the pace: run the same command, it goes on with the same token."
        case Unreachable():
            return "The endpoint was not reached: check its address, and run the same command."
        case SenderRefused():
            return "Renew the credentials (or set the clock right), and run the same command."
        case Denied():
            return (
                "Allow partnercentral:CreateEngagementInvitation for the catalog, or put the rows of other "
                "engagements first; then run the same command."
            )
        case Doubtful():
            return (
                "Nobody knows whether it arrived: run the same command, it asks again with the same token or "
                "looks the row up."
            )
        case _:
            return None
