"""Turn a row into an invitation, or into the list of its errors. Pure: today is an argument."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NotRequired, TypeAlias, TypedDict, cast

import orjson

from bulk_invite.domain.errors import ServiceModelError
from bulk_invite.domain.rows import METADATA, Invitation, Rejection, Row, RowError
from bulk_invite.domain.tokens import body_hash, canonical_json, derive_key_token, derive_token
from bulk_invite.validation.compiled import QuickCheck
from bulk_invite.validation.json_text import (
    NotReadableError,
    duplicate_keys,
    every_member,
    nothing_dropped,
    read,
)
from bulk_invite.validation.row_rules import (
    Project,
    date_errors,
    project_warnings,
    token_errors,
    token_warnings,
)
from bulk_invite.validation.service_model import REQUEST, ServiceModel
from bulk_invite.validation.shape_validator import ShapeValidator, bounded
from bulk_invite.validation.shapes import MAY_BE_ABSENT, Record, Shape
from bulk_invite.validation.suspicious import Suspicions

_OVERSIZED = RowError("$", "line_too_long", "line is longer than 1 MiB")
_NOT_AN_OBJECT = RowError("$", "not_an_object", "must be one JSON object on the line")


class _Payload(TypedDict, total=False):
    OpportunityInvitation: _Opportunity


class _Opportunity(TypedDict, total=False):
    Project: Project


class _Account(TypedDict, total=False):
    AwsAccountId: str


class _Receiver(TypedDict, total=False):
    Account: _Account


class _Invitation(TypedDict):
    Payload: _Payload
    Receiver: NotRequired[_Receiver]


class _Request(TypedDict):
    """The members read here, of a request that the service model has accepted."""

    Catalog: NotRequired[str]
    ClientToken: NotRequired[str]
    EngagementIdentifier: str
    Invitation: _Invitation


_Known: TypeAlias = tuple[_Request, bytes, tuple[RowError, ...]]
"""A valid request, its canonical JSON, and its warnings."""


class RowValidator:
    """Turns the rows of one run into invitations.

    `today` only decides whether a completion date deserves a warning. tokens_from_keys: the token of a row
    with a key is derived from that, not from its content. strict: warnings are errors. Raises
    ServiceModelError for a model whose valid requests may lack what an invitation consists of.
    """

    def __init__(
        self,
        model: ServiceModel,
        *,
        catalog: str,
        campaign: str,
        today: dt.date,
        tokens_from_keys: bool = False,
        strict: bool = False,
    ) -> None:
        self._shape = ShapeValidator(model, REQUEST, optional=MAY_BE_ABSENT)
        _require(self._shape.shape, "EngagementIdentifier")
        _require(self._shape.shape, "Invitation", "Payload")
        self._quick = QuickCheck(self._shape.shape)
        self._suspicions = Suspicions(self._shape.shape, is_live=catalog == "AWS")
        self._strict = strict
        self._catalog = catalog
        # ClientToken follows Catalog in canonical JSON, unless a model has other members that sort between
        # them.
        self._head = canonical_json({"Catalog": catalog})[:-1] if self._token_is_second() else None
        self._campaign = campaign
        self._tokens_from_keys = tokens_from_keys
        self._today = today

    def validate(self, row: Row) -> Invitation | Rejection:
        if row.oversized:
            return Rejection(row, (_OVERSIZED,))
        try:
            value = read(row.data)
        except NotReadableError as error:
            return Rejection(row, (error.error,))
        return self._recognised(row, value) or self._judged(row, value)

    def check(self, row: Row) -> Rejection | tuple[RowError, ...]:
        """The same check without the invitation, at half the cost: returns the warnings of a valid row."""
        if not row.oversized:
            try:
                value = read(row.data)
            except NotReadableError as error:
                return Rejection(row, (error.error,))
            known = self._known(row, value)
            if known is not None:
                return known[2]
        judged = self.validate(row)
        return judged if isinstance(judged, Rejection) else judged.warnings

    def _known(self, row: Row, value: object) -> _Known | None:
        """The fast path, for nearly all valid rows; None if a closer look is needed."""
        request = cast("_Request | None", self._quick.known_members(value))
        if request is None:
            return None
        written = orjson.dumps(request)  # canonical: its members are sorted
        if not nothing_dropped(row.data, written) or request.get("Catalog", self._catalog) != self._catalog:
            return None
        try:
            warnings = self._warnings(request, written)
        except ValueError:
            return None
        return None if warnings and self._strict else (request, written, warnings)

    def _recognised(self, row: Row, value: object) -> Invitation | None:
        known = self._known(row, value)
        if known is None:
            return None
        request, written, warnings = known
        if "Catalog" not in request:
            request["Catalog"] = self._catalog
            written = canonical_json(request)
        return self._invitation(row, request, written, warnings)

    def _judged(self, row: Row, value: object) -> Invitation | Rejection:
        """The slow path: all errors of a row; or none, if only the proof failed."""
        without_ours = self._request_of(value)
        twice, whole = _given_again(row.data, value, self._shape.shape)
        errors = bounded(chain(twice, self._errors(without_ours, whole)))
        if errors:
            return Rejection(row, errors)
        request = cast("_Request", without_ours)
        written = canonical_json(request)
        warnings = self._warnings(request, written)
        if warnings and self._strict:
            return Rejection(row, bounded(iter(warnings)))
        return self._invitation(row, request, written, warnings)

    def _request_of(self, value: object) -> object:
        """Remove our metadata from a row, and add the catalog of the run."""
        if not isinstance(value, dict):
            return value
        return {"Catalog": self._catalog} | {name: each for name, each in value.items() if name != METADATA}

    def _errors(self, value: object, whole: object) -> Iterator[RowError]:
        if not isinstance(value, dict):
            yield _NOT_AN_OBJECT
            return
        paths = set()
        for error in self._shape.each_error(value, whole):
            paths.add(error.path)
            yield error
        if value["Catalog"] != self._catalog and "$.Catalog" not in paths:
            yield RowError("$.Catalog", "wrong_catalog", f"must be {self._catalog}, the catalog of this run")
        rules = (*date_errors(value), *token_errors(value))
        yield from (error for error in rules if error.path not in paths)

    def _warnings(self, request: _Request, written: bytes) -> tuple[RowError, ...]:
        """Raises ValueError for a completion date that does not exist, or a token with U+0000."""
        payload = request["Invitation"]["Payload"]
        found = token_warnings(request["ClientToken"]) if "ClientToken" in request else ()
        if project := payload.get("OpportunityInvitation", {}).get("Project"):
            found += project_warnings(project, self._today)
        if self._suspicions.may_have_any(written):
            others = {warning.path for warning in found}
            found += tuple(each for each in self._suspicions.warnings(request) if each.path not in others)
        return found

    def _invitation(
        self, row: Row, request: _Request, written: bytes, warnings: tuple[RowError, ...]
    ) -> Invitation:
        """Freeze a valid request with Catalog; `written` is its canonical JSON."""
        token = request.get("ClientToken")
        has_key_token = token is None and self._tokens_from_keys and bool(row.position.key)
        if token is None:
            if has_key_token:
                token = derive_key_token(self._campaign, row.position.key)
            else:
                token = derive_token(self._campaign, written)
            written = self._with_token(request, written, token)
        return Invitation(
            row=row,
            client_token=token,
            body=written,
            body_hash=body_hash(written),
            engagement=request["EngagementIdentifier"],
            payload_type=next(iter(request["Invitation"]["Payload"])),
            warnings=warnings,
            has_key_token=has_key_token,
            account=_account(request["Invitation"]),
        )

    def _with_token(self, request: _Request, written: bytes, token: str) -> bytes:
        """Canonical JSON with the token spliced in: writing it all again would cost a row 3 % more."""
        if self._head is None:
            return canonical_json({**request, "ClientToken": token})
        return b'%b,"ClientToken":"%b"%b' % (self._head, token.encode(), written[len(self._head) :])

    def _token_is_second(self) -> bool:
        shape = self._shape.shape
        return isinstance(shape, Record) and sorted(shape.members)[:2] == ["Catalog", "ClientToken"]


def _given_again(text: bytes, value: object, shape: Shape) -> tuple[Sequence[RowError], object]:
    """The errors of its keys, and the row with all of them, from which members are numbered."""
    try:
        whole = every_member(text)
    except NotReadableError as error:
        return (error.error,), value
    return duplicate_keys(whole, shape), whole


def _account(invitation: _Invitation) -> str:
    """The account of the receiver; "" where a service model knows none."""
    return invitation.get("Receiver", {}).get("Account", {}).get("AwsAccountId", "")


def _require(shape: Shape, *path: str) -> None:
    for name in path:
        if not isinstance(shape, Record) or name not in shape.required:
            raise ServiceModelError(f"The service model does not require {'.'.join(path)} in a request.")
        shape = shape.members[name]
