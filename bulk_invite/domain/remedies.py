"""What an operator can do about a row without an invitation, by its state and code. Pure.

Only `classify` knows what the codes of answers mean; this module derives the remedies.
"""

from __future__ import annotations

from typing import Final

from bulk_invite.domain.classify import ID_OF_ANOTHER, NO_ID, NOES, ODD_ID, classify, is_unfamiliar
from bulk_invite.domain.findings import MAY_BE_MISSING
from bulk_invite.domain.matching import DATED_BEFORE, NOT_COMPARABLE, SEVERAL_INVITATIONS, SEVERAL_ROWS
from bulk_invite.domain.same_receiver import SAME_RECEIVER
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
    State.REJECTED: (
        "Correct the field that the error names (`bulk-invite validate` shows what is expected), and send "
        "the row."
    ),
    State.DUPLICATE: "Nothing: the source contains the same row elsewhere, and that one is sent.",
    State.PENDING: "Run the same command: it sends the row.",
    State.DEFERRED: (
        "Its engagement has reached its limit of invitations: run the same command when it has room again, "
        "or invite to another engagement."
    ),
    State.IN_DOUBT: "Run the same command: it repeats the call with the same token, or looks the row up.",
    State.CREATED: "Nothing: the invitation exists.",
    State.FAILED: "Ask AWS why the service refuses the row; correct it, or retry it with --retry-failed.",
}

_NO_JSON: Final = "Write one JSON object per line, in UTF-8."
_ONE_FEWER: Final = "Change the number of elements to what the service accepts."

_REJECTED: Final = {
    "missing": "Add the field; the service requires it.",
    "unknown_member": "Remove the field or correct its name; the service does not know it.",
    "not_in_enum": "Use one of the values that the service knows (`bulk-invite schema` lists them).",
    "invalid_format": "Use the format that the service requires (`bulk-invite validate` describes it).",
    "too_short": "Write a longer text; the service requires it.",
    "too_long": "Shorten the text to the length that the service accepts.",
    "too_few": _ONE_FEWER,
    "too_many": _ONE_FEWER,
    "out_of_range": "Use a number within the service's limits.",
    "wrong_type": "Use a value of the right type: a quoted string, a list or an object.",
    "not_exactly_one": "Give exactly one of the alternatives.",
    "duplicate_key": "Give each field once.",
    "not_an_object": _NO_JSON,
    "invalid_json": _NO_JSON,
    "invalid_utf8": _NO_JSON,
    "line_too_long": "Shorten the line to 1 MiB; no invitation is that long.",
    "too_deep": "Reduce the nesting of objects and lists; no invitation is that deep.",
    "too_many_values": "Remove values that are not part of an invitation; the row has too many.",
    "too_many_errors": "Correct the listed errors, then validate the row again: it has more errors.",
    "no_such_date": "Use a date that exists, as YYYY-MM-DD.",
    "nul_character": "Remove the character U+0000 from the token.",
    "wrong_catalog": "Send the row with the --catalog that it names, or remove its Catalog.",
    "token_reused": "The row was changed but kept its ClientToken: remove the token or use a new one.",
    # Warnings, which --strict makes rejections.
    "padded_text": "Remove the white space at the beginning and the end of the text.",
    "blank_text": "Write a text, or remove the field if it is optional.",
    "placeholder_text": "Write the value, or remove the field; if this is the value, send without --strict.",
    "spreadsheet_formula": "Export the result of the formula instead of the formula.",
    "spreadsheet_error": "Correct the formula in the spreadsheet and export the row again.",
    "garbled_text": "Export the row again as UTF-8, and have every program on its way read it as UTF-8.",
    "test_address": "Write a real address: an invitation to the live catalog cannot be taken back.",
    "lost_leading_zero": "Restore the leading zeros; format the column of the spreadsheet as text.",
    "unusual_account": "Write the 12 digits of the AWS account, as text.",
    "date_in_past": "Use a date in the future.",
    "target_company": "Use AWS, or send without --strict: the service replaces the name.",
    "unusual_currency": "Use USD or EUR, or send without --strict to try the currency.",
    "unusual_client_token": "Use at most 64 printable ASCII characters without spaces, or no token.",
    "missing_key": "Give the row a key, `_bulk_invite.key` or what --key names, or a ClientToken of its own.",
    "invalid_key": "As the key, use text or a whole number of at most 256 characters, without spaces around.",
    "key_reused": "Give each row its own key, or remove one of the two; the earlier one is sent.",
    "sensitive_label": "Use a label that repeats no sensitive value of the row, or add --label-sensitive.",
    "invalid_label": "Use text or a whole number as the label.",
    "changed_since_sent": (
        "Nothing to fix: the partner was invited, or may have been, with the row as it was before the edit. "
        "That invitation stays as it was; another key would send a second one."
    ),
    "changed_since_called": (
        "No invitation exists yet, and a token never goes with two requests: undo the edit, or give the new "
        "version another key."
    ),
    "changed_since_refused": (
        "The row was refused before the edit, so no invitation exists: give it another key."
    ),
    "key_of_another_source": (
        "Another table of the campaign, or a file, has a row with this key: use a separate --campaign for "
        "this table."
    ),
}

_MEND_AND_SEND: Final = "Correct the field that the service names, remove the ClientToken, and send the row."
_NOT_NOW: Final = "The service does not allow this at present: check the engagement, then use --retry-failed."

