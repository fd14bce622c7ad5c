"""Partner Central in virtual time: the emulator's decisions, and a network that loses, delays and breaks off.

A call that has left is executed when its time comes, even if its sender has ended.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Protocol

import anyio
import orjson

from bulk_invite.domain.tokens import canonical_json
from bulk_invite.rehearsal.emulator import responses as emulated
from bulk_invite.rehearsal.emulator.audit import CREATE
from bulk_invite.rehearsal.emulator.call import Call
from bulk_invite.rehearsal.emulator.faults import Draw
from bulk_invite.rehearsal.emulator.ids import request_id
from bulk_invite.rehearsal.emulator.ledger import Ledger
from bulk_invite.rehearsal.emulator.options import Options
from bulk_invite.rehearsal.emulator.service import PartnerCentral
from bulk_invite.rehearsal.emulator.state import ServiceState
from bulk_invite.validation.service_model import load
from faults.courses import Roads

EPOCH: Final = 1_800_000_000.0
ACCOUNT: Final = "111122223333"
_MODEL: Final = load()
_CONFLICT: Final = emulated.refusal("ConflictException", "This was invited to already.")
_NO_FAULT: Final = Draw(None, after=False, gives_up=False, jitter=0.0)


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that is wrong from `begin` to `end`, in seconds of the simulation.

    kind: `unreachable`, `failing` (5xx to everything); credentials `expired`, `not_renewed` or `refused`.
    """

    kind: str
    begin: float
    end: float


@dataclass(frozen=True, slots=True)
class Manners:
    """How this service behaves.

    variant: what it answers other than the emulator: `""` nothing, `"replay"` a conflict to every remembered
    token, `"content"` a conflict to what was invited to before, `"full"` that an engagement is full, whatever
    the token. full_until: until then, in seconds of the simulation, the account has no room for invitations.
    """

    variant: str
    troubles: tuple[Trouble, ...]
    reads_denied: bool
    read_faults: float
    full_until: float = 0.0


@dataclass(slots=True)
class Attempt:
    """A Create call as it was seen from outside. Times in seconds of the simulation.

    outcome: the service's word, "" where it never looked. verdict: what the sender heard, if it lived to.
    """

    number: int
    run: int
    token: str
    left: float
    fault: str
    outcome: str = ""
    decided: float | None = None
    heard: float | None = None
    verdict: str = ""


class Process(Protocol):
    """A sender, as the service sees it."""

    number: int

    def passes(self, point: str) -> None: ...


@dataclass
class VirtualService:
    """The one service of a simulation; `line` is how a sender reaches it."""

    folder: Path
    options: Options
    roads: Roads
    manners: Manners
    attempts: list[Attempt] = field(default_factory=list)
    bodies: dict[str, str] = field(default_factory=dict)
    made: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    calm: bool = False

    def __post_init__(self) -> None:
        self._ledger = Ledger(self.folder / "ledger.ndjson")
        self.state = ServiceState(self._ledger, self.options)
        self._central = PartnerCentral(self.options, self.state, _MODEL)
        self._numbers = 0
        self._contents: set[bytes] = set()

    def close(self) -> None:
        self._ledger.close()

    def number(self) -> int:
        self._numbers += 1
        return self._numbers

    def trouble(self) -> str:
        now = anyio.current_time()
        return next(
            (each.kind for each in self.manners.troubles if not self.calm and each.begin <= now < each.end),
            "",
        )

    def leave(self, process: Process, body: bytes) -> Attempt:
        """A Create call leaves its sender."""
        token = orjson.loads(body)["ClientToken"]
        digest = sha256(body).hexdigest()
        if self.bodies.setdefault(token, digest) != digest:
            self.broken.append(f"{token} left with two bodies")
        attempt = Attempt(self.number(), process.number, token, anyio.current_time(), "")
        self.attempts.append(attempt)
        return attempt

    def decide(self, operation: str, number: int, request: Any) -> emulated.Answer:
        now = EPOCH + anyio.current_time()
        call = Call(number, operation, ACCOUNT, request_id(self.options.seed, number), request)
        if operation != CREATE:
            return self._central.decide(call, _NO_FAULT, now)[0]
        if (refused := self._refused(request)) is not None:
            self.state.record(call.entry(now, refused.outcome, charged=True))
            return refused
        answer = self._central.decide(call, _NO_FAULT, now)[0]
        if answer.outcome == "created":
            self._contents.add(_content(request))
        return _CONFLICT if answer.outcome == "replayed" and self.manners.variant == "replay" else answer

    def _refused(self, request: Any) -> emulated.Answer | None:
        """The answers of this service before the emulator is called."""
        if self.manners.variant == "content" and _content(request) in self._contents:
            return _CONFLICT
        if not self.calm and anyio.current_time() < self.manners.full_until:
            return emulated.refusal("ServiceQuotaExceededException", "The account is full.")
        if self.manners.variant == "full":
            invited = self.state.of_engagement("Sandbox", request["EngagementIdentifier"])
            if len(invited) >= (self.options.invitations_per_engagement or len(invited) + 1):
                return emulated.refusal("ServiceQuotaExceededException", "It is full.")
        return None


def _content(request: dict[str, Any]) -> bytes:
    return canonical_json({name: value for name, value in request.items() if name != "ClientToken"})
