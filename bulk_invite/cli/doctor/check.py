"""Runs checks one by one, each with a deadline; a check is skipped if one that it needs has failed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import TypeVar

import anyio

from bulk_invite.domain.errors import BulkInviteError
from bulk_invite.partner_central.slow_waits import interrupted_waits
from bulk_invite.runs.wiring.daemon_threads import in_daemon_thread

_Seen = TypeVar("_Seen")


class Result(StrEnum):
    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Found:
    """What a check found. mend: what the operator should do, "" for nothing.

    topic: of the manual, if it is not that of the check.
    """

    result: Result
    found: str
    mend: str = ""
    topic: str = ""


def ok(found: str) -> Found:
    return Found(Result.OK, found)


def warning(found: str, mend: str = "") -> Found:
    return Found(Result.WARNING, found, mend)


def failed(found: str, mend: str = "", topic: str = "") -> Found:
    return Found(Result.FAILED, found, mend, topic)


def skipped(found: str, mend: str = "") -> Found:
    return Found(Result.SKIPPED, found, mend)


@dataclass(frozen=True, slots=True)
class Check:
    """look: BulkInviteError and OSError are failures. needs: names of earlier checks that must not fail.

    topic: of the manual, shown with warnings and failures.
    """

    name: str
    look: Callable[[], Awaitable[Found]]
    needs: tuple[str, ...] = ()
    topic: str = "operations"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of a check; the JSON has these keys. topic: "" unless it is a warning or a failure."""

    name: str
    result: Result
    found: str
    mend: str
    topic: str
    seconds: float


def blocking(
    name: str, look: Callable[[], Found], needs: tuple[str, ...] = (), topic: str = "operations"
) -> Check:
    """A check whose `look` blocks its thread."""
    return Check(name, partial(on_thread, look), needs, topic)


async def on_thread(look: Callable[[], _Seen]) -> _Seen:
    """Run `look` on a daemon thread; see `in_daemon_thread`."""
    return await asyncio.wrap_future(in_daemon_thread(look))


async def run_in_order(
    checks: Sequence[Check], deadline: float, report: Callable[[Finding], None]
) -> list[Finding]:
    """Run the checks in order and report each as it ends. deadline: seconds for one check."""
    findings: list[Finding] = []
    broken: dict[str, str] = {}
    for check in checks:
        began = time.monotonic()
        cause = next((broken[name] for name in check.needs if name in broken), None)
        found = await _found(check, deadline) if cause is None else skipped(f"because {cause} failed")
        if found.result is Result.FAILED:
            broken[check.name] = check.name
        elif cause is not None:
            broken[check.name] = cause
        topic = (found.topic or check.topic) if found.result in {Result.WARNING, Result.FAILED} else ""
        seconds = round(time.monotonic() - began, 3)
        finding = Finding(check.name, found.result, found.found, found.mend, topic, seconds)
        report(finding)
        findings.append(finding)
    return findings


async def _found(check: Check, deadline: float) -> Found:
    with interrupted_waits() as waits, anyio.move_on_after(deadline):
        try:
            return await check.look()
        except BulkInviteError as error:
            return failed(error.args[0], error.hint, error.topic)
        except OSError as error:
            return failed(f"{error.strerror or type(error).__name__}.", "Check the disk and the permissions.")
    waited = f", waiting for {waits[0]}" if waits else ""
    return failed(
        f"No answer within {deadline:g} s{waited}.",
        "Check the network in between; --call-timeout sets how long a check may take (10 s at most).",
    )
