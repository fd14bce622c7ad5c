"""Wait for permission to call: one call at a time, retries first, as the governor decides."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import anyio
import structlog

from bulk_invite.domain.clock import Clock
from bulk_invite.domain.durations import HOUR, MINUTE
from bulk_invite.domain.records import PacingState
from bulk_invite.domain.verdicts import Signal
from bulk_invite.pacing.governor import Governor
from bulk_invite.pacing.pacing_view import PacingView
from bulk_invite.pacing.parking import Park, Permit, Why
from bulk_invite.pacing.throttle_share import ThrottleShare
from bulk_invite.pacing.token_bucket import TokenBucket

_log = structlog.get_logger()

_LONGEST_SLEEP: Final = 30.0
"""Seconds between two looks at the clock: after a suspension, a machine must not repeat the sleep."""

_WORTH_LOGGING: Final = 1.0
"""Seconds of waiting from which a park is logged."""

_CUT: Final = 0.95
"""Share of the rate below which a new rate is a cut, not everyday tracking."""

_LONG_WAIT: Final = 5.0
"""Seconds of waiting after which a throttle is logged, as a cut is."""

_TICK: Final = 0.001
"""Seconds between two ticks of the event loop's timers."""


class Pacer:
    """Permits to call, spaced by a token bucket whose rate follows the governor."""

    def __init__(self, governor: Governor, *, burst: float | None, clock: Clock) -> None:
        self._governor = governor
        self._clock = clock
        self._bucket = TokenBucket(burst)
        self._turn = _PriorityLock()
        self._shares = ThrottleShare()
        self._changed = anyio.Event()
        self._sleep: anyio.CancelScope | None = None
        self._paused = False
        self._logged_park: Park | None = None
        self._logged_at = 0.0

    def now(self) -> float:
        """Seconds on the clock that `observe` uses."""
        return self._clock.steady()

    async def permit(self, *, retry: bool, unless: Callable[[], bool] = lambda: False) -> Permit | None:
        """Return when a call may leave; a retry takes precedence over waiting new rows.

        Every permit must be returned with `observe` or, if no call was made, with `unused`. unless: called
        when its turn comes, and again whenever it has waited; True if no call is wanted: returns None, and
        nothing is spent.
        """
        await self._turn.take(urgent=retry)
        try:
            while not (unwanted := unless()) and (seconds := self._wait(self.now())) > 0:
                await self._sleep_for(seconds)
            return None if unwanted else self._leave(self.now())
        finally:
            self._turn.pass_on()

    def permit_at_once(self) -> Permit | None:
        """As `permit`, without waiting: None if a call may not leave now, or if another row waits for it."""
        now = self.now()
        return None if self._turn.is_taken or self._wait(now) > 0 else self._leave(now)

    def _leave(self, now: float) -> Permit:
        self._bucket.take(now, self._governor.rate)
        return self._governor.leave(now)

    def _wait(self, now: float) -> float:
        """Seconds until the next call may leave, as far as is known."""
        allowed = math.inf if self._paused else self._governor.earliest(now)
        if allowed > now or self._logged_park is not None:
            self._log_park()
        return max(allowed, self._bucket.earliest(self._governor.rate)) - now

    async def _sleep_for(self, seconds: float) -> None:
        """Sleep that long, or until something happens that may change it."""
        self._changed = anyio.Event()
        with anyio.move_on_after(_whole_ticks(seconds)) as self._sleep:
            await self._changed.wait()
        self._sleep = None

    def _move_wake_up(self, seconds: float) -> None:
        """Let the sleep end in `seconds`: to wake the task only for it to sleep on costs a call 25 us.

        To set a timer anew costs 5 us, so it is done for no less than a tick.
        """
        if self._sleep is not None:
            wake_up = anyio.current_time() + _whole_ticks(seconds)
            if wake_up < self._sleep.deadline - _TICK:
                self._sleep.deadline = wake_up

    def unused(self, permit: Permit) -> None:
        """Return a permit: no call was made."""
        self._governor.unused(permit)
        self._changed.set()

    def observe(
        self,
        permit: Permit,
        signal: Signal,
        *,
        sent_at: float,
        counted: bool,
        retry_after: float | None = None,
    ) -> None:
        """Tell the governor how an attempt that left at `sent_at` has just ended."""
        now = self.now()
        rate, earliest = self._governor.rate, self._governor.earliest(now)
        self._governor.observe(
            permit, signal, sent_at=sent_at, answered_at=now, counted=counted, retry_after=retry_after
        )
        if self._governor.rate < _CUT * rate:
            self._bucket.forfeit()
        if counted or signal is Signal.THROTTLED:
            self._shares.add(now, throttled=signal is Signal.THROTTLED)
        next_call = self._governor.earliest(now)
        if permit.probe and signal is Signal.THROTTLED and (park := self._governor.park(now)) is not None:
            _log.info("run.still_parked", **self._park_fields(park, now))
        if signal is Signal.THROTTLED and (self._governor.rate < rate or next_call > earliest):
            self._log_slowdown(rate, next_call - now)
        if signal is Signal.SUCCESS and not permit.probe and not self._paused and next_call <= now:
            # Only the rate holds the next call back, and at most it has risen a little.
            self._move_wake_up(self._bucket.earliest(self._governor.rate) - now)
        else:
            self._changed.set()

    def missed(self) -> None:
        """Count a call of the last day that had not been counted."""
        self._governor.missed(self.now())

    def pause(self) -> None:
        """Hold all calls back until `resume`; those in flight are not affected."""
        self._paused = True

    def resume(self) -> None:
        self._paused = False
        self._changed.set()

    def limit(self, rate: float, *, seek: bool) -> None:
        """Set another maximum rate; see `RateController.limit`."""
        self._governor.limit(rate, seek=seek)
        # Not since the last call, or repeated changes of the rate would allow extra calls.
        self._bucket.empty(self.now())
        self._changed.set()

    def close(self, why: Why) -> None:
        """Stop all calls except probes."""
        self._governor.close(why, self.now())
        self._changed.set()

    def reopen(self, why: Why) -> None:
        """Allow calls again if they were stopped for this reason."""
        if self._governor.reopen(why):
            self._changed.set()

    def time_left(self, calls: int, rate: float | None) -> float | None:
        """Seconds until that many more calls have left, at `rate` (None: at the current one), if known."""
        return self._governor.time_left(calls, rate or self._governor.rate, self.now())

    def memory(self) -> PacingState:
        """The state for the next run, with times of the wall clock as it is now."""
        memory = self._governor.memory(self.now())
        # The clock's adjustment since then; rounded, because two clocks are never read at exactly the same
        # time.
        set_by = round(self._clock.as_wall(memory.at) - memory.at, 2)
        times = (memory.next_call, memory.parked_until)
        next_call, parked_until = (None if time is None else time + set_by for time in times)
        return replace(memory, at=memory.at + set_by, next_call=next_call, parked_until=parked_until)

    def view(self) -> PacingView:
        now, memory = self.now(), self.memory()
        return PacingView(
            rate=self._governor.rate,
            ceiling=self._governor.ceiling,
            estimate=memory.estimate,
            throttled_minute=self._shares.throttled(now, MINUTE),
            throttled_hour=self._shares.throttled(now, HOUR),
            counted=memory.counted,
            day=self._governor.day,
            learned=memory.learned_quota,
            parked=Why(memory.parked) if memory.parked else None,
            next_call=memory.next_call,
            parked_until=memory.parked_until,
            paused=self._paused,
        )

    def _log_slowdown(self, before: float, wait: float) -> None:
        """Log a slowdown; routine ones of tracking only at debug level."""
        if wait == math.inf:
            return
        rate = self._governor.rate
        say = _log.info if rate < _CUT * before or wait >= _LONG_WAIT else _log.debug
        say("pacing.slowed", rate=round(rate, 3), next_call_s=round(max(0.0, wait), 1))

    def _log_park(self) -> None:
        """Log the beginning and the end of a park, if it is long enough."""
        now = self.now()
        park = self._governor.park(now)
        if park is None or park.next_call - now < _WORTH_LOGGING:
            if self._logged_park is not None and (park is None or park.why is not self._logged_park.why):
                _log.info("run.resumed", why=self._logged_park.why, parked_s=round(now - self._logged_at))
                self._logged_park = None
            return
        if self._logged_park is None or self._logged_park.why is not park.why:
            self._logged_park, self._logged_at = park, now
            _log.warning("run.parked", **self._park_fields(park, now))

    def _park_fields(self, park: Park, now: float) -> dict[str, object]:
        """`until`: when the run resumes by itself, None if unknown; until then it probes at `next_call`."""
        return {
            "why": park.why,
            "until": None if park.until is None else self._clock.text(park.until),
            "next_call": self._clock.text(park.next_call),
            "wait_s": round(park.next_call - now),
            "counted": self._governor.memory(now).counted,
            "day": self._governor.day,
        }


