"""Checks requests against the service model; refuses them with ValidationException."""

from __future__ import annotations

from typing import Any, Final

from bulk_invite.domain.rows import RowError
from bulk_invite.rehearsal.emulator.call import UNREADABLE
from bulk_invite.rehearsal.emulator.responses import Answer, refusal
from bulk_invite.validation import ShapeValidator
from bulk_invite.validation.service_model import ServiceModel

# Codes of the validator as ValidationExceptionErrorCode of the model; any other code is INVALID_VALUE.
_CODES: Final = {
    "missing": "REQUIRED_FIELD_MISSING",
    "not_in_enum": "INVALID_ENUM_VALUE",
    "invalid_format": "INVALID_STRING_FORMAT",
    "too_few": "NOT_ENOUGH_VALUES",
    "too_many": "TOO_MANY_VALUES",
    "out_of_range": "VALUE_OUT_OF_RANGE",
}

# As the service's framework words them; the validator's own messages are for people who write rows.
_MESSAGES: Final = {
    "missing": "Member must not be null",
    "unknown_member": "Member is not known",
    "not_in_enum": "Member must satisfy enum value set",
    "invalid_format": "Member must satisfy regular expression pattern",
    "too_short": "Member must have length greater than or equal to the minimum",
    "too_long": "Member must have length less than or equal to the maximum",
    "too_few": "Member must have length greater than or equal to the minimum",
    "too_many": "Member must have length less than or equal to the maximum",
    "out_of_range": "Member must have value within the range",
    "wrong_type": "Member must have the type of the model",
    "not_exactly_one": "Member must have exactly one of its members",
}


class RequestCheck:
    """Checks the requests of one operation."""

    def __init__(self, model: ServiceModel, operation: str) -> None:
        self._validator = ShapeValidator(model, f"{operation}Request")

    def refusal(self, request: Any) -> Answer | None:
        """The answer to an invalid request; None for a valid one."""
        if request is UNREADABLE:
            return refusal("SerializationException", "The request body is not JSON.")
        errors = self._validator.errors(request)
        return invalid(*errors) if errors else None


def invalid(*errors: RowError) -> Answer:
    return refusal(
        "ValidationException",
        f"{len(errors)} validation error(s) detected.",
        Reason="REQUEST_VALIDATION_FAILED",
        ErrorList=[
            {
                "FieldName": error.path.removeprefix("$.").removeprefix("$"),
                "Message": _MESSAGES.get(error.code, error.message),
                "Code": _CODES.get(error.code, "INVALID_VALUE"),
            }
            for error in errors
        ],
    )
