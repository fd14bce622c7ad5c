"""Retry what a broken connection has interrupted, for as long as necessary."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg
import structlog

from bulk_invite.domain.backoff import Backoff
from bulk_invite.domain.errors import SourceError
from bulk_invite.libpq import error_text, is_transient
from bulk_invite.sources.interruptible_wait import wait

_log = structlog.get_logger()

_Done = TypeVar("_Done")


@dataclass(slots=True)
class Reconnecting:
    """event, about: what is logged while the database is unreachable.

    refusal: makes the error to raise for a permanent failure; passing: which failures are transient.
    answering: whether the last try succeeded.
    """

    event: str
    about: dict[str, Any]
    refusal: Callable[[psycopg.Error], SourceError]
    backoff: Backoff
    random: Callable[[], float]
    transient: Callable[[psycopg.Error], bool] = is_transient
    answering: bool = True

    def retry(self, do: Callable[[], _Done], stop: Callable[[], bool], /) -> _Done | None:
        """Return the result, however often the connection breaks; None if a stop came first."""
        failures = 0
        while not stop():
            try:
                done = do()
            except psycopg.Error as error:
                if stop():  # the stop has canceled it
                    break
                self.answering = False
                if not self.transient(error):
                    # Without its traceback: the driver's error contains the statement.
                    raise self.refusal(error) from None
                failures += 1
                delay = self.backoff.delay(failures, self.random)
                _log.warning(self.event, **self.about, reason=error_text(error), next_try_s=round(delay, 1))
                wait(delay, stop)
            else:
                self.answering = True
                return done
        return None
