"""Checks one after the other: each in its time, and what depends on a failed one is left out."""

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
from bulk_invite.partner_central.slow_start import cut_off
from bulk_invite.runs.wiring.daemon_threads import detached

_Seen = TypeVar("_Seen")


class Result(StrEnum):
    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Found:
    """What a check found; mend: what the operator can do about it, "" where nothing has to be done.

    topic: of the manual, where another one than the check's explains it.
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
    """look: may raise BulkInviteError and OSError, which are failures. needs: checks that come before.

    topic: of the manual, for what it finds.
    """

    name: str
    look: Callable[[], Awaitable[Found]]
    needs: tuple[str, ...] = ()
    topic: str = "operations"


@dataclass(frozen=True, slots=True)
class Finding:
    """The JSON has these keys. topic: "" where all is well."""

    name: str
    result: Result
    found: str
    mend: str
    topic: str
    seconds: float


def blocking(
    name: str, look: Callable[[], Found], needs: tuple[str, ...] = (), topic: str = "operations"
) -> Check:
    """A check that does not let go of its thread."""
    return Check(name, partial(on_thread, look), needs, topic)


async def on_thread(look: Callable[[], _Seen]) -> _Seen:
    """See `detached`."""
    return await asyncio.wrap_future(detached(look))


async def examine(checks: Sequence[Check], deadline: float, tell: Callable[[Finding], None]) -> list[Finding]:
    """Do the checks in their order, and tell of each as it is done. deadline: seconds for one of them."""
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
        tell(finding)
        findings.append(finding)
    return findings


async def _found(check: Check, deadline: float) -> Found:
    with cut_off() as waits, anyio.move_on_after(deadline):
        try:
            return await check.look()
        except BulkInviteError as error:
            return failed(error.args[0], error.hint, error.topic)
        except OSError as error:
            return failed(
                f"{error.strerror or type(error).__name__}.", "Look at the disk and the permissions."
            )
    waited = f", waiting for {waits[0]}" if waits else ""
    return failed(
        f"No answer within {deadline:g} s{waited}.",
        "Look at what stands in between; --call-timeout is how long it may take.",
    )
