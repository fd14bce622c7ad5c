"""Tasks beside a run: HTTP server, health file, metrics, traces and webhook."""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Literal

import anyio
from anyio.to_thread import run_sync

from bulk_invite.delivery.tracking.observers import Observers
from bulk_invite.domain.errors import BulkInviteError
from bulk_invite.domain.holder import Holder
from bulk_invite.domain.observer import Observer
from bulk_invite.monitoring.health import Health
from bulk_invite.monitoring.health_file import HealthFile
from bulk_invite.runs.live_status.control_token import control_token
from bulk_invite.runs.live_status.controls import RunControls
from bulk_invite.runs.live_status.monitor import Monitor
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.settings.value_types import host_and_port

if TYPE_CHECKING:
    from bulk_invite.monitoring.tracing.spans import Tracing
    from bulk_invite.monitoring.webhook import Notifications

Watch = Callable[[], Awaitable[None]]


class Oversight:
    """`run` executes a command with these tasks beside it; `observer` receives the events of the flow."""

    def __init__(
        self,
        command: Literal["send", "serve"],
        settings: Settings,
        sources: Sequence[str],
        health: Health,
        controls: RunControls,
    ) -> None:
        """sources: names that may be shown. Raises UsageError and ControlError."""
        self._settings = settings
        self._token = control_token(settings)
        self.health = health
        self.controls = controls
        self.monitor = Monitor(
            command, settings, sources, health, controls, controllable=self._token is not None
        )
        self._notifications: Notifications | None = None
        self._tracing: Tracing | None = None
        self._watches: list[Watch] = []
        observers: list[Observer] = [self.monitor.calls]
        if settings.listen is not None:
            observers.append(self._listen(settings.listen))
        if settings.health_file is not None:
            self._watches.append(partial(HealthFile(settings.health_file).keep, health.view))
        if settings.notify_url is not None:
            self._notify(settings.notify_url)
        if settings.tracing:
            self._tracing = self._trace()
            observers.append(self._tracing)
        self.observer = Observers(observers)

    async def run(self, body: Callable[[], Awaitable[int]], end: Callable[[BulkInviteError], None]) -> int:
        """Run `body` and return its exit code. end: ends the body cleanly where a task beside it has failed.

        Raises BulkInviteError: the error of the body, or of a task beside it.
        """
        failures: list[BulkInviteError] = []
        code = BulkInviteError.exit_code

        async def beside(watch: Watch) -> None:
            try:
                await watch()
            except BulkInviteError as error:
                failures.append(error)
                end(error)

        async with anyio.create_task_group() as group:
            for watch in self._watches:
                group.start_soon(beside, watch)
            try:
                code = await body()
            except BulkInviteError as error:
                code = error.exit_code
                failures.insert(0, error)
            finally:
                with anyio.CancelScope(shield=True):
                    await self._finish(failures[0].exit_code if failures else code)
            group.cancel_scope.cancel()
        if failures:
            raise failures[0]
        return code

    def waits_for_checkpoint(self, reason: str, holder: Holder | None) -> None:
        """The checkpoint cannot be opened yet. holder: the sender that has it, if that is why."""
        self.monitor.holder = holder
        self.health.checkpoint.fails(reason)

    def waits_for_account(self) -> None:
        """Another checkpoint in the same database is sending for the account."""
        self.monitor.holder = Holder("the sender of another checkpoint in the same database")

    def has_checkpoint(self) -> None:
        """The checkpoint is open, and ours."""
        self.monitor.holder = None
        self.health.checkpoint.answers()

    async def _finish(self, code: int) -> None:
        status = await self.monitor.finish(code)
        async with anyio.create_task_group() as group:
            if self._notifications is not None:
                group.start_soon(self._notifications.finish, status)
            if self._tracing is not None:
                group.start_soon(partial(run_sync, self._tracing.close))

    def _listen(self, address: str) -> Observer:
        """Serve HTTP there. The web server is imported only where it is needed."""
        from bulk_invite.monitoring.http.api import api_routes  # noqa: PLC0415
        from bulk_invite.monitoring.http.changes import change_routes  # noqa: PLC0415
        from bulk_invite.monitoring.http.manual_pages import manual_routes  # noqa: PLC0415
        from bulk_invite.monitoring.http.pages import page_routes  # noqa: PLC0415
        from bulk_invite.monitoring.http.probes import health_routes  # noqa: PLC0415
        from bulk_invite.monitoring.http.server import serve  # noqa: PLC0415
        from bulk_invite.monitoring.metrics.loop_delay import watch_loop  # noqa: PLC0415
        from bulk_invite.monitoring.metrics.prometheus import Metrics  # noqa: PLC0415

        monitor, metrics = self.monitor, Metrics(self.monitor.view)

        async def exposition(accept: str) -> tuple[bytes, str]:
            await monitor.status()  # refreshes the figures of the checkpoint
            return metrics.exposition(accept)

        routes = [
            *health_routes(self.health.view),
            *page_routes(),
            *manual_routes(),
            *api_routes(monitor, exposition),
            *change_routes(monitor, self.controls, self._token),
        ]
        self._watches.append(partial(serve, *host_and_port(address), routes))
        self._watches.append(monitor.keep_history)
        self._watches.append(partial(watch_loop, metrics.loop_was_late))
        return metrics

    def _trace(self) -> Tracing:
        from bulk_invite.monitoring.tracing.setup import open_tracing  # noqa: PLC0415 - likewise

        return open_tracing(version("bulk-invite"))

    def _notify(self, url: str) -> None:
        from bulk_invite.monitoring.webhook import Notifications  # noqa: PLC0415 - likewise

        self._notifications = Notifications(url, random.random, time.monotonic)
        self._watches.append(self._notifications.run)
        self._watches.append(partial(self.monitor.publish, self._notifications.receive))
