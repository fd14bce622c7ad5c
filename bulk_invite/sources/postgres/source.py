"""Rows of a database in key order, across server restarts and while rows wait to be sent.

Invariant: memory holds one page of rows, and no transaction is open while they wait: a page is read
completely before the first of its rows is returned. Only if rows are taken as fast as they arrive
(`validate`), reading continues on the same connection.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from functools import partial

import psycopg
from psycopg import sql

from bulk_invite.domain.backoff import Backoff
from bulk_invite.domain.errors import UsageError
from bulk_invite.domain.rows import Row
from bulk_invite.domain.text_settings import TextSettings
from bulk_invite.libpq import check_address
from bulk_invite.sources.postgres.connection import cancelled_by, connect, refusal
from bulk_invite.sources.postgres.finished_read import HorizonOfRead, count_unchanged
from bulk_invite.sources.postgres.follower import WHOLE_EVERY, Follower, Pace
from bulk_invite.sources.postgres.notify import NotificationListener
from bulk_invite.sources.postgres.pages import Reading, row_of
from bulk_invite.sources.postgres.reconnecting import Reconnecting
from bulk_invite.sources.postgres.selection import Selection
from bulk_invite.sources.postgres.xmin_passes import Horizon, Progress


class PostgresSource:
    """One table or query.

    name: as used in positions, `postgresql:DATABASE/TABLE/KEY`. lines: rows returned so far. size, consumed:
    as for a file; unknown here. all_rows: number of rows when it was opened. answering: whether the last
    query succeeded. poll, whole_every, channel: for `follow`: seconds between two polls, minimum seconds
    between two full passes if xmin does not show what is new, and the NOTIFY channel.
    """

    size: int | None = None

    def __init__(
        self,
        url: str,
        selection: Selection,
        backoff: Backoff,
        random: Callable[[], float],
        *,
        poll: float = 5.0,
        whole_every: float = WHOLE_EVERY,
        channel: str = "bulk_invite",
    ) -> None:
        """Check that it can be read. Raises UsageError for an invalid URL, SourceError for anything else.

        backoff: seconds until a broken connection is renewed; random: uniform in [0, 1).
        """
        self.poll = poll
        self.whole_every = whole_every
        self.channel = channel
        check_address(url)
        self._url = url
        self.lines = self.consumed = 0
        try:
            with connect(url) as connection:
                self._found = selection.resolve(connection)
                self.all_rows = self._found.require_unique(connection)
                connection.execute(self._found.rows(self._found.nowhere))
        except psycopg.Error as error:
            # Without its traceback: the driver's error contains the statement.
            raise refusal("The database cannot be read", error) from None
        self.name = self._found.name
        self._horizon = HorizonOfRead(self._found)
        self._counted: Horizon | None = None
        self._reconnecting = Reconnecting(
            "source.unreachable", {"source": self.name}, partial(refusal, self.name), backoff, random
        )

    @property
    def answering(self) -> bool:
        return self._reconnecting.answering

    def batches(
        self,
        max_rows: int = 500,
        max_bytes: int = 1 << 20,
        stop: Callable[[], bool] = lambda: False,
        *,
        after: str | None = None,
        since: str | None = None,
    ) -> Generator[list[Row]]:
        """Rows in key order, optionally only those after a key; in lists like those of a file.

        since: a mark of `finished`, about which `unchanged` has just answered: only rows written after it.

        A broken connection is renewed, with a backoff, for as long as necessary. Raises SourceError if two
        rows have the same key, or the database no longer allows reading them.
        """
        progress = Progress.of(None if since is None else since.partition(" ")[2])
        first = None if progress.since is None else self._counted
        self._horizon = HorizonOfRead(self._found, progress.since, first)
        reading = Reading(self._url, self._found, after, self._horizon.begin)
        read = partial(self._reconnecting.retry, partial(reading.page, stop), stop)
        with closing(reading.batches(read, max_rows, max_bytes)) as batches:
            for batch in batches:
                self.lines += len(batch)
                yield batch

    @property
    def finished(self) -> str | None:
        """The mark for the next read, when `batches` has returned all rows; None if there is none."""
        mark = self._horizon.mark
        return None if mark is None else f"{self._found.digest} {mark}"

    def unchanged(self, mark: str, stop: Callable[[], bool]) -> int | None:
        """The number of rows that no transaction has written after a mark; None if that is not known."""
        digest, _, progress = mark.partition(" ")
        if digest != self._found.digest:
            return None

        def count() -> tuple[int, Horizon] | None:
            with connect(self._url) as connection, cancelled_by(stop, connection):
                return count_unchanged(connection, self._found, Progress.of(progress))

        counted = self._reconnecting.retry(count, stop)
        if counted is None:
            return None
        rows, self._counted = counted
        return rows

    def follow(
        self, max_rows: int, max_bytes: int, stop: Callable[[], bool], *, mark: str | None
    ) -> Generator[tuple[list[Row], str | None]]:
        """Rows, including those written or updated later, until a stop.

        mark: the cursor committed with the last rows. From there no row is missed, and some are returned
        again. An empty list means that there was nothing new; it is returned about every `poll` seconds while
        the database responds. Raises SourceError like `batches`.
        """
        pace = Pace(self.poll, self.whole_every)
        follower = Follower(self._url, self._found, self._reconnecting.retry, pace, stop, mark)
        with (
            NotificationListener(self._url, self.channel) as bell,
            closing(follower.follow(bell, max_rows, max_bytes)) as following,
        ):
            for rows, reached in following:
                self.lines += len(rows)
                yield rows, reached

    def rows(self, keys: Sequence[str], stop: Callable[[], bool] = lambda: False) -> list[Row]:
        """The rows of some keys, in order, as far as they exist; [] if `stop` came first."""

        def read() -> list[Row]:
            with connect(self._url) as connection, cancelled_by(stop, connection):
                self._found.session.pin(connection)
                found = connection.cursor(binary=True).execute(self._found.rows(self._found.among(keys)))
                return [row_of(self.name, *each) for each in found]

        return self._reconnecting.retry(read, stop) or []

    def rows_after(self, key: str, seconds: float, stop: Callable[[], bool]) -> int | None:
        """The number of rows after a key; None if counting them takes longer, or fails."""
        found, limit = self._found, f"{seconds * 1000:.0f}ms"
        later = sql.SQL("SELECT count(*) - count(*) FILTER (WHERE {}) FROM {} AS selected WHERE {}")
        counted = later.format(found.among([key]), found.origin, found.after(key))
        try:
            with connect(self._url) as connection, cancelled_by(stop, connection):
                connection.execute("SELECT set_config('statement_timeout', %s, false)", (limit,))
                found.session.pin(connection)
                return int((connection.execute(counted).fetchone() or (0,))[0])
        except psycopg.Error:
            return None  # reading the rows reports what is wrong

    def text_settings(self, *, of_keys: bool) -> TextSettings:
        """The settings that determine the texts of its rows; of_keys: of their keys only."""
        found = self._found
        matter = not (found.key_is_fixed if of_keys else found.request_is_fixed)
        return TextSettings(str(found.session), matter, found.session.named)

    def require_same_keys(self, keys: Sequence[str], stop: Callable[[], bool] = lambda: False) -> None:
        """Raise UsageError if a row found by one of these keys has another text as its key now."""
        read = {row.position.key for row in self.rows(keys, stop)}
        if not read <= set(keys):
            raise UsageError(
                f"The keys of {self.name} are formatted differently than when the rows were sent: all of "
                "them would be sent again.",
                hint=(
                    f"Restore the type of {self._found.key} and the --session-settings, or use a new "
                    "--campaign to send the rows again on purpose."
                ),
                topic="postgresql",
            )
