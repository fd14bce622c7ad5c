"""The events of a row's life that an observer gets, by the program's own decisions; a moment of a run."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from facts import RowFacts, RunFacts
from fakes import invitation

from bulk_invite.domain.admissions import ToSend
from bulk_invite.domain.classify import classify
from bulk_invite.domain.events import Answered
from bulk_invite.domain.next_step import End, next_step
from bulk_invite.domain.observer import Observer
from bulk_invite.domain.transitions import Transition, after_answer
from bulk_invite.domain.verdicts import Answer, HttpAnswer
from bulk_invite.monitoring.status import RunState, RunStatus

BEGAN = 1_800_000_000.0
CREATED = HttpAnswer(200, invitation_id="engi-1", arn="arn:x", request_id="request-1")


class ObservedRow:
    """A row whose attempts and outcome are reported to an observer; with its own clock. seconds: per call."""

    def __init__(self, observer: Observer, token: str, *, line: int = 1, source: str = "rows") -> None:
        self.to_send = ToSend(invitation(token, line=line, engagement=f"eng-{line}", source=source))
        self.now = BEGAN
        self._observer = observer
        self._doubt_since: float | None = None
        self._last: Answered | None = None
        self._attempts = 0
        observer.took_in(self.to_send)

    def attempts(self, *answers: Answer, seconds: float = 0.2) -> ObservedRow:
        for answer in answers:
            self.sends()
            self._answered(answer, seconds)
        return self

    def sends(self) -> ObservedRow:
        """An attempt without an answer yet."""
        self._attempts += 1
        self._observer.sent(self.to_send, self.now)
        return self

    def found(self, transition: Transition) -> ObservedRow:
        """Effects without a call."""
        self._settle(transition, None, "")
        return self

    def ends(self) -> ObservedRow:
        """This run gives up on it."""
        assert self._last is not None
        self._observer.ended(self.to_send, self._last, self._attempts)
        return self

    def _answered(self, answer: Answer, seconds: float) -> None:
        sent_at, self.now = self.now, self.now + seconds
        verdict = classify(answer)
        transition = after_answer(verdict, doubt_since=self._doubt_since, sent_at=sent_at)
        self._settle(transition, seconds, answer.request_id if isinstance(answer, HttpAnswer) else "")

    def _settle(self, transition: Transition, seconds: float | None, request_id: str) -> None:
        token = self.to_send.invitation.client_token
        self._doubt_since = transition.doubt_since
        self._last = transition.event(token, self.now, since=self.now, request_id=request_id)
        self._observer.answered(self.to_send, self._last, seconds)
        if next_step(transition, RowFacts(), RunFacts()) == End():
            self.ends()


def moment(**members: Any) -> RunStatus:
    """A run in progress that has not learned anything yet."""
    unknown = dict.fromkeys(
        field.name
        for field in fields(RunStatus)
        if field.type in {"str | None", "int | None", "float | None"}
    )
    counts = {field.name: 0 for field in fields(RunStatus) if field.type == "int"}
    usual: dict[str, Any] = {
        "at": "2026-11-27T20:00:10Z",
        "version": "0.1.0",
        "command": "send",
        "state": RunState.SENDING,
        "ready": True,
        "reasons": {},
        "started": "2026-11-27T20:00:00Z",
        "elapsed_s": 10.0,
        "catalog": "Sandbox",
        "campaign": "",
        "endpoint": "http://127.0.0.1:8080",
        "checkpoint": "bulk-invite.db",
        "sources": ["rows.ndjson"],
        "speed": 9.5,
        **dict.fromkeys(("attempts", "throttled", "in_flight", "sent_last_day"), 0),
        "rate": 9.8,
        "rate_setting": "auto",
        "max_rate": 15.0,
        "max_in_flight": 64,
        "source_lag": {},
        "problems": [],
        "failures": [],
        "controllable": False,
    }
    return RunStatus(**{**unknown, **counts, **usual, **members})
