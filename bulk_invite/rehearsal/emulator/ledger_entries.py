"""The two kinds of ledger entry, as values and as lines of NDJSON.

An `invitation` entry stands before the `call` entry of the call that committed it: a file torn between the
two has the invitation and lacks only a call that nobody had an answer to.
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
    """A call as the emulator decided it. `time` is the moment of the decision, in epoch seconds.

    outcome: `created`, `replayed`, `answered` (reads), `throttled`, an error code, `none` (by a fault).
    fault: what was done to the answer, if anything. charged: whether it took from the account's quota.
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
    """An invitation that the emulator committed. `number` counts from 0; `call` is the number of the call.

    body_sha256: of the canonical JSON of the request, so that the order of its keys does not matter.
    content_sha256: the same without the token: catalog, engagement and invitation.
    request: as it came. Test data by definition: this is no place for real people.
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
    """Read one line of a ledger. Raises ValueError for anything that is not one of the two entries."""
    members = orjson.loads(line)
    try:
        kind: type[CallEntry | InvitationEntry] = _KINDS[members.pop("entry")]
        return kind(**members)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError("not an entry of an emulator's ledger") from error
