"""Passes over a table that others write to: what each of them reads, so that no row is ever missed.

Keys do not tell what is new: a sequence hands out 5 and 6 and 6 is committed first, and a uuid may come
anywhere. What tells it is xmin, the transaction that wrote the present version of a row.

Before it reads its first row, a pass asks for the oldest transaction that is still running, `next`. Every
transaction before that one is over, so whatever it wrote is seen by each of the reads that follow. What the
pass cannot see, be it written later, or not committed yet, or committed in a place that was read already, is
of transaction `next` or of a later one. So the invariant: when a pass has ended, every row with an xmin
before its `next` has been handed out by it or by an earlier one; and the next pass reads the rows from there
on. A row may come twice, and one that is updated comes again, which is wanted: it may have been mended.

* Subtransactions: theirs is the xmin, but it is always later than that of the transaction around them, and
  this one counts as running until it commits.
* A transaction that stays open, or one that is prepared and forgotten, holds `next` back: then each pass
  repeats what was written since. Known rows cost little; they are never lost for it.
* Frozen rows keep their xmin. Transactions are told apart by 32 bits, so one of long ago may look new: such a
  row comes once more, and nothing is missed for as long as `since` is less than 2**31 transactions old. At
  half of that a pass reads everything.
* A server that was restarted or is another one may count otherwise (a standby that is promoted may not have
  seen the last transactions), and lag behind: a pass belongs to one start of one server. A connection that
  leads elsewhere begins a pass over everything.
* Partitions that are attached, and a table that takes the name of this one, bring rows that were written long
  ago: with other tables, too, a pass reads everything.

Where xmin does not tell it (views, queries, foreign tables, row level security, which changes what is seen
without a write), only passes over everything find all there is.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson
import psycopg

_OLDEST: Final = 1 << 30
"""Transactions after which `since` is too old to be compared."""

_LOAD: Final = 10
_LONGEST: Final = 60.0

_LOOK: Final = """
WITH RECURSIVE tables(oid) AS (
    SELECT to_regclass(%(relation)s)::oid
    UNION SELECT i.inhrelid FROM pg_inherits i JOIN tables t ON i.inhparent = t.oid
)
SELECT txid_snapshot_xmin(txid_current_snapshot()), txid_snapshot_xmax(txid_current_snapshot()),
    extract(epoch FROM pg_postmaster_start_time())::numeric::text,
    string_agg(c.oid::text, ' ' ORDER BY c.oid),
    bool_and(c.relkind = 'p' OR c.relkind = 'r' AND coalesce(a.amname, 'heap') = 'heap')
        AND has_table_privilege(to_regclass(%(relation)s)::oid, 'SELECT')
        AND NOT row_security_active(to_regclass(%(relation)s)::oid)
FROM tables t JOIN pg_class c ON c.oid = t.oid LEFT JOIN pg_am a ON a.oid = c.relam
"""


@dataclass(frozen=True, slots=True)
class Horizon:
    """How far a server has come.

    oldest: of the transactions that run. newest: the next one to begin. tables: those that the rows are in,
    as a digest; "" where xmin does not tell what is new.
    """

    oldest: int
    newest: int
    started: str
    tables: str


def look(connection: psycopg.Connection[Any], relation: str | None) -> Horizon:
    """In a transaction of its own: what is read after it sees all that was over by then."""
    found = connection.execute(_LOOK, {"relation": relation}).fetchone()
    connection.commit()
    if found is None:
        raise AssertionError("an aggregate has one row")
    oldest, newest, started, tables, usable = found
    digest = hashlib.sha256(tables.encode()).hexdigest()[:16] if usable else ""
    return Horizon(oldest, newest, started, digest)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the passes have come; as text, the mark that is committed together with the rows.

    since: the pass at hand reads rows of this transaction and later ones; None: all rows. next: where the one
    after it begins. after: the key that it has reached.
    """

    since: int | None = None
    next: int | None = None
    after: str | None = None
    started: str = ""
    tables: str = ""

    @classmethod
    def of(cls, mark: str | None) -> Progress:
        """As it was; the beginning where there is no mark, or none that can be read."""
        try:
            value = orjson.loads(mark or "")
            return cls(value["since"], value["next"], value["after_key"], value["started"], value["tables"])
        except (ValueError, TypeError, KeyError):
            return cls()

    @property
    def mark(self) -> str:
        members = {"since": self.since, "next": self.next, "after_key": self.after}
        return orjson.dumps({**members, "started": self.started, "tables": self.tables}).decode()

    def fits(self, horizon: Horizon) -> bool:
        """Whether the transactions that it names are those of this server."""
        same = (self.started, self.tables) == (horizon.started, horizon.tables)
        return same and (self.since is None or 0 <= horizon.newest - self.since < _OLDEST)

    def begun(self, horizon: Horizon) -> Progress:
        """Before the first read of a pass, and where it goes on over another connection."""
        if not self.fits(horizon):
            return Progress(None, horizon.oldest, None, horizon.started, horizon.tables)
        return self if self.after is not None else replace(self, next=horizon.oldest)

    def ended(self) -> Progress:
        return replace(self, since=self.next, next=None, after=None)


def pause_after(took: float, poll: float) -> float:
    """Seconds between two passes, when nobody asks for one.

    A pass reads a whole table to find what is new in it. Ten times as long as it took, the database is left
    alone: so following costs it no more than a tenth of one core, unless a pass takes longer than six
    seconds, for no row waits for more than a minute because of that.
    """
    return max(poll, min(_LOAD * took, _LONGEST))
