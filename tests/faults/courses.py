"""The course of one call, drawn from the seed and the call's number. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Final

from bulk_invite.domain.verdicts import Answer, HttpAnswer, NoAnswer

REFUSED: Final = NoAnswer(("EndpointConnectionError", "ClientConnectorError"))
NOT_CONNECTED: Final = NoAnswer(("ConnectTimeoutError", "ConnectionTimeoutError"))
TIMED_OUT: Final = NoAnswer(("TimeoutError",))
RESET: Final = NoAnswer(("EndpointConnectionError", "ClientOSError"))

SPOILT: Final[Mapping[str, Answer]] = {
    "error_500": HttpAnswer(500, code="InternalServerException"),
    "error_503": HttpAnswer(503, code="503"),
    "reset": RESET,
    "close": NoAnswer(("ConnectionClosedError", "ServerDisconnectedError")),
    "truncate": NoAnswer(("ConnectionClosedError", "ClientPayloadError")),
    "unreadable": NoAnswer(("JSONDecodeError", "ResponseParserError")),
    "empty": HttpAnswer(200),
}
"""The result that the sender gets in place of the answer, in the words of `partner_central.responses`."""

KINDS: Final = (*SPOILT, "late", "late_silent", "slow", "crawl", "throttle")


@dataclass(frozen=True, slots=True)
class Course:
    """Seconds from leaving. decided: when the service looks at the call; None where it never does.

    fault: its name, "" for none. hears: what the sender gets in place of the answer, None for the answer.
    """

    fault: str
    decided: float | None
    heard: float
    hears: Answer | None

    def by(self, deadline: float) -> Course:
        """The same for a sender that waits no longer than that."""
        if self.heard <= deadline:
            return self
        return Course(self.fault or "slow", self.decided, deadline, TIMED_OUT)


@dataclass(frozen=True, slots=True)
class Roads:
    """How calls travel. latency: usual seconds to the service; faults: probability of each of `KINDS`.

    latest: seconds after leaving within which every call is carried out, if it ever is. waits: probability
    that a call waits before it leaves, for up to `longest_wait` seconds.
    """

    seed: int
    latency: float
    faults: Mapping[str, float]
    latest: float
    deadline: float
    waits: float = 0.0
    longest_wait: float = 0.0

    def wait(self, chance: Random) -> float:
        """Seconds between an intent and its first byte, at either side of the clearance: most are short."""
        return self.longest_wait * chance.random() ** 4 if chance.random() < self.waits else 0.0

    def course(self, number: int, *, calm: bool) -> Course:
        chance = Random(f"{self.seed}/course/{number}")
        there = self.latency * chance.lognormvariate(0.0, 0.5)
        back = self.latency * chance.lognormvariate(0.0, 0.5)
        fault = "" if calm else self._pick(chance.random())
        arrives = chance.random() < 0.5
        match fault:
            case "":
                course = Course("", there, there + back, None)
            case "late":
                course = Course(fault, chance.uniform(there, self.latest), there, RESET)
            case "late_silent":
                course = Course(fault, chance.uniform(there, self.latest), self.deadline, TIMED_OUT)
            case "slow":
                course = Course(fault, there, chance.uniform(there, 2 * self.deadline), None)
            case "crawl":
                decided = chance.uniform(there, self.deadline)
                course = Course(fault, decided, decided + back, None)
            case "throttle":
                throttled = HttpAnswer(
                    400, code="ThrottlingException", retry_after=chance.choice([None, 0.5])
                )
                course = Course(fault, None, there + back, throttled)
            case _:
                course = Course(fault, there if arrives else None, there + back, SPOILT[fault])
        return course.by(self.deadline)

    def _pick(self, which: float) -> str:
        for fault, probability in self.faults.items():
            if which < probability:
                return fault
            which -= probability
        return ""
