"""Rules that the service model lacks: dates must exist, and some accepted values deserve a warning."""

from __future__ import annotations

import datetime as dt
import re
from typing import TypedDict

from bulk_invite.domain.rows import RowError

_PROJECT = ("Invitation", "Payload", "OpportunityInvitation", "Project")
_DATE = (*_PROJECT, "TargetCompletionDate")
_DATE_PATH = "$." + ".".join(_DATE)
_SPEND_PATH = "$." + ".".join((*_PROJECT, "ExpectedCustomerSpend"))

_USUAL_CURRENCIES = ("USD", "EUR")
_TOKEN = re.compile(r"[!-~]{1,64}")
_TOKEN_WARNING = RowError(
    "$.ClientToken",
    "unusual_client_token",
    "should be at most 64 printable ASCII characters without spaces, as some of the service's documentation "
    "requires",
)
_TOKEN_ERROR = RowError("$.ClientToken", "nul_character", "must not contain the character U+0000")
_DATE_ERROR = RowError(_DATE_PATH, "no_such_date", "must be a date that exists, as YYYY-MM-DD")
_PAST_WARNING = RowError(_DATE_PATH, "date_in_past", "is in the past; should be in the future")


class Spend(TypedDict, total=False):
    CurrencyCode: str
    TargetCompany: str


class Project(TypedDict, total=False):
    """The members that the rules read, of a project that the service model has accepted.

    All are optional: later models may require less.
    """

    ExpectedCustomerSpend: list[Spend]
    TargetCompletionDate: str


def date_errors(request: object) -> tuple[RowError, ...]:
    """One error if the completion date does not exist. Accepts any JSON."""
    value = request
    for name in _DATE:
        if not isinstance(value, dict):
            return ()
        value = value.get(name)
    if isinstance(value, str):
        try:
            dt.date.fromisoformat(value)
        except ValueError:
            return (_DATE_ERROR,)
    return ()


def project_warnings(project: Project, today: dt.date) -> tuple[RowError, ...]:
    """Warnings about accepted but probably unintended values.

    Raises ValueError for a date that does not exist.
    """
    date = project.get("TargetCompletionDate")
    is_past = date is not None and dt.date.fromisoformat(date) < today
    found: tuple[RowError, ...] = (_PAST_WARNING,) if is_past else ()
    for index, spend in enumerate(project.get("ExpectedCustomerSpend", ())):
        if spend.get("TargetCompany", "AWS") != "AWS":
            path = f"{_SPEND_PATH}[{index}].TargetCompany"
            found += (RowError(path, "target_company", "should be AWS; the service replaces it with that"),)
        if spend.get("CurrencyCode", "USD") not in _USUAL_CURRENCIES:
            path = f"{_SPEND_PATH}[{index}].CurrencyCode"
            found += (
                RowError(path, "unusual_currency", "should be USD or EUR; the service may refuse others"),
            )
    return found


def token_errors(request: dict[str, object]) -> tuple[RowError, ...]:
    """One error if the token contains U+0000: databases truncate there, and would confuse two tokens."""
    token = request.get("ClientToken")
    return (_TOKEN_ERROR,) if isinstance(token, str) and "\0" in token else ()


def token_warnings(token: str) -> tuple[RowError, ...]:
    """Warnings about accepted but unusual tokens. Raises ValueError for a token that is an error."""
    if "\0" in token:
        raise ValueError(_TOKEN_ERROR.message)
    return () if _TOKEN.fullmatch(token) else (_TOKEN_WARNING,)
