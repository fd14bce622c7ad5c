"""Which listed invitation a row in doubt has become, if any. Pure.

Theory: an invitation shows neither ClientToken nor hash. What speaks for it is its engagement, receiver,
payload type and date, and in the end that it says the same as the row. That is no proof of identity: somebody
else may have said the same. So nothing follows unless exactly one invitation fits exactly one row. That none
fits proves something only when lists have had the time to show it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import IntEnum
from typing import Any, Final

import orjson

from bulk_invite.domain.classify import ID_OF_ANOTHER
from bulk_invite.domain.findings import (
    Absent,
    Content,
    DoubtfulRow,
    Finding,
    Found,
    Listed,
    TooEarly,
    Unclear,
)
from bulk_invite.domain.tokens import body_hash, canonical_json

SEVERAL_INVITATIONS: Final = "SeveralInvitationsMatch"
SEVERAL_ROWS: Final = "SeveralRowsMatch"
NOT_COMPARABLE: Final = "NotComparable"
DATED_BEFORE: Final = "DatedBeforeTheRow"

CLOCK_SKEW: Final = 300.0
"""Seconds by which our clock may be ahead of the service's: signatures that are off by more are refused (AWS
General Reference, "Signing AWS API requests"). Where the service's own clock shows more, that counts."""

_ROUNDING: Final = 2.0
"""Seconds by which dates of ours and of the service may be apart though the clocks agree."""

_SET_BY_SERVICE: Final = frozenset({"TargetCompany"})
"""Members that the service gives back with a value of its own."""

_SPACES: Final = re.compile(r"\s+")
_NUMBER: Final = re.compile(r"-?(0|[1-9]\d{0,29})(\.\d{1,30})?", re.ASCII)
"""Not with zeros before it: that is how postal codes and ids look, of which each is another one."""


@dataclass(frozen=True, slots=True)
class Times:
    """When a list was asked for. now: epoch seconds by our clock; ahead: by how many of the service's."""

    now: float
    ahead: float = 0.0

    def earliest(self, row: DoubtfulRow) -> float | None:
        """Before when no invitation is the row; None where that cannot be said."""
        if row.doubt_since > self.now + CLOCK_SKEW:
            return None  # a clock that was ahead when the row was sent says nothing of when that was
        # One that is ahead now may have been so then. One that was ahead by hours then, and was put right
        # since, is not told here: the service refuses what such a clock signs.
        return row.doubt_since - CLOCK_SKEW - max(0.0, self.ahead)

    def certain(self, row: DoubtfulRow) -> float | None:
        """From when on an invitation may be the row without a doubt; None for at any time.

        One that is a little older may be the row, if our clock was ahead, or what somebody else has sent.
        """
        if row.doubt_since > self.now + _ROUNDING:
            return self.earliest(row)  # it was ahead
        return row.doubt_since - _ROUNDING - max(0.0, self.ahead)


class Likeness(IntEnum):
    """How far an invitation says what the row asks for; of several members, the worst one decides."""

    OTHER = 0
    UNSURE = 1
    SAME = 2


def engagement_id(identifier: str) -> str:
    """The id of an engagement that may be named by its Arn."""
    return identifier.rpartition("/")[2]


def candidates(
    row: DoubtfulRow, listed: Iterable[Listed], taken: Collection[str], times: Times
) -> list[Listed]:
    """The invitations that may be the row, by all that a list shows.

    taken: Ids that other rows are known to have become. Where an answer to this one has brought such an Id,
    it may be the other one that got a wrong answer: what the invitation says has to tell.
    """
    if row.code == ID_OF_ANOTHER:
        taken = ()
    receiver = _receiver(row)
    earliest = times.earliest(row)
    return [
        each
        for each in listed
        if each.engagement in {"", engagement_id(row.engagement)}
        and each.invitation_id not in taken
        and each.payload_type in {"", row.payload_type}
        and (not receiver or each.receiver in {"", receiver})
        and (earliest is None or each.invited_at is None or each.invited_at >= earliest)
    ]


def likeness(row: DoubtfulRow, content: Content) -> Likeness:
    """Compare what was asked for with what was invited to; without the row's body by its hash alone."""
    if row.body is None:
        rebuilt = _request(row.client_token, row.engagement, content)
        known = [body_hash(canonical_json({"Catalog": name, **rebuilt})) for name in ("AWS", "Sandbox")]
        return Likeness.SAME if row.body_hash in known else Likeness.UNSURE
    asked = orjson.loads(row.body)["Invitation"]
    return min(
        _compare(asked["Message"], content.message or None),
        _compare(_account(asked["Receiver"]), _account(content.receiver) or None),
        _compare(asked["Payload"], content.payload or None),
    )


