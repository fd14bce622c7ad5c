"""`serve` from its start to its end: runs sessions one after the other, and waits out transient failures."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import Final

import anyio
import structlog

from bulk_invite.checkpoint.recent_writes import RecentWrites
from bulk_invite.delivery.tracking.stop_switch import StopSwitch
from bulk_invite.domain.backoff import UNREACHABLE
from bulk_invite.domain.clock import utc_text
from bulk_invite.domain.errors import (
    BulkInviteError,
    CheckpointError,
    CheckpointHeldError,
    SenderError,
    SourceError,
    UsageError,
)
from bulk_invite.domain.records import Owner
from bulk_invite.monitoring.health import Health, Part
from bulk_invite.runs.live_status.watchers import Oversight
from bulk_invite.runs.output.logs import configure_logs
from bulk_invite.runs.serve_session import Session
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.settings.options import OPTIONS
from bulk_invite.runs.wiring.open_files import raise_file_limit
from bulk_invite.runs.wiring.pacing import limits_of
from bulk_invite.runs.wiring.signals import Stoppable
from bulk_invite.runs.wiring.validator import make_validator
from bulk_invite.sources.pipe import Pipe

_log = structlog.get_logger()

_WELL: Final = 60.0
"""Seconds after which a failure of a session counts as the first of its kind."""

_FIXED: Final = (
    "catalog",
    "endpoint_url",
    "region",
    "profile",
    "campaign",
    "token_from",
    "key",
    "checkpoint",
    "checkpoint_schema",
    "listen",
    "control_token_file",
    "health_file",
    "notify_url",
    "tracing",
)
"""Settings that say who is invited, by whom and where: a reload must not change them."""


class Supervisor:
    """Runs one session after the other until it is drained; `begun` once one of them has begun to send.

    load: reads the configuration again; may raise UsageError. confirmed: see `require_confirmed`.
    """

    def __init__(
        self,
        names: Sequence[str],
        settings: Settings,
        load: Callable[[], Settings],
        health: Health,
        confirmed: Owner | None = None,
    ) -> None:
        self.draining = self.aborted = False
        self.begun = False
        self.settings = settings
        self._names = names
        self._load = load
        self._health = health
        self._confirmed = confirmed
        self._current: Stoppable = StopSwitch()
        self._reloading = False
        self._pipes: dict[str, Pipe] = {}
        self._recent_writes = RecentWrites()
        self._proven: Settings | None = None

    async def run(self, oversight: Oversight) -> None:
        """Return when drained, or when every source has ended.

        Raises BulkInviteError for a failure that is not transient.
        """
        failures, trusted = 0, True
        while not self._is_draining():
            began = time.monotonic()
            if self._reloading:
                self._read_configuration()
            session = self._session(oversight, trusted=trusted)
            error = await _error_of(session)
            if session.begun:
                self.begun, self._proven = True, self.settings
            if error is None:
                if not self._reloading:
                    return
            elif not self._put_back(session, error):
                if self.draining and error.retryable and not session.begun:
                    return  # it was waiting; no row is open
                if self.draining or not self._is_retryable(error):
                    raise error
                trusted = not isinstance(error, SenderError)
                failures = 1 if time.monotonic() - began > _WELL else failures + 1
                await self._wait(error, failures)

    def _session(self, oversight: Oversight, *, trusted: bool) -> Session:
        session = Session(
            self._names,
            self.settings,
            oversight,
            self._pipes,
            self._recent_writes,
            trusted=trusted,
            confirmed=None if self.begun else self._confirmed,  # then the checkpoint has its owner
        )
        self._current = session
        return session

    def drain(self) -> None:
        """Finish the calls in flight, and end."""
        self.draining = True
        self._current.drain()

    def abort(self) -> None:
        """Abort the calls in flight, too."""
        self.aborted = True
        self._current.abort()

    def reload(self) -> None:
        """Finish the calls in flight, and continue with the configuration as it is then."""
        _log.info(
            "serve.reloading", now="finishing calls in flight, then continuing with the new configuration"
        )
        self._reloading = True
        self._current.drain()

    def _is_draining(self) -> bool:
        return self.draining

    def _put_back(self, session: Session, error: BulkInviteError) -> bool:
        """Whether a new configuration failed before it began, so that the previous one is used again."""
        if session.begun or error.retryable or self._proven in (None, self.settings) or self.draining:
            return False
        assert self._proven is not None  # noqa: S101 - tells the type checker
        self.settings = self._proven
        _log.error(
            "serve.configuration_rejected",
            reason=str(error),
            now="continuing with the previous configuration",
        )
        return True

    def _is_retryable(self, error: BulkInviteError) -> bool:
        if isinstance(error, CheckpointHeldError):
            # The holder may be a broken connection of our own that the server has not noticed yet.
            return self.begun or self.settings.wait_for_lock
        # At the start, a source that is refused is a mistake; later on, it is being changed.
        return error.retryable or (self.begun and isinstance(error, SourceError))

    async def _wait(self, error: BulkInviteError, failures: int) -> None:
        delay = UNREACHABLE.delay(failures, random.random)
        reason = error.while_waiting()
        self._part_of(error).fails(reason)
        _log.warning("serve.retrying", reason=reason, next_try=utc_text(time.time() + delay), tries=failures)
        stop = self._current = StopSwitch()
        with stop.until_drain():
            await anyio.sleep(delay)

    def _part_of(self, error: BulkInviteError) -> Part:
        match error:
            case CheckpointError():
                return self._health.checkpoint
            case SourceError():
                return self._health.source
            case _:
                return self._health.endpoint

    def _read_configuration(self) -> None:
        self._reloading = False
        try:
            settings = self._load()
            limits_of(settings)
            raise_file_limit(settings)
            make_validator(settings)
            if fixed := [name for name in _FIXED if getattr(settings, name) != getattr(self.settings, name)]:
                raise UsageError(f"A reload cannot change {', '.join(fixed)}; restart the service.")
            configure_logs(settings)  # last: it has an effect
        except BulkInviteError as error:
            _log.error(
                "serve.configuration_rejected",
                reason=str(error),
                now="continuing with the previous configuration",
            )
            return
        changed = [name for name in OPTIONS if getattr(settings, name) != getattr(self.settings, name)]
        _log.info("serve.configuration_reloaded", changed=changed)
        self.settings = settings


async def _error_of(session: Session) -> BulkInviteError | None:
    """Run a session; the error that ended it."""
    try:
        await session.run()
    except BulkInviteError as error:
        return error
    return None
