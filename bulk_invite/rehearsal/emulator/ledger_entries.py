"""The two kinds of ledger entry, as values and as lines of NDJSON.

An `invitation` entry precedes the `call` entry of the call that committed it: a file torn between the two has
the invitation and lacks only a call without a response.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import orjson

HEADER: Final = b'{"entry":"ledger","of":"bulk-invite emulator","version":1}\n'
INVITATION_MARK: Final = b'{"entry":"invitation",'
CALL_MARK: Final = b'{"entry":"call",'


@dataclass(frozen=True, slots=True)
class CallEntry:
    """A decided call. time: of the decision, in epoch seconds.

    outcome: `created`, `replayed`, `answered` (reads), `throttled`, an error code, `none` (only a fault).
    fault: applied to the response, if any. charged: whether it counts against the account's quota.
    """

    number: int
    time: float
    operation: str
    account: str
    request_id: str
    client_token: str | None
    outcome: str
    fault: str | None
    charged: bool

    def line(self) -> bytes:
        members = {name: getattr(self, name) for name in self.__slots__}
        return orjson.dumps({"entry": "call", **members}, option=orjson.OPT_APPEND_NEWLINE)


@dataclass(frozen=True, slots=True)
class InvitationEntry:
    """A committed invitation. number: from 0; call: number of the call.

    body_sha256: of the canonical JSON of the request, independent of the order of its keys.
    content_sha256: the same without the token: catalog, engagement and invitation.
    request: as received. Use test data only, never data of real people.
    """

    number: int
    time: float
    call: int
    account: str
    catalog: str
    client_token: str
    id: str
    arn: str
    engagement: str
    receiver_account: str
    payload_type: str
    body_sha256: str
    content_sha256: str
    request: dict[str, Any] = field(repr=False)

    def line(self) -> bytes:
        members = {name: getattr(self, name) for name in self.__slots__}
        return orjson.dumps({"entry": "invitation", **members}, option=orjson.OPT_APPEND_NEWLINE)


_KINDS: Final = {"call": CallEntry, "invitation": InvitationEntry}


def read_entry(line: bytes) -> CallEntry | InvitationEntry:
    """Parse one line of a ledger. Raises ValueError for anything but the two kinds of entry."""
    members = orjson.loads(line)
    try:
        kind: type[CallEntry | InvitationEntry] = _KINDS[members.pop("entry")]
        return kind(**members)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError("not an entry of an emulator's ledger") from error
