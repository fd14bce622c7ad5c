"""Turn a row into an invitation, or into the list of its errors. Pure: today is an argument."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TypeAlias, cast

import orjson

from bulk_invite.domain.errors import ServiceModelError
from bulk_invite.domain.member_path import LABEL, MemberPath
from bulk_invite.domain.rows import METADATA, Invitation, Rejection, Row, RowError
from bulk_invite.domain.tokens import body_hash, canonical_json, derive_key_token, derive_token
from bulk_invite.validation.accepted_request import AcceptedRequest, account_of
from bulk_invite.validation.compiled import QuickCheck
from bulk_invite.validation.json_text import (
    NotReadableError,
    duplicate_keys,
    every_member,
    nothing_dropped,
    read,
)
from bulk_invite.validation.own_members import Labels, Own, OwnMembers
from bulk_invite.validation.row_rules import (
    date_errors,
    project_warnings,
    token_errors,
    token_warnings,
)
from bulk_invite.validation.service_model import REQUEST, ServiceModel, sensitive_members
from bulk_invite.validation.shape_validator import ShapeValidator, bounded
from bulk_invite.validation.shapes import MAY_BE_ABSENT, Record, Shape, member_names
from bulk_invite.validation.suspicious import Suspicions

_OVERSIZED = RowError("$", "line_too_long", "line is longer than 1 MiB")
_NOT_AN_OBJECT = RowError("$", "not_an_object", "must be one JSON object on the line")


_Known: TypeAlias = tuple[AcceptedRequest, bytes, tuple[RowError, ...], Own]
"""A valid request, its canonical JSON, all warnings about the row, and what it has for this program."""


class RowValidator:
    """Turns the rows of one run into invitations.

    `today` only decides whether a completion date deserves a warning. key: where rows of files have the key
    from which tokens are derived; None: they are derived from the content. label: where rows have their
    label. sensitive_labels: whether it may repeat sensitive values. strict: see `Invitation.is_strict`.
    Raises ServiceModelError for a model whose valid requests may lack what an invitation consists of.
    """

    def __init__(
        self,
        model: ServiceModel,
        *,
        catalog: str,
        campaign: str,
        today: dt.date,
        key: MemberPath | None = None,
        label: MemberPath = LABEL,
        sensitive_labels: bool = False,
        strict: bool = False,
    ) -> None:
        self._shape = ShapeValidator(model, REQUEST, optional=MAY_BE_ABSENT)
        _require(self._shape.shape, "EngagementIdentifier")
        _require(self._shape.shape, "Invitation", "Payload")
        self._quick: QuickCheck[AcceptedRequest] = QuickCheck(self._shape.shape)
        self._suspicions = Suspicions(self._shape.shape, is_live=catalog == "AWS")
        self._strict = strict
        self._catalog = catalog
        # ClientToken follows Catalog in canonical JSON, unless a model has other members that sort between
        # them.
        self._head = canonical_json({"Catalog": catalog})[:-1] if self._token_is_second() else None
        self._campaign = campaign
        sensitive = None if sensitive_labels else sensitive_members(model)
        self._own = OwnMembers(key, Labels(label, sensitive, member_names(self._shape.shape)))
        self._today = today

    def validate(self, row: Row) -> Invitation | Rejection:
        if row.oversized:
            return self._unread(row, _OVERSIZED)
        try:
            value = read(row.data)
        except NotReadableError as error:
            return self._unread(row, error.error)
        return self._recognised(row, value) or self._judged(row, value)

    def check(self, row: Row) -> Rejection | tuple[RowError, ...]:
        """The same check of a new row, at half the cost: returns the warnings of a valid one."""
        if not row.oversized:
            try:
                value = read(row.data)
            except NotReadableError as error:
                return self._unread(row, error.error)
            known = self._known(row, value)
            if known is not None:
                _, _, warnings, _ = known
                if not (self._strict and warnings):
                    return warnings
        judged = self.validate(row)
        new = judged.as_new() if isinstance(judged, Invitation) else judged
        return new if isinstance(new, Rejection) else new.warnings

    def _unread(self, row: Row, error: RowError) -> Rejection:
        return Rejection(row, (error,), label=self._own.of(row, None).label)

    def _known(self, row: Row, value: object) -> _Known | None:
        """The fast path, for nearly all valid rows; None if a closer look is needed."""
        request = self._quick.known_members(value)
        if request is None:
            return None
        written = orjson.dumps(request)  # canonical: its members are sorted
        if not nothing_dropped(row.data, written, value):
            return None
        own = self._own.of(row, value)
        if own.errors or request.get("Catalog", self._catalog) != self._catalog:
            return None
        try:
            return request, written, own.warnings + self._warnings(request, written), own
        except ValueError:
            return None

    def _recognised(self, row: Row, value: object) -> Invitation | None:
        known = self._known(row, value)
        if known is None:
            return None
        request, written, warnings, own = known
        if "Catalog" not in request:
            request["Catalog"] = self._catalog
            written = canonical_json(request)
        return self._invitation(row, request, written, warnings, own)

    def _judged(self, row: Row, value: object) -> Invitation | Rejection:
        """The slow path: all errors of a row; or none, if only the proof failed."""
        without_ours = self._request_of(value)
        twice, whole = _given_again(row.data, value, self._shape.shape)
        own = self._own.of(row, value)
        errors = bounded(chain(twice, own.errors, self._errors(without_ours, whole)))
        if errors:
            return Rejection(row, errors, label=own.label)
        request = cast("AcceptedRequest", without_ours)
        written = canonical_json(request)
        return self._invitation(row, request, written, own.warnings + self._warnings(request, written), own)

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

    def _warnings(self, request: AcceptedRequest, written: bytes) -> tuple[RowError, ...]:
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
        self, row: Row, request: AcceptedRequest, written: bytes, warnings: tuple[RowError, ...], own: Own
    ) -> Invitation:
        """Freeze a valid request with Catalog; `written` is its canonical JSON."""
        token = request.get("ClientToken")
        if token is None:
            key = own.key
            token = derive_key_token(self._campaign, key) if key else derive_token(self._campaign, written)
            written = self._with_token(request, written, token)
        return Invitation(
            row=row,
            client_token=token,
            body=written,
            body_hash=body_hash(written),
            engagement=request["EngagementIdentifier"],
            payload_type=next(iter(request["Invitation"]["Payload"])),
            warnings=warnings,
            has_key_token=bool(own.key),
            is_strict=self._strict,
            account=account_of(request),
            label=own.label,
        )

    def _with_token(self, request: AcceptedRequest, written: bytes, token: str) -> bytes:
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


def _require(shape: Shape, *path: str) -> None:
    for name in path:
        if not isinstance(shape, Record) or name not in shape.required:
            raise ServiceModelError(f"The service model does not require {'.'.join(path)} in a request.")
        shape = shape.members[name]
