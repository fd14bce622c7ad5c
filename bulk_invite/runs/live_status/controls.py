"""Changes that an operator makes to a running process; they outlive the rounds and sessions of `serve`."""

from __future__ import annotations

from collections.abc import Callable

from bulk_invite.delivery.worker_pool import MAX_IN_FLIGHT, InFlight
from bulk_invite.domain.errors import UsageError
from bulk_invite.monitoring.status import Rate
from bulk_invite.pacing.pacer import Pacer
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.settings.value_types import LEAST_RATE
from bulk_invite.runs.wiring.open_files import raise_file_limit
from bulk_invite.runs.wiring.pacing import limits_of

_OF_PACING = ("rate", "max_rate", "pace", "daily_quota")


class RunControls:
    """Rate, rows in flight, pause and drain of this process; a new process starts from its configuration."""

    def __init__(self, settings: Settings, drain: Callable[[], None], is_ending: Callable[[], bool]) -> None:
        """drain: ends the run cleanly. is_ending: whether the run is ending."""
        self.in_flight = InFlight(settings.max_in_flight)
        self.paused = False
        self.rate: Rate = settings.rate
        self._settings = settings
        self._drain = drain
        self._is_ending = is_ending
        self._pacer: Pacer | None = None

    @property
    def ending(self) -> bool:
        return self._is_ending()

    def configure(self, settings: Settings) -> None:
        """Apply a reloaded configuration: settings that it changes override earlier changes over HTTP."""
        before, self._settings = self._settings, settings
        if any(getattr(settings, name) != getattr(before, name) for name in _OF_PACING):
            self.rate = settings.rate
        if settings.max_in_flight != before.max_in_flight:
            self.change_max_in_flight(settings.max_in_flight)

    def govern(self, pacer: Pacer) -> None:
        """Control this pacer from now on."""
        self._pacer = pacer
        if self.paused:
            pacer.pause()
        if self.rate != self._settings.rate:
            self._apply_rate()

    def pause(self) -> bool:
        before, self.paused = self.paused, True
        if self._pacer is not None:
            self._pacer.pause()
        return before

    def resume(self) -> bool:
        before, self.paused = self.paused, False
        if self._pacer is not None:
            self._pacer.resume()
        return before

    def change_rate(self, rate: Rate) -> Rate:
        if rate != "auto" and rate < LEAST_RATE:
            raise ValueError(
                f"The rate must be at least {LEAST_RATE} calls per second. To stop sending, pause the run."
            )
        before, self.rate = self.rate, rate
        try:
            self._apply_rate()
        except UsageError as error:
            self.rate = before
            raise ValueError(str(error)) from error
        return before

    def _apply_rate(self) -> None:
        limits = limits_of(self._settings.model_copy(update={"rate": self.rate}))
        if self._pacer is not None:
            self._pacer.limit(limits.rate, seek=limits.seek)

    def change_max_in_flight(self, limit: int) -> int:
        if not 1 <= limit <= MAX_IN_FLIGHT:
            raise ValueError(f"Rows in flight must be between 1 and {MAX_IN_FLIGHT}.")
        try:
            raise_file_limit(self._settings, limit)
        except UsageError as error:
            raise ValueError(str(error)) from error
        before = self.in_flight.limit
        self.in_flight.change(limit)
        return before

    def drain(self) -> None:
        self._drain()
