"""Which PostgreSQL cluster wrote a checkpoint, by queries that any role may run, and its failover risk.

Detected: a restored dump and a logical replica (the generation's row was written by another transaction than
the one it names), another cluster, and a standby promoted since (another timeline) unless every commit waited
for one. Not detected: files restored underneath the server.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import psycopg
import structlog
from sqlalchemy import Connection, literal_column, text

from bulk_invite.checkpoint.tables.values import Generation, Stamp

_log = structlog.get_logger()

_PLACE: Final = """
SELECT CASE WHEN NOT pg_catalog.pg_is_in_recovery() THEN
    ('x' || left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 8))::bit(32)::bigint END
"""
_MAY_ASK: Final = "SELECT pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')"
_SYSTEM: Final = "SELECT system_identifier::text FROM pg_catalog.pg_control_system()"

# Transaction ids wrap around; a row shows only the lower half of its own.
_STAMPED: Final[Stamp] = {
    "wrote": literal_column("pg_catalog.txid_current() & 4294967295"),
    "replicated": literal_column(
        "CASE WHEN pg_catalog.current_setting('synchronous_standby_names') = '' THEN 0 ELSE 1 END"
    ),
}
_KEPT: Final = "SELECT xmin::text::bigint AS writer, wrote, system, timeline, replicated FROM generation"

_REPLICATION: Final = """
SELECT pg_catalog.current_setting('synchronous_standby_names') <> '',
    (SELECT count(*) FROM pg_catalog.pg_stat_replication)
"""


@dataclass(frozen=True, slots=True)
class Cluster:
    """system: identifier set by initdb. timeline: incremented by each promotion. None if not accessible."""

    system: str | None
    timeline: int | None


class ClusterHistory:
    """See `LastTransaction`: nothing can be stored beside a database, but the database itself shows more."""

    beside = ""

    def known(self) -> Generation | None:
        return None

    def keep(self, generation: Generation) -> None:
        pass

    def close(self) -> None:
        pass

    def stamp(self, connection: Connection) -> Stamp:
        here = _here(connection)  # a session stays with its cluster and timeline
        return {**_STAMPED, "system": here.system, "timeline": here.timeline}

    def copy_evidence(self, connection: Connection) -> str:
        return _judge(connection.execute(text(_KEPT)).one(), _here(connection))

    def risk(self, connection: Connection) -> str:
        return _risk(*connection.execute(text(_REPLICATION)).one())


def require_durable(session: psycopg.Connection[Any]) -> None:
    """Ensure that a commit is on disk when it returns, and on the standbys that should have it by then.

    Overrides settings of the role and the database; logs what the server itself lacks.
    """
    session.execute(
        "SELECT set_config(name, 'on', false) FROM pg_settings"
        " WHERE name = 'synchronous_commit' AND setting NOT IN ('on', 'remote_apply')"
    )
    if session.execute("SHOW fsync").fetchone() == ("off",):
        _log.warning(
            "checkpoint.not_durable",
            why="the server runs with fsync = off: a crash can lose the record of calls",
        )
    if risk := _risk(*session.execute(_REPLICATION).fetchone() or (True, 0)):
        _log.warning(
            "checkpoint.not_replicated",
            why=risk,
            next="set synchronous_standby_names; after a failover, use --look-up-first",
        )


def _risk(waits: bool, receivers: int) -> str:  # noqa: FBT001 - the columns of a row
    if waits or not receivers:
        return ""
    standbys = (
        f"{receivers} standbys or other receivers" if receivers > 1 else "a standby or another receiver"
    )
    return (
        f"its server has {standbys}, but commits do not wait for them (synchronous_standby_names is empty): "
        "a failover can lose the record of the last calls"
    )


def _judge(kept: Any, here: Cluster) -> str:
    if kept.writer != kept.wrote:
        return "it was restored from a dump, or copied row by row"
    if None not in {kept.system, here.system} and kept.system != here.system:
        return "it is in another database cluster than the one that wrote it"
    moved = None not in {kept.timeline, here.timeline} and kept.timeline != here.timeline
    if moved and not kept.replicated:
        return (
            f"a standby was promoted since it was written (timeline {kept.timeline}, now {here.timeline}), "
            "and its commits had not waited for one"
        )
    return ""


def _here(connection: Connection) -> Cluster:
    timeline = connection.execute(text(_PLACE)).scalar_one()
    may_ask = connection.execute(text(_MAY_ASK)).scalar_one()
    return Cluster(connection.execute(text(_SYSTEM)).scalar_one() if may_ask else None, timeline)