def conclude(
    row: DoubtfulRow,
    compared: Sequence[tuple[Listed, Content, Likeness]],
    rivals: Sequence[DoubtfulRow],
    *,
    listed: int,
    times: Times,
    settling_time: float,
) -> Finding:
    """What follows from the row's candidates.

    rivals: all the rows in doubt of its engagement. listed: how many invitations that has.
    settling_time: seconds after the last attempt from which on lists show it.
    """
    same = [(each, content) for each, content, how in compared if how is Likeness.SAME]
    since = times.certain(row)
    certain = [
        (each, content)
        for each, content in same
        if since is None or each.invited_at is None or each.invited_at >= since
    ]
    if len(certain) > 1:
        return Unclear(SEVERAL_INVITATIONS, tuple(each.invitation_id for each, _ in certain))
    if certain:
        return _only(row, *certain[0], rivals, listed)
    if same:
        return Unclear(DATED_BEFORE, tuple(each.invitation_id for each, _ in same))
    unsure = [
        each.invitation_id
        for each, content, how in compared
        if how is Likeness.UNSURE and not _is_a_rivals(row, rivals, content)
    ]
    if unsure:
        return Unclear(NOT_COMPARABLE, tuple(unsure))
    passed = times.now - row.last_sent
    if passed < settling_time:
        # Where the clock was set back since, what was sent seems to be sent in time to come.
        return TooEarly(listed, min(settling_time, settling_time - passed))
    return Absent(listed, passed)


def alone(rows: Sequence[DoubtfulRow], findings: Sequence[Finding]) -> list[Finding]:
    """The findings about rows, where those that found the same invitation have found nothing."""
    finders: dict[str, list[str]] = {}
    for row, finding in zip(rows, findings, strict=True):
        if isinstance(finding, Found):
            finders.setdefault(finding.invitation.invitation_id, []).append(row.client_token)
    sure: list[Finding] = []
    for row, finding in zip(rows, findings, strict=True):
        found = finding.invitation.invitation_id if isinstance(finding, Found) else ""
        others = tuple(each for each in finders.get(found, ()) if each != row.client_token)
        sure.append(Unclear(SEVERAL_ROWS, (found,), others) if others else finding)
    return sure


def _only(
    row: DoubtfulRow, invitation: Listed, content: Content, rivals: Iterable[DoubtfulRow], listed: int
) -> Finding:
    """What follows from the only invitation that says what the row asks for."""
    if not invitation.engagement:  # another engagement's row may say the same
        return Unclear(NOT_COMPARABLE, (invitation.invitation_id,))
    others = [each.client_token for each in rivals if _says_the_same(row, each, content)]
    if others:
        return Unclear(SEVERAL_ROWS, (invitation.invitation_id,), tuple(others))
    return Found(invitation, listed)


def _is_a_rivals(row: DoubtfulRow, rivals: Iterable[DoubtfulRow], content: Content) -> bool:
    """Whether it is to the letter what another row asks for: so would this one be, if it said the same."""
    return any(
        each.client_token != row.client_token and likeness(each, content) is Likeness.SAME for each in rivals
    )


def _says_the_same(row: DoubtfulRow, rival: DoubtfulRow, content: Content) -> bool:
    """Whether the invitation that the row has found might as well be the rival's."""
    if rival.client_token == row.client_token or rival.payload_type != row.payload_type:
        return False
    if row.body is not None:
        request = {**orjson.loads(row.body), "ClientToken": rival.client_token}
        if body_hash(canonical_json(request)) == rival.body_hash:
            return True
    return likeness(rival, content) is Likeness.SAME


def _receiver(row: DoubtfulRow) -> str:
    if row.body is None:
        return ""
    return _account(orjson.loads(row.body)["Invitation"]["Receiver"])


def _account(receiver: Mapping[str, Any]) -> str:
    account: str = receiver.get("Account", {}).get("AwsAccountId", "")
    return account


def _request(client_token: str, engagement: str, content: Content) -> dict[str, Any]:
    return {
        "ClientToken": client_token,
        "EngagementIdentifier": engagement,
        "Invitation": {
            "Message": content.message,
            "Payload": content.payload,
            "Receiver": content.receiver,
        },
    }


def _compare(ours: Any, theirs: Any) -> Likeness:
    """Theirs may say more than ours. What they leave out may be kept from us; what differs, differs."""
    if theirs is None:
        return Likeness.UNSURE
    match ours, theirs:
        case (dict(), Mapping()):
            return min(
                (_compare(ours[name], theirs.get(name)) for name in ours if name not in _SET_BY_SERVICE),
                default=Likeness.SAME,
            )
        case (list(), list()):
            if len(ours) != len(theirs):
                return Likeness.OTHER
            return min(map(_compare, ours, theirs), default=Likeness.SAME)
        case _:
            return Likeness.SAME if _plain(ours) == _plain(theirs) else Likeness.OTHER


def _plain(value: object) -> object:
    """A value without what a service may change about it: spaces, and how a number is written."""
    if not isinstance(value, str):
        return value
    text = _SPACES.sub(" ", value).strip()
    return Decimal(text) if _NUMBER.fullmatch(text) else text