def _whole_ticks(seconds: float) -> float:
    """The time to sleep, up to the next tick of the loop's clock.

    The timers of uvloop have milliseconds: one whose end lies between two of them comes early, and anyio then
    goes around the loop until the next, which costs as much as the call (20 turns at 10 calls a second).
    """
    seconds = min(seconds, _LONGEST_SLEEP)
    # Just before the tick: uvloop rounds it to the tick itself.
    return max(seconds, (math.ceil(seconds / _TICK) - 0.1) * _TICK)


class _PriorityLock:
    """A lock with two queues, one of which takes precedence."""

    def __init__(self) -> None:
        self.is_taken = False
        self._urgent: deque[anyio.Event] = deque()
        self._others: deque[anyio.Event] = deque()

    async def take(self, *, urgent: bool) -> None:
        if not self.is_taken:
            self.is_taken = True
            return
        queue = self._urgent if urgent else self._others
        event = anyio.Event()
        queue.append(event)
        try:
            await event.wait()
        except anyio.get_cancelled_exc_class():
            # Leave the queue, or pass the turn on if it came at the same instant.
            if event.is_set():
                self.pass_on()
            else:
                queue.remove(event)
            raise

    def pass_on(self) -> None:
        queue = self._urgent or self._others
        if queue:
            queue.popleft().set()  # the lock stays taken, now by the waiter that wakes up
        else:
            self.is_taken = False
