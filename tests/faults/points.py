"""The labelled points of a run, set from outside: the real methods run, and the test observes them.

A step is something the sender does that a crash could tear apart. It has three points: `before_` it, `in_`
its transaction (every statement is done, nothing is committed) and `after_` it. `sent` and `answered` are
points of a Create call: the request has left, and its answer is here but not yet on the disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import aiohttp
from sqlalchemy import Engine, event

from bulk_invite.checkpoint.writer import CheckpointWriter
from bulk_invite.domain.clearance import Clearance
from bulk_invite.domain.events import Answered, Sent
from bulk_invite.partner_central import PartnerCentral
from bulk_invite.runs.output.results_folder import Results

STEPS: Final = (
    "open",
    "claim",
    "begin_run",
    "admit",
    "intent",
    "commit",
    "end_source",
    "save_pacing",
    "results",
)
CALL: Final = ("sent", "answered")
POINTS: Final = (*(f"{place}_{step}" for step in STEPS for place in ("before", "in", "after")), *CALL)

_RECORDED: Final = (("intent", Sent), ("commit", Answered))
_WHOLE: Final = (
    (CheckpointWriter, "claim", "claim"),
    (CheckpointWriter, "begin_run", "begin_run"),
    (CheckpointWriter, "admit", "admit"),
    (CheckpointWriter, "end_source", "end_source"),
    (CheckpointWriter, "save_pacing", "save_pacing"),
    (Results, "close", "results"),
)
"""Methods that are one step each, whatever they are called with."""

Passed = Callable[[str], None]
"""Called for every point as it is passed."""


def watch(passed: Passed) -> None:
    """Report every point that this process passes from now on."""
    current: list[str] = []

    def around(steps: Sequence[str], call: Callable[[], Any]) -> Any:
        for step in steps:
            passed(f"before_{step}")
        current[:] = steps
        try:
            result = call()
        finally:
            current.clear()
        for step in steps:
            passed(f"after_{step}")
        return result

    def inside(*_: object) -> None:
        for step in tuple(current):
            passed(f"in_{step}")

    event.listen(Engine, "commit", inside)
    for owner, name, step in _WHOLE:
        _observe(owner, name, partial(_always, step), around)
    _observe(CheckpointWriter, "record", _recorded, around)
    opened = CheckpointWriter.open
    _put(CheckpointWriter, "open", staticmethod(lambda *a, **k: around(("open",), lambda: opened(*a, **k))))
    _between_results(inside)
    _around_calls(passed)


def _always(step: str, _: Sequence[Any]) -> tuple[str]:
    return (step,)


def _recorded(arguments: Sequence[Any]) -> list[str]:
    events = arguments[1]
    return [step for step, kind in _RECORDED if any(isinstance(each, kind) for each in events)]


def _observe(
    owner: type, name: str, steps_of: Callable[[Sequence[Any]], Sequence[str]], around: Callable[..., Any]
) -> None:
    real = getattr(owner, name)

    def looked_on(*arguments: Any, **options: Any) -> Any:
        return around(steps_of(arguments), lambda: real(*arguments, **options))

    _put(owner, name, looked_on)


def _between_results(inside: Callable[..., None]) -> None:
    """Results have no transaction: they are in the middle when a file gets its name."""
    real = Path.replace

    def replace(self: Path, target: Any) -> Any:
        inside()
        return real(self, target)

    _put(Path, "replace", replace)


def _around_calls(passed: Passed) -> None:
    started, created = aiohttp.ClientResponse.start, PartnerCentral.create

    async def start(self: aiohttp.ClientResponse, connection: Any) -> Any:
        if self.request_info.headers.get("X-Amz-Target", "").endswith(".CreateEngagementInvitation"):
            if (writing := self._writer) is not None:
                await asyncio.wait([writing])
            await asyncio.sleep(0.001)  # the loop writes to the socket at the end of its round
            passed("sent")
        return await started(self, connection)

    async def create(self: PartnerCentral, body: bytes, clearance: Clearance) -> Any:
        answer = await created(self, body, clearance)
        passed("answered")
        return answer

    _put(aiohttp.ClientResponse, "start", start)
    _put(PartnerCentral, "create", create)


def _put(owner: type, name: str, value: object) -> None:
    setattr(owner, name, value)
