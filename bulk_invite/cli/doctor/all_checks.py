"""Which checks a run of these settings asks for, in their order."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from bulk_invite.cli.doctor.check import Check, Finding, Found, blocking, examine, skipped
from bulk_invite.cli.doctor.checkpoint import Place, look_at_catalog, look_at_files
from bulk_invite.cli.doctor.configuration import look_at_configuration
from bulk_invite.cli.doctor.filesystem import look_at_results, look_at_room
from bulk_invite.cli.doctor.monitoring import (
    look_at_health_file,
    look_at_log_file,
    look_at_port,
    look_at_token,
)
from bulk_invite.cli.doctor.partner_central import Service
from bulk_invite.cli.doctor.sources import look_at_outcomes, look_at_source, told_name
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.settings.value_types import is_database


async def run_checks(
    settings: Settings,
    sources: Sequence[str],
    config: Path | None,
    deadline: float,
    teller: Callable[[Sequence[str]], Callable[[Finding], None]],
) -> list[Finding]:
    """Look at all that a run of these settings needs. deadline: seconds for one check.

    config: the file that --config names. teller: makes what is told each finding, of the names of all checks.
    """
    async with AsyncExitStack() as stack:
        checks = checks_of(settings, sources, config, stack, deadline)
        return await examine(checks, deadline, teller([check.name for check in checks]))


def checks_of(
    settings: Settings, sources: Sequence[str], config: Path | None, stack: AsyncExitStack, deadline: float
) -> list[Check]:
    """All of them, in their order. stack: of what they leave open for each other."""
    # Half of the check's time for a step: the sentence of a step that fails says more than that of the check.
    patience = deadline * 0.45
    service = Service(settings, stack, patience)
    place = Place(settings)
    return [
        blocking("configuration", partial(look_at_configuration, settings, config, os.environ)),
        *_of_service(service, settings),
        *_of_place(place, service, settings),
        *_of_sources(settings, sources, patience),
        *_of_control(settings),
    ]


def _of_service(service: Service, settings: Settings) -> list[Check]:
    # With an endpoint of one's own, STS is asked there too.
    near = ("endpoint",) if settings.endpoint_url else ()
    asked = ("endpoint", "credentials", "account")
    return [
        Check("endpoint", service.endpoint),
        Check("clock", service.clock, ("endpoint",)),
        Check("credentials", service.credentials, ("configuration",)),
        Check("account", service.account, (*near, "credentials")),
        Check("look-ups", service.listing, asked, "unknown-outcomes"),
        Check("sending", service.sending),
    ]


def _of_place(place: Place, service: Service, settings: Settings) -> list[Check]:
    async def owner() -> Found:
        from_service = service.owner
        return await blocking("", lambda: place.owner(from_service)).look()

    checks = [
        blocking("catalog", partial(look_at_catalog, settings.catalog)),
        blocking("checkpoint", place.look, topic="troubleshooting"),
        Check("owner", owner, ("checkpoint",), "troubleshooting"),
        blocking("sender", place.sender, ("checkpoint",), "troubleshooting"),
    ]
    checks.append(blocking("open files", partial(look_at_files, settings)))
    if place.folder is not None or settings.results is not None:
        checks.append(blocking("disk", partial(look_at_room, place.folder, settings.results)))
    if settings.results is not None:
        checks.append(blocking("results", partial(look_at_results, settings.results), topic="results"))
    return checks


def _of_sources(settings: Settings, sources: Sequence[str], seconds: float) -> list[Check]:
    checks: list[Check] = []
    for number, name in enumerate(dict.fromkeys(sources), start=1):
        called = f"source {told_name(name)}"
        if any(check.name == called for check in checks):  # several databases
            called = f"{called} ({number})"
        look = partial(look_at_source, name, settings, seconds)
        topic = "postgresql" if is_database(name) else "rows"
        checks.append(blocking(called, look, ("configuration",), topic))
    if not sources:
        checks.append(blocking("source", lambda: skipped("None was named", "Name what would be sent.")))
    if settings.write_back is not None:
        written = partial(look_at_outcomes, sources, settings.write_back, settings)
        checks.append(blocking("write-back", written, tuple(check.name for check in checks), "postgresql"))
    return checks


def _of_control(settings: Settings) -> list[Check]:
    checks = []
    if settings.listen is not None:
        checks.append(blocking("control port", partial(look_at_port, settings.listen), topic="monitoring"))
        checks.append(blocking("control token", partial(look_at_token, settings), topic="monitoring"))
    if settings.health_file is not None:
        look = partial(look_at_health_file, settings.health_file)
        checks.append(blocking("health file", look, topic="monitoring"))
    if settings.log_file is not None:
        checks.append(blocking("log file", partial(look_at_log_file, settings.log_file), topic="monitoring"))
    return checks
