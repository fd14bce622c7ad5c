"""What the service model does not say: dates exist, and some accepted values are worth a warning."""

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
    "expected at most 64 printable ASCII characters without spaces; some pages of the service ask for that",
)
_TOKEN_ERROR = RowError("$.ClientToken", "nul_character", "expected a token without the character U+0000")
_DATE_ERROR = RowError(_DATE_PATH, "no_such_date", "expected a date that exists, as YYYY-MM-DD")
_PAST_WARNING = RowError(_DATE_PATH, "date_in_past", "expected a completion date that is still to come")


class Spend(TypedDict, total=False):
    CurrencyCode: str
    TargetCompany: str


class Project(TypedDict, total=False):
    """The members that the rules read, of a project that the service model has found valid.

    Any may be absent: later models than the shipped one require less.
    """

    ExpectedCustomerSpend: list[Spend]
    TargetCompletionDate: str


def date_errors(request: object) -> tuple[RowError, ...]:
    """One error if the completion date is on no calendar. Takes any JSON."""
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
    """What is accepted but probably not meant. Raises ValueError if no calendar has the completion date."""
    found = []
    if "TargetCompletionDate" in project and dt.date.fromisoformat(project["TargetCompletionDate"]) < today:
        found.append(_PAST_WARNING)
    for index, spend in enumerate(project.get("ExpectedCustomerSpend", ())):
        if spend.get("TargetCompany", "AWS") != "AWS":
            path = f"{_SPEND_PATH}[{index}].TargetCompany"
            found.append(RowError(path, "target_company", "expected AWS; the service sets it to that"))
        if spend.get("CurrencyCode", "USD") not in _USUAL_CURRENCIES:
            path = f"{_SPEND_PATH}[{index}].CurrencyCode"
            found.append(
                RowError(path, "unusual_currency", "expected USD or EUR; the service may refuse others")
            )
    return tuple(found)


def token_errors(request: dict[str, object]) -> tuple[RowError, ...]:
    """One error if the token holds U+0000: databases end a text there, and would take two tokens for one."""
    token = request.get("ClientToken")
    return (_TOKEN_ERROR,) if isinstance(token, str) and "\0" in token else ()


def token_warnings(token: str) -> tuple[RowError, ...]:
    """What is accepted but unusual. Raises ValueError for a token that is an error."""
    if "\0" in token:
        raise ValueError(_TOKEN_ERROR.message)
    return () if _TOKEN.fullmatch(token) else (_TOKEN_WARNING,)
