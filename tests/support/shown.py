"""Lists and contents of invitations, from the emulator without a socket, and look-ups in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import orjson
import pytest
from row_checks import LEAD, OPPORTUNITY, accepted, changed

from bulk_invite.domain.findings import Content, DoubtfulRow, Finding, Listed, Page
from bulk_invite.domain.matching import Times, candidates, conclude, similarity
from bulk_invite.domain.rows import Invitation
from bulk_invite.partner_central.responses import content, page
from bulk_invite.rehearsal.emulator.audit import CREATE
from bulk_invite.rehearsal.emulator.call import Call
from bulk_invite.rehearsal.emulator.faults import Draw
from bulk_invite.rehearsal.emulator.ledger import Ledger
from bulk_invite.rehearsal.emulator.options import Options
from bulk_invite.rehearsal.emulator.service import GET, LIST, PartnerCentral
from bulk_invite.rehearsal.emulator.state import ServiceState
from bulk_invite.validation.service_model import load

SENT = 1_800_000_000.0
LATER = SENT + 3600
SETTLING = 60.0
BOTH = pytest.mark.parametrize("example", [OPPORTUNITY, LEAD], ids=["opportunity", "lead"])


_MODEL = load()
_UNHARMED = Draw(None, after=False, gives_up=False, jitter=0.0)


def shown(invitation: Invitation, at: float) -> tuple[Listed, Content]:
    """The list entry and content of an invitation that was created at `at`."""
    ledger = Ledger(None)
    options = Options()
    service = PartnerCentral(options, ServiceState(ledger, options), _MODEL)
    try:
        catalog = {"Catalog": orjson.loads(invitation.body)["Catalog"]}
        made = _decided(service, CREATE, orjson.loads(invitation.body), at)
        listed = page(_decided(service, LIST, {**catalog, "ParticipantType": "SENDER"}, at))
        content_shown = content(_decided(service, GET, {**catalog, "Identifier": made["Id"]}, at), made["Id"])
    finally:
        ledger.close()
    assert isinstance(listed, Page)
    assert isinstance(content_shown, Content)
    (only,) = listed.invitations
    return only, content_shown


def doubtful(invitation: Invitation, at: float, **changes: Any) -> DoubtfulRow:
    """The row that was sent at `at`, with an unknown outcome."""
    row = DoubtfulRow(
        invitation.client_token,
        invitation.body_hash,
        invitation.engagement,
        invitation.payload_type,
        doubt_since=at,
        last_sent=at,
        body=invitation.body,
    )
    return replace(row, **changes)


def look(
    row: DoubtfulRow,
    arrived: Sequence[tuple[Listed, Content]],
    rivals: Sequence[DoubtfulRow] = (),
    *,
    taken: Sequence[str] = (),
    now: float = LATER,
    ahead: float = 0.0,
) -> Finding:
    """Look a row up among what has arrived, as `lookup` does."""
    contents = {each.invitation_id: content for each, content in arrived}
    possible = candidates(row, [each for each, _ in arrived], taken, Times(now, ahead))
    compared = [
        (each, contents[each.invitation_id], similarity(row, contents[each.invitation_id]))
        for each in possible
    ]
    return conclude(
        row, compared, [row, *rivals], listed=len(arrived), times=Times(now, ahead), settling_time=SETTLING
    )


def made(example: dict[str, Any], path: str = "", value: object = None) -> Invitation:
    return accepted(changed(path, value, example) if path else orjson.dumps(example))


def _decided(service: PartnerCentral, operation: str, request: dict[str, Any], now: float) -> dict[str, Any]:
    """A parsed answer, as the SDK gives it."""
    answer, _ = service.decide(Call(0, operation, "111122223333", "none", request), _UNHARMED, now)
    assert answer.status == 200, answer
    parsed: dict[str, Any] = orjson.loads(answer.body)
    for summary in parsed.get("EngagementInvitationSummaries", ()):
        summary["InvitationDate"] = datetime.fromisoformat(summary["InvitationDate"])
    return parsed
