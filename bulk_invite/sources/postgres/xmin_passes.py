"""Passes over a table that other programs write to: what each one reads, so that no row is ever missed.

Keys do not show what is new: a sequence hands out 5 and 6 and 6 is committed first, and a uuid may be
anywhere. xmin does: the transaction that wrote the current version of a row.

Before it reads its first row, a pass asks for the oldest transaction that is still running, `next`. All
transactions before that one have ended, so each read that follows sees what they wrote. Anything that the
pass cannot see, because it is written later, not committed yet, or committed behind the read position,
belongs to transaction `next` or a later one. So the invariant: when a pass has ended, every row with an xmin
before its `next` has been returned by it or by an earlier one; and the next pass reads the rows from there
on. A row may be returned twice, and an updated row is returned again on purpose: it may have been corrected.

* Subtransactions: their id is the xmin, but it is always later than that of the enclosing transaction, which
  counts as running until it commits.
* A transaction that stays open, or one that is prepared and forgotten, holds `next` back: then each pass
  repeats what was written since. Known rows cost little, and none is lost.
* Frozen rows keep their xmin. Transaction ids have 32 bits, so an old one may look new: such a row is
  returned once more, and nothing is missed as long as `since` is less than 2**31 transactions old. At half of
  that, a pass reads everything.
* A server that was restarted or replaced may count differently (a promoted standby may not have seen the last
  transactions): a pass belongs to one start of one server. A connection that leads elsewhere starts a full
  pass.
* Attached partitions, and a table that takes the name of this one, bring rows that were written long ago: if
  the set of tables changes, a pass also reads everything.

If xmin is no evidence (views, queries, foreign tables, row-level security, which changes visibility without a
write), only full passes find every row.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson
import psycopg

_OLDEST: Final = 1 << 30
"""Number of transactions after which `since` is too old to be compared."""

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
    """The progress of a server.

    oldest: the oldest running transaction. newest: the next one to begin. tables: a digest of the tables that
    contain the rows; "" if xmin does not show what is new.
    """

    oldest: int
    newest: int
    started: str
    tables: str


def look(connection: psycopg.Connection[Any], relation: str | None) -> Horizon:
    """Query it in a transaction of its own: reads that follow see everything that had ended by then."""
    found = connection.execute(_LOOK, {"relation": relation}).fetchone()
    connection.commit()
    if found is None:
        raise AssertionError("an aggregate returns one row")
    oldest, newest, started, tables, usable = found
    digest = hashlib.sha256(tables.encode()).hexdigest()[:16] if usable else ""
    return Horizon(oldest, newest, started, digest)


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of the passes; its text is the cursor that is committed together with the rows.

    since: the current pass reads rows of this transaction and later ones; None: all rows. next: where the
    following pass begins. after: the key reached so far.
    """

    since: int | None = None
    next: int | None = None
    after: str | None = None
    started: str = ""
    tables: str = ""

    @classmethod
    def of(cls, mark: str | None) -> Progress:
        """Parse a cursor; start over if there is none, or an unreadable one."""
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
        """Whether its transactions are those of this server."""
        same = (self.started, self.tables) == (horizon.started, horizon.tables)
        return same and (self.since is None or 0 <= horizon.newest - self.since < _OLDEST)

    def begun(self, horizon: Horizon) -> Progress:
        """Called before the first read of a pass, and when it resumes over another connection."""
        if not self.fits(horizon):
            return Progress(None, horizon.oldest, None, horizon.started, horizon.tables)
        return self if self.after is not None else replace(self, next=horizon.oldest)

    def ended(self) -> Progress:
        return replace(self, since=self.next, next=None, after=None)


def pause_after(took: float, poll: float) -> float:
    """Seconds between two passes without a NOTIFY.

    A pass reads a whole table to find what is new in it. Afterwards the database rests ten times as long as
    the pass took, so following costs it at most a tenth of one core; but never more than a minute, even if a
    pass takes longer than six seconds, so that no row waits longer than that.
    """
    return max(poll, min(_LOAD * took, _LONGEST))