_FAILED: Final = {
    "ValidationException": _MEND_AND_SEND,
    "ResourceNotFoundException": (
        "The service does not know the engagement: correct its identifier, remove the ClientToken, and send "
        "the row."
    ),
    "ConflictException": (
        "The row conflicts with something in the service: check its engagement, then correct the row or use "
        "--retry-failed."
    ),
    "AccessDeniedException": "The account is not a member of that engagement; use --retry-failed once it is.",
    "AccessDenied": "The account is not a member of that engagement; use --retry-failed once it is.",
    "REQUIRED_FIELD_MISSING": (
        "Add the field that the service requires, remove the ClientToken, and send the row."
    ),
    "INVALID_ENUM_VALUE": "Use a value that the service knows, remove the ClientToken, and send the row.",
    "INVALID_STRING_FORMAT": (
        "Use the format that the service requires, remove the ClientToken, and send the row."
    ),
    "INVALID_VALUE": _MEND_AND_SEND,
    "NOT_ENOUGH_VALUES": "Add elements to the field, remove the ClientToken, and send the row.",
    "TOO_MANY_VALUES": "Remove elements from the field, remove the ClientToken, and send the row.",
    "DUPLICATE_KEY_VALUE": "Give each value once, remove the ClientToken, and send the row.",
    "VALUE_OUT_OF_RANGE": "Use a value within the limits, remove the ClientToken, and send the row.",
    "INVALID_RESOURCE_STATE": _NOT_NOW,
    "ACTION_NOT_PERMITTED": _NOT_NOW,
    "unnamed": _MEND_AND_SEND,
}

_LOOK: Final = "Check them in Partner Central (`export` has the Ids): no command sends the row again."
_LATER: Final = "The lookup failed: run `bulk-invite reconcile` later."
_IN_DOUBT: Final = {
    "": (
        "No answer arrived: run the same command, which repeats the call with the same token or looks the "
        "row up."
    ),
    NO_ID: (
        "The service reported success without an Id: run the same command, which repeats the call with the "
        "same token."
    ),
    ODD_ID: "The service reported success with an invalid Id: run the same command, which repeats the call.",
    ID_OF_ANOTHER: (
        "The returned Id belongs to another row: check for a caching proxy in front of the endpoint, then "
        "run the same command, which looks the row up first."
    ),
    SEVERAL_INVITATIONS: f"More than one invitation has the same content as the row. {_LOOK}",
    SEVERAL_ROWS: f"More than one row has the same content as the invitation. {_LOOK}",
    DATED_BEFORE: (
        "An invitation has the same content as the row but is older than its first call: check it in "
        "Partner Central (`export` has its Id)."
    ),
    NOT_COMPARABLE: (
        "An invitation may match the row: name the row's file (`bulk-invite reconcile FILE`), or check the "
        "invitation in Partner Central."
    ),
    MAY_BE_MISSING: (
        "The checkpoint is older than the last call, so the row may have been sent: run the same command or "
        "`bulk-invite reconcile`; `export` shows the result of the lookup."
    ),
    "LookUpDenied": (
        "Allow partnercentral:ListEngagementInvitations and partnercentral:GetEngagementInvitation, then "
        "run `bulk-invite reconcile`."
    ),
    "LookUpFailed": _LATER,
    "LookUpRefused": _LATER,
}
_UNFAMILIAR: Final = (
    "The answer did not come from the service: check for a firewall or a proxy in front of the endpoint, "
    "then run the same command, which looks the row up first."
)
_REFUSED_IN_DOUBT: Final = (
    "The service refused the row, but an earlier call may have created the invitation: run `bulk-invite "
    "reconcile`."
)

_OF_STATE: Final = {
    State.REJECTED: _REJECTED,
    State.DUPLICATE: {
        SAME_RECEIVER: (
            "Nothing, if one invitation for the engagement and account is enough; otherwise send the row "
            "with --on-same-receiver send."
        )
    },
    State.FAILED: _FAILED,
    State.IN_DOUBT: _IN_DOUBT | dict.fromkeys(NOES | _FAILED.keys(), _REFUSED_IN_DOUBT),
}


def remedy_of(state: State, code: str) -> str:
    """Return what to do about a row in `state`, in one or two sentences; never empty.

    code: of a `RowError` or of the last answer, as the checkpoint stores them.
    """
    if state is State.IN_DOUBT and is_unfamiliar(code):
        return _UNFAMILIAR
    known = _OF_STATE.get(state, {}).get(code)
    if known is None and state in {State.PENDING, State.IN_DOUBT}:
        known = _after(_meaning(code))
    return known or _FALL_BACK[state]


def _meaning(code: str) -> Verdict:
    """Interpret a code of the service, a status, or the name of an exception."""
    status = int(code) if code.isascii() and code.isdecimal() else 400
    by_service = classify(HttpAnswer(status, code))
    by_silence = classify(NoAnswer((code,)))
    return by_silence if isinstance(by_silence, SenderRefused | Unreachable | Doubtful) else by_service


def _after(verdict: Verdict) -> str | None:
    """What to do about a row that is still to be sent or repeated, by its last answer."""
    match verdict:
        case Throttled():
            return "The call was throttled: run the same command, which continues with the same token."
        case Unreachable():
            return "The endpoint could not be reached: check its address and run the same command."
        case SenderRefused():
            return "Renew the credentials (or correct the clock) and run the same command."
        case Denied():
            return (
                "Allow partnercentral:CreateEngagementInvitation for the catalog, or put rows of other "
                "engagements first; then run the same command."
            )
        case Doubtful():
            return (
                "It is unknown whether the call arrived: run the same command, which repeats it with the "
                "same token or looks the row up."
            )
        case _:
            return None
