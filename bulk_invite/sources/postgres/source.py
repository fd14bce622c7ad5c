"""Rows of a database, in the order of their key, while servers restart and the rows wait to be sent.

Invariant: what is held is one page of rows, and no transaction is open while they wait: a page is read to its
end before the first of its rows is handed out. Only where rows are taken as fast as they come (`validate`)
does the reading go on where it stands.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from functools import partial

import psycopg

from bulk_invite.domain.backoff import Backoff
from bulk_invite.domain.errors import UsageError
from bulk_invite.domain.rows import Row
from bulk_invite.domain.text_settings import TextSettings
from bulk_invite.libpq import check_address
from bulk_invite.sources.postgres.connection import cancelled_by, connect, refusal
from bulk_invite.sources.postgres.follower import WHOLE_EVERY, Follower, Pace
from bulk_invite.sources.postgres.notify import Bell
from bulk_invite.sources.postgres.pages import Reading, row_of
from bulk_invite.sources.postgres.reconnecting import Reconnecting
from bulk_invite.sources.postgres.selection import Selection


class PostgresSource:
    """One table or query.

    name: what it is called in positions, `postgresql:DATABASE/TABLE/KEY`. lines: rows handed out so far.
    size, consumed: as of a file; nobody counts its bytes.
    answering: whether the last look at it succeeded.
    poll, whole_every, channel: for `follow`, seconds between two looks, seconds at least between two passes
    over everything where xmin does not tell what is new, and the channel that is listened to.
    """

    size: int | None = None
    has_keys = True

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
        """Look whether it can be read. Raises UsageError for the address, SourceError for all else.

        backoff: seconds until a connection that broke is made again; random: uniform in [0, 1).
        """
        self.poll = poll
        self.whole_every = whole_every
        self.channel = channel
        check_address(url)
        self._url = url
        self.lines = self.consumed = 0
        try:
            with connect(url) as connection:
                self._found = selection.found(connection)
                self._found.require_unique(connection)
                connection.execute(self._found.rows(self._found.nowhere))
        except psycopg.Error as error:
            # Without its traceback: the driver's error carries the statement.
            raise refusal("The database cannot be read", error) from None
        self.name = self._found.name
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
    ) -> Generator[list[Row]]:
        """Rows in the order of the key, of those after a key where one is given; lists as of a file.

        A connection that breaks is made again, with a backoff, for as long as that takes. SourceError: two
        rows have the same key, or the database does not let them be read any more.
        """
        reading = Reading(self._url, self._found, after)
        read = partial(self._reconnecting.tried, partial(reading.page, stop), stop)
        with closing(reading.batches(read, max_rows, max_bytes)) as batches:
            for batch in batches:
                self.lines += len(batch)
                yield batch

    def follow(
        self, max_rows: int, max_bytes: int, stop: Callable[[], bool], *, mark: str | None
    ) -> Generator[tuple[list[Row], str | None]]:
        """Rows, and those that are written or updated later, until a stop.

        mark: what came with the last rows that are known for good. From there on no row is missed; some are
        handed out again. An empty list says that there was nothing new, and comes every `poll` seconds or so
        while the database answers. SourceError: as of `batches`.
        """
        pace = Pace(self.poll, self.whole_every)
        follower = Follower(self._url, self._found, self._reconnecting.tried, pace, stop, mark)
        with (
            Bell(self._url, self.channel) as bell,
            closing(follower.follow(bell, max_rows, max_bytes)) as following,
        ):
            for rows, reached in following:
                self.lines += len(rows)
                yield rows, reached

    def rows(self, keys: Sequence[str], stop: Callable[[], bool] = lambda: False) -> list[Row]:
        """The rows of some keys, in order, as far as they are there; [] when `stop` came first."""

        def read() -> list[Row]:
            with connect(self._url) as connection, cancelled_by(stop, connection):
                self._found.session.pin(connection)
                found = connection.cursor(binary=True).execute(self._found.rows(self._found.among(keys)))
                return [row_of(self.name, *each) for each in found]

        return self._reconnecting.tried(read, stop) or []

    def forms(self, *, of_keys: bool) -> TextSettings:
        """How texts of its rows are made; of_keys: of their keys only."""
        found = self._found
        matter = not (found.key_is_fixed if of_keys else found.request_is_fixed)
        return TextSettings(str(found.session), matter, found.session.named)

    def require_same_keys(self, keys: Sequence[str], stop: Callable[[], bool] = lambda: False) -> None:
        """UsageError where a row that is found by one of these keys has another text for it by now."""
        read = {row.position.key for row in self.rows(keys, stop)}
        if not read <= set(keys):
            raise UsageError(
                f"The keys of {self.name} are other texts than they were when rows were sent by them: all of "
                "those would be invited once more.",
                hint=f"Give {self._found.key} the type that it had and --session-settings what they were, or "
                "name a new --campaign if that is what you want.",
                topic="postgresql",
            )
