"""What keeps a service going: sessions one after the other, whatever happens to them that can heal."""

from __future__ import annotations

import random
import signal
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
from bulk_invite.monitoring.health import Health, Part
from bulk_invite.runs.live_status.watchers import Oversight
from bulk_invite.runs.output.logs import configure_logs
from bulk_invite.runs.serve_session import Session
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.wiring.open_files import make_room
from bulk_invite.runs.wiring.pacing import limits_of
from bulk_invite.runs.wiring.signals import break_off_for_sure
from bulk_invite.runs.wiring.validator import make_validator
from bulk_invite.sources.pipe import Pipe

_log = structlog.get_logger()

_WELL: Final = 60.0
"""Seconds that a session has lasted when what ends it is a new trouble, not the last one."""

_STOP: Final = (signal.SIGINT, signal.SIGTERM)

_FIXED: Final = (
    "catalog",
    "endpoint_url",
    "region",
    "profile",
    "campaign",
    "token_from",
    "checkpoint",
    "checkpoint_schema",
    "listen",
    "control_token_file",
    "health_file",
    "notify_url",
    "tracing",
)
"""Settings that say who is invited, by whom and where: they do not change under what is sent already."""


class Supervisor:
    """Runs sessions until a signal ends it. reload: reads the configuration anew; may raise UsageError."""

    def __init__(
        self, names: Sequence[str], settings: Settings, reload: Callable[[], Settings], health: Health
    ) -> None:
        self.interrupted = False
        self.settings = settings
        self._names = names
        self._reload = reload
        self._health = health
        self._at_hand: Session | StopSwitch = StopSwitch()
        self._ending = False
        self._reloading = False
        self._pipes: dict[str, Pipe] = {}
        self._recollection = RecentWrites()
        self._begun = False
        self._proven: Settings | None = None

    async def run(self, oversight: Oversight) -> None:
        """Return when told to end, or when no source goes on.

        Raises BulkInviteError for what does not heal.
        """
        failures, trusted = 0, True
        while not self.is_ending():
            began = time.monotonic()
            if self._reloading:
                self._read_configuration()
            session = self._at_hand = Session(
                self._names,
                self.settings,
                self._health,
                oversight,
                self._pipes,
                self._recollection,
                trusted=trusted,
            )
            try:
                await session.run()
            except BulkInviteError as error:
                self._note_begun(session)
                if self._put_back(session, error):
                    continue
                if self.is_ending() and error.retryable and not session.begun:
                    return  # it was waiting, and nothing is left undone
                if self.is_ending() or not self._is_retryable(error):
                    raise
                trusted = not isinstance(error, SenderError)
                failures = 1 if time.monotonic() - began > _WELL else failures + 1
                await self._wait(error, failures)
            else:
                self._note_begun(session)
                if not self._reloading:
                    return

    async def watch_signals(self) -> None:
        """Go on until cancelled; after that signals are ignored, lest the result be lost to a late one."""
        try:
            with anyio.open_signal_receiver(*_STOP, signal.SIGHUP) as signals:
                async for number in signals:
                    self._heed(number)
        finally:
            # The receiver puts the default handlers back.
            for each in (*_STOP, signal.SIGHUP):
                signal.signal(each, signal.SIG_IGN)

    @property
    def begun(self) -> bool:
        """Whether it ever came as far as to send."""
        return self._begun

    def is_ending(self) -> bool:
        return self._ending

    def end(self) -> None:
        """Finish what is in flight, and no more."""
        self._ending = True
        self._at_hand.drain()

    def _heed(self, number: signal.Signals) -> None:
        if number == signal.SIGHUP:
            _log.info(
                "serve.reloading", now="finishing calls in flight, then continuing with the new configuration"
            )
            self._reloading = True
            self._at_hand.drain()
        elif self._ending:
            _log.warning("run.aborting", signal=number.name)
            self.interrupted = True
            self._at_hand.abort()
            break_off_for_sure()
        else:
            _log.warning(
                "run.draining", signal=number.name, now="finishing calls in flight; signal again to abort"
            )
            self.end()

    def _note_begun(self, session: Session) -> None:
        if session.begun:
            self._begun, self._proven = True, self.settings

    def _put_back(self, session: Session, error: BulkInviteError) -> bool:
        """Whether a new configuration did not even begin, and the one before is taken again."""
        if session.begun or error.retryable or self._proven in (None, self.settings) or self.is_ending():
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
            # Once it was ours: whoever has it now may be the ghost of a connection that broke.
            return self._begun or self.settings.wait_for_lock
        # What a source was refused for at the start is a mistake; later on somebody is working on it.
        return error.retryable or (self._begun and isinstance(error, SourceError))

    async def _wait(self, error: BulkInviteError, failures: int) -> None:
        delay = UNREACHABLE.delay(failures, random.random)
        self._part_of(error).fails(str(error))
        _log.warning(
            "serve.retrying", reason=str(error), next_try=utc_text(time.time() + delay), tries=failures
        )
        stop = self._at_hand = StopSwitch()
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
            settings = self._reload()
            limits_of(settings)
            make_room(settings)
            make_validator(settings)
            if fixed := [name for name in _FIXED if getattr(settings, name) != getattr(self.settings, name)]:
                raise UsageError(f"Only a new start changes {', '.join(fixed)}.")
            configure_logs(settings)  # the last of what may be refused: it changes something
        except BulkInviteError as error:
            _log.error(
                "serve.configuration_rejected",
                reason=str(error),
                now="continuing with the previous configuration",
            )
            return
        old, new = self.settings.model_dump(), settings.model_dump()
        _log.info("serve.configuration_reloaded", changed=[name for name in new if new[name] != old[name]])
        self.settings = settings
