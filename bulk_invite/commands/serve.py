"""`serve`: what a container runs; how it is kept going is told in `supervisor`."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, Final

import anyio
import structlog
import typer

from bulk_invite import logs
from bulk_invite.commands.checkpoints import open_reader
from bulk_invite.commands.pacing import limits_of
from bulk_invite.commands.send import confirm
from bulk_invite.commands.summary import Summary, show
from bulk_invite.errors import EXIT_INTERRUPTED, EXIT_STOPPED, BulkInviteError, CheckpointError
from bulk_invite.forms import host_and_port
from bulk_invite.health import Health
from bulk_invite.health_file import HealthFile
from bulk_invite.options import with_settings
from bulk_invite.settings import SEND_ONLY, SERVE, Settings

if TYPE_CHECKING:
    from bulk_invite.commands.supervisor import Supervisor

_log = structlog.get_logger()

SERVE_EXAMPLES: Final = """
Examples:

  bulk-invite serve postgresql://crm@db.example.com/crm --table invitations --key id

  bulk-invite serve /incoming --checkpoint /state/bulk-invite.db --listen 0.0.0.0:8081

  bulk-invite serve postgresql://crm@db.example.com/crm --table invitations --key id --wait-for-lock
    --checkpoint postgresql://crm@db.example.com/crm --write-back outcomes
"""


@with_settings(*SERVE, refused=SEND_ONLY)
def serve(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="What goes on: postgresql://..., a directory of NDJSON files, a FIFO, - for standard input.",
        ),
    ],
    *,
    settings: Settings,
    reload: Callable[[], Settings],
) -> None:
    """Send new rows as they come, and go on doing so.

    Credentials that have expired, a database or an endpoint that is down and quotas that are used up are
    waited for. The first SIGINT or SIGTERM drains, the second breaks off; SIGHUP reads the configuration file
    again. Exit codes: 0 stopped (or standard input has ended) with nothing left undone; 75 stopped with rows
    pending or in doubt, which the same command goes on with; 2 usage; 4 cannot start or go on; 130 second
    interrupt.
    """
    logs.configure(settings.log_format, settings.log_level)
    limits_of(settings)  # what cannot be asked for is said before anything is asked
    confirm(settings, sources)
    # The SDK takes the better part of a second to import: --help and mistakes do not wait for it.
    from bulk_invite.commands.joining import collect_less  # noqa: PLC0415
    from bulk_invite.commands.supervisor import Supervisor  # noqa: PLC0415

    collect_less()
    health = Health(time.time)
    supervisor = Supervisor(sources, settings, reload, health)
    try:
        anyio.run(_run, supervisor, settings, health, backend_options={"use_uvloop": True})
    finally:
        left = _told(supervisor.settings) if supervisor.begun else 0
    if supervisor.interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)
    raise typer.Exit(EXIT_STOPPED if left else 0)


async def _run(supervisor: Supervisor, settings: Settings, health: Health) -> None:
    """Everything that goes on until the supervisor has ended. Raises BulkInviteError."""
    failure: BulkInviteError | None = None

    async def beside(watch: Callable[[], Awaitable[None]]) -> None:
        """What goes wrong there ends all of it in good order."""
        nonlocal failure
        try:
            await watch()
        except BulkInviteError as error:
            failure = failure or error
            supervisor.end()

    async with anyio.create_task_group() as group:
        group.start_soon(supervisor.watch_signals)
        if settings.listen is not None:
            # A web server that most do not ask for.
            from bulk_invite.control.health import health_routes  # noqa: PLC0415
            from bulk_invite.control.server import serve as answer  # noqa: PLC0415

            host, port = host_and_port(settings.listen)
            group.start_soon(beside, partial(answer, host, port, health_routes(health.view)))
        if settings.health_file is not None:
            group.start_soon(beside, partial(HealthFile(settings.health_file).keep, health.view))
        try:
            await supervisor.run()
        except BulkInviteError as error:
            failure = failure or error
        group.cancel_scope.cancel()
    if failure is not None:
        raise failure


def _told(settings: Settings) -> int:
    """Show the counts of the whole checkpoint; how many rows are left undone, as far as it can be told."""
    try:
        with open_reader(settings) as reader:
            summary = Summary.of_checkpoint(reader.overview(time.time()))
    except CheckpointError as error:
        _log.warning("serve.no_summary", reason=str(error))
        return 1
    show(summary, as_json=settings.json_output)
    return summary.pending + summary.in_doubt
