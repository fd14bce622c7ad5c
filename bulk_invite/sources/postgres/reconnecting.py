"""Doing again what a connection that broke has cut off, for as long as that takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg
import structlog

from bulk_invite.domain.backoff import Backoff
from bulk_invite.domain.errors import SourceError
from bulk_invite.libpq import is_passing, said
from bulk_invite.sources.interruptible_wait import wait

_log = structlog.get_logger()

_Done = TypeVar("_Done")


@dataclass(slots=True)
class Reconnecting:
    """event, about: what is logged while the database is away, and of what.

    refusal: makes a sentence of an error that does not pass by itself; passing: which ones do.
    answering: whether the last try was a success.
    """

    event: str
    about: dict[str, Any]
    refusal: Callable[[psycopg.Error], SourceError]
    backoff: Backoff
    random: Callable[[], float]
    passing: Callable[[psycopg.Error], bool] = is_passing
    answering: bool = True

    def tried(self, do: Callable[[], _Done], stop: Callable[[], bool], /) -> _Done | None:
        """What it comes to, however often the connection breaks; None when a stop came first."""
        failures = 0
        while not stop():
            try:
                done = do()
            except psycopg.Error as error:
                if stop():  # which has cancelled it
                    break
                self.answering = False
                if not self.passing(error):
                    # Without its traceback: the driver's error carries the statement.
                    raise self.refusal(error) from None
                failures += 1
                delay = self.backoff.delay(failures, self.random)
                _log.warning(self.event, **self.about, reason=said(error), next_try_s=round(delay, 1))
                wait(delay, stop)
            else:
                self.answering = True
                return done
        return None
