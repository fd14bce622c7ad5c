"""Encode errors and evidence for the checkpoint, without sensitive data.

Errors keep path and code, never the message: the service's messages may repeat values of the row. Evidence
keeps Ids, dates and counts, never the receiver or the content.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

import orjson

from bulk_invite.domain.findings import Absent, Finding, Found, TooEarly, Unclear
from bulk_invite.domain.rows import RowError


def encode_errors(errors: Sequence[RowError]) -> str:
    return orjson.dumps([[error.path, error.code] for error in errors]).decode() if errors else "[]"


def decode_errors(text: str) -> tuple[RowError, ...]:
    return tuple(RowError(path, code, "") for path, code in orjson.loads(text))


def encode_evidence(finding: Finding) -> str:
    """Encode as JSON; times are epoch seconds."""
    match finding:
        case Found(invitation, listed):
            found = {"invitation_id": invitation.invitation_id, "invited_at": invitation.invited_at}
            evidence: dict[str, object] = {"finding": "found", **found, "listed": listed}
        case Absent(listed, seconds):
            evidence = {"finding": "absent", "listed": listed, "seconds": round(seconds, 3)}
        case TooEarly(listed, seconds):
            evidence = {"finding": "too early", "listed": listed, "seconds": round(seconds, 3)}
        case Unclear(code, invitations, rows):
            evidence = {"finding": "unclear", "why": code, "invitations": invitations, "rows": rows}
        case _:  # pragma: no cover
            assert_never(finding)
    return orjson.dumps(evidence).decode()
