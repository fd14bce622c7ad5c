"""Match a row in doubt to a listed invitation. Pure.

An invitation shows neither ClientToken nor hash. The evidence is its engagement, receiver, payload type and
date, and finally its content. Equal content does not prove identity: another sender may have sent the same.
So a conclusion requires that exactly one invitation matches exactly one row. The absence of a match proves
something only after the lists have had time to settle.
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
"""Maximum seconds by which our clock may be ahead of the service's: AWS refuses signatures with a larger skew
(AWS General Reference, "Signing AWS API requests"). If the service's own clock shows a larger skew, that
applies."""

_ROUNDING: Final = 2.0
"""Seconds by which our dates and the service's may differ although the clocks agree."""

_SET_BY_SERVICE: Final = frozenset({"TargetCompany"})
"""Members that the service replaces with values of its own."""

_SPACES: Final = re.compile(r"\s+")
_NUMBER: Final = re.compile(r"-?(0|[1-9]\d{0,29})(\.\d{1,30})?", re.ASCII)
"""Excludes leading zeros: postal codes and ids have them, and there each writing is a different value."""


@dataclass(frozen=True, slots=True)
class Times:
    """When a list was requested. now: epoch seconds of our clock, which is `ahead` seconds fast."""

    now: float
    ahead: float = 0.0

    def earliest(self, row: DoubtfulRow) -> float | None:
        """Return the time before which no invitation can match the row, or None if that is unknown."""
        if row.doubt_since > self.now + CLOCK_SKEW:
            return None  # the clock was ahead when the row was sent, so its times prove nothing
        # A clock that is ahead now may have been ahead then. A clock that was hours ahead and has been
        # corrected since is not detected here: the service refuses signatures made with it.
        return row.doubt_since - CLOCK_SKEW - max(0.0, self.ahead)

    def certain(self, row: DoubtfulRow) -> float | None:
        """Return the time from which an invitation matches the row with certainty; None for any time.

        A slightly older invitation may match the row if our clock was ahead, or may come from another sender.
        """
        if row.doubt_since > self.now + _ROUNDING:
            return self.earliest(row)  # the clock was ahead
        return row.doubt_since - _ROUNDING - max(0.0, self.ahead)


class Similarity(IntEnum):
    """How closely an invitation matches a request; the worst of its members decides."""

    OTHER = 0
    UNSURE = 1
    SAME = 2


def engagement_id(identifier: str) -> str:
    """Return the id of an engagement that may be given by its Arn."""
    return identifier.rpartition("/")[2]


def candidates(
    row: DoubtfulRow, listed: Iterable[Listed], taken: Collection[str], times: Times
) -> list[Listed]:
    """Return the invitations that may match the row, by everything that a list shows.

    taken: Ids known to belong to other rows. They stay candidates if this row's answer held such an Id: the
    other row may have received the wrong answer, and only the content can tell.
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


def similarity(row: DoubtfulRow, content: Content) -> Similarity:
    """Compare a request with an invitation; without the row's body, compare by hash only."""
    if row.body is None:
        rebuilt = _request(row.client_token, row.engagement, content)
        known = [body_hash(canonical_json({"Catalog": name, **rebuilt})) for name in ("AWS", "Sandbox")]
        return Similarity.SAME if row.body_hash in known else Similarity.UNSURE
    asked = orjson.loads(row.body)["Invitation"]
    return min(
        _compare(asked["Message"], content.message or None),
        _compare(_account(asked["Receiver"]), _account(content.receiver) or None),
        _compare(asked["Payload"], content.payload or None),
    )


def conclude(
    row: DoubtfulRow,
    compared: Sequence[tuple[Listed, Content, Similarity]],
    rivals: Sequence[DoubtfulRow],
    *,
    listed: int,
    times: Times,
    settling_time: float,
) -> Finding:
    """Draw a conclusion from the row's candidates.

    rivals: all rows in doubt of its engagement. listed: number of invitations of the engagement.
    settling_time: seconds after an attempt until lists show it.
    """
    same = [(each, content) for each, content, how in compared if how is Similarity.SAME]
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
        if how is Similarity.UNSURE and not _matches_rival_exactly(row, rivals, content)
    ]
    if unsure:
        return Unclear(NOT_COMPARABLE, tuple(unsure))
    passed = times.now - row.last_sent
    if passed < settling_time:
        # If the clock was set back in the meantime, the last attempt appears to lie in the future.
        return TooEarly(listed, min(settling_time, settling_time - passed))
    return Absent(listed, passed)


def without_shared_matches(rows: Sequence[DoubtfulRow], findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings, replacing those that share an invitation with `Unclear`."""
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
    """Draw a conclusion from the only invitation with the same content."""
    if not invitation.engagement:  # another engagement's row may have the same content
        return Unclear(NOT_COMPARABLE, (invitation.invitation_id,))
    others = [each.client_token for each in rivals if _also_matches_rival(row, each, content)]
    if others:
        return Unclear(SEVERAL_ROWS, (invitation.invitation_id,), tuple(others))
    return Found(invitation, listed)


def _matches_rival_exactly(row: DoubtfulRow, rivals: Iterable[DoubtfulRow], content: Content) -> bool:
    """Whether the content equals another row's request exactly; then it cannot belong to this row."""
    return any(
        each.client_token != row.client_token and similarity(each, content) is Similarity.SAME
        for each in rivals
    )


def _also_matches_rival(row: DoubtfulRow, rival: DoubtfulRow, content: Content) -> bool:
    """Whether the invitation found for the row could equally be the rival's."""
    if rival.client_token == row.client_token or rival.payload_type != row.payload_type:
        return False
    if row.body is not None:
        request = {**orjson.loads(row.body), "ClientToken": rival.client_token}
        if body_hash(canonical_json(request)) == rival.body_hash:
            return True
    return similarity(rival, content) is Similarity.SAME


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


def _compare(ours: Any, theirs: Any) -> Similarity:
    """Compare member by member. The service may add members; it may hide some; a difference is a mismatch."""
    if theirs is None:
        return Similarity.UNSURE
    match ours, theirs:
        case (dict(), Mapping()):
            return min(
                (_compare(ours[name], theirs.get(name)) for name in ours if name not in _SET_BY_SERVICE),
                default=Similarity.SAME,
            )
        case (list(), list()):
            if len(ours) != len(theirs):
                return Similarity.OTHER
            return min(map(_compare, ours, theirs), default=Similarity.SAME)
        case _:
            return Similarity.SAME if _plain(ours) == _plain(theirs) else Similarity.OTHER


def _plain(value: object) -> object:
    """Remove what a service may change in a value: whitespace, and the notation of numbers."""
    if not isinstance(value, str):
        return value
    text = _SPACES.sub(" ", value).strip()
    return Decimal(text) if _NUMBER.fullmatch(text) else text
