"""The checks that a run with these settings needs, in order."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from bulk_invite.cli.doctor.check import Check, Finding, Found, blocking, run_in_order, skipped
from bulk_invite.cli.doctor.checkpoint import CheckpointChecks, check_catalog, check_open_files
from bulk_invite.cli.doctor.configuration import check_configuration
from bulk_invite.cli.doctor.filesystem import check_free_space, check_results
from bulk_invite.cli.doctor.monitoring import (
    check_health_file,
    check_log_file,
    check_port,
    check_token,
    check_webhook,
)
from bulk_invite.cli.doctor.partner_central import ServiceChecks
from bulk_invite.cli.doctor.sources import check_source, check_write_back, shown_name
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.settings.value_types import is_database


async def run_checks(
    settings: Settings,
    sources: Sequence[str],
    config: Path | None,
    deadline: float,
    printer: Callable[[Sequence[str]], Callable[[Finding], None]],
) -> list[Finding]:
    """Check everything that a run with these settings needs. deadline: seconds for one check.

    config: the file given by --config. printer: takes the names of all checks and returns the function that
    reports each finding.
    """
    async with AsyncExitStack() as stack:
        checks = checks_of(settings, sources, config, stack, deadline)
        return await run_in_order(checks, deadline, printer([check.name for check in checks]))


def checks_of(
    settings: Settings, sources: Sequence[str], config: Path | None, stack: AsyncExitStack, deadline: float
) -> list[Check]:
    """All checks in order. stack: holds the connections that they share."""
    # Steps time out before their check does: the error of a step says more.
    step_timeout = deadline * 0.45
    service = ServiceChecks(settings, stack, step_timeout)
    place = CheckpointChecks(settings)
    return [
        blocking("configuration", partial(check_configuration, settings, config, os.environ)),
        *_of_service(service, settings),
        *_of_place(place, service, settings),
        *_of_sources(settings, sources, step_timeout),
        *_of_control(settings, step_timeout),
    ]


def _of_service(service: ServiceChecks, settings: Settings) -> list[Check]:
    # With --endpoint-url, STS calls go there, too.
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


def _of_place(place: CheckpointChecks, service: ServiceChecks, settings: Settings) -> list[Check]:
    async def owner() -> Found:
        from_service = service.owner
        return await blocking("", lambda: place.owner(from_service)).look()

    checks = [
        blocking("catalog", partial(check_catalog, settings.catalog)),
        blocking("checkpoint", place.look, topic="troubleshooting"),
        Check("owner", owner, ("checkpoint",), "troubleshooting"),
        blocking("sender", place.sender, ("checkpoint",), "troubleshooting"),
    ]
    checks.append(blocking("open files", partial(check_open_files, settings)))
    if place.folder is not None or settings.results is not None:
        checks.append(blocking("disk", partial(check_free_space, place.folder, settings.results)))
    if settings.results is not None:
        checks.append(blocking("results", partial(check_results, settings.results), topic="results"))
    return checks


def _of_sources(settings: Settings, sources: Sequence[str], seconds: float) -> list[Check]:
    checks: list[Check] = []
    for number, name in enumerate(dict.fromkeys(sources), start=1):
        title = f"source {shown_name(name)}"
        if any(check.name == title for check in checks):  # several databases
            title = f"{title} ({number})"
        look = partial(check_source, name, settings, seconds)
        topic = "postgresql" if is_database(name) else "rows"
        checks.append(blocking(title, look, ("configuration",), topic))
    if not sources:
        checks.append(
            blocking(
                "source", lambda: skipped("No source was given", "Add the sources that the run will send.")
            )
        )
    if settings.write_back is not None:
        written = partial(check_write_back, sources, settings.write_back, settings)
        checks.append(blocking("write-back", written, tuple(check.name for check in checks), "postgresql"))
    return checks


def _of_control(settings: Settings, seconds: float) -> list[Check]:
    checks = []
    if settings.listen is not None:
        checks.append(blocking("control port", partial(check_port, settings.listen), topic="monitoring"))
        checks.append(blocking("control token", partial(check_token, settings), topic="monitoring"))
    if settings.health_file is not None:
        look = partial(check_health_file, settings.health_file)
        checks.append(blocking("health file", look, topic="monitoring"))
    if settings.notify_url is not None:
        checks.append(
            Check("webhook", partial(check_webhook, settings.notify_url, seconds), topic="monitoring")
        )
    if settings.log_file is not None:
        checks.append(blocking("log file", partial(check_log_file, settings.log_file), topic="monitoring"))
    return checks
