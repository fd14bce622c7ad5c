"""Advisory locks of a PostgreSQL session: they say who may send, and end with their session."""

from __future__ import annotations

import hashlib
from typing import Any, Final

import psycopg
from psycopg import errors

from bulk_invite.checkpoint.storage.holder import SESSION
from bulk_invite.domain.clock import utc_text
from bulk_invite.domain.holder import Holder

_PATIENCE: Final = "1s"
"""How long to wait for the lock: a server needs a moment to notice that a sender was killed."""

_HOLDERS: Final = """
SELECT pid, host(client_addr), application_name, usename, extract(epoch FROM backend_start)::float8
FROM pg_locks JOIN pg_database ON pg_locks.database = pg_database.oid LEFT JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND granted AND pg_database.datname = current_database()
    AND classid = %s::bigint AND objid = %s::bigint AND objsubid = 1
"""


class AdvisoryLock:
    """A lock for what `names` name. All users of a database share the keys."""

    def __init__(self, *names: str) -> None:
        text = "\0".join(("bulk-invite", *names)).encode("utf-8", "surrogatepass")
        self._key = int.from_bytes(hashlib.sha256(text).digest()[:8], "big", signed=True)

    def take(self, session: psycopg.Connection[Any]) -> bool:
        """Take it in a transaction of its own; False if another session keeps it."""
        session.execute(f"SET LOCAL lock_timeout = '{_PATIENCE}'")
        try:
            session.execute("SELECT pg_catalog.pg_advisory_lock(%s)", (self._key,))
        except errors.LockNotAvailable:
            session.rollback()
            return False
        session.commit()
        return True

    def take_at_once(self, session: psycopg.Connection[Any]) -> bool:
        """Take it within the transaction; False if another session has it."""
        found = session.execute("SELECT pg_catalog.pg_try_advisory_lock(%s)", (self._key,))
        return found.fetchone() == (True,)

    def holder(self, session: psycopg.Connection[Any]) -> Holder | None:
        """Its holder; None if there is none, or it cannot be seen, as from a standby."""
        return next(iter(self.holders(session) or ()), None)

    def holders(self, session: psycopg.Connection[Any]) -> list[Holder] | None:
        """Its holder, if any; None on a standby: locks exist only on the primary."""
        if session.execute("SELECT pg_is_in_recovery()").fetchone() != (False,):
            return None
        key = self._key % 2**64
        return [_told(*holder) for holder in session.execute(_HOLDERS, (key >> 32, key & 0xFFFFFFFF))]


def _told(
    process: int, address: str | None, name: str | None, user: str | None, since: float | None
) -> Holder:
    # For sessions of other users, the server shows only the process.
    who, details = f"process {process} of the server", [name] if name else []
    if name and name.startswith(f"{SESSION}, "):
        who, details = name.removeprefix(f"{SESSION}, "), []
    details += [f"database user {user}"] if user else []
    details += [f"from {address}"] if address else []
    more = f" ({', '.join(details)})" if details else ""
    return Holder(f"{who}{more}", None if since is None else utc_text(since))
