"""Whether a sender could use a checkpoint in a database."""

from __future__ import annotations

from typing import Any, Final

import psycopg

from bulk_invite.domain.errors import CheckpointError

_RIGHTS: Final = """
SELECT
    EXISTS (SELECT FROM pg_namespace WHERE nspname = %(schema)s),
    has_database_privilege(current_database(), 'CREATE'),
    (SELECT has_schema_privilege(oid, 'USAGE') FROM pg_namespace WHERE nspname = %(schema)s),
    (SELECT has_schema_privilege(oid, 'CREATE') FROM pg_namespace WHERE nspname = %(schema)s),
    (SELECT string_agg(relname, ', ' ORDER BY relname)
     FROM pg_class JOIN pg_namespace ON relnamespace = pg_namespace.oid
     WHERE nspname = %(schema)s AND relkind = 'r' AND NOT (
         has_table_privilege(pg_class.oid, 'SELECT') AND has_table_privilege(pg_class.oid, 'INSERT')
         AND has_table_privilege(pg_class.oid, 'UPDATE') AND has_table_privilege(pg_class.oid, 'DELETE')))
"""


def require_usable(session: psycopg.Connection[Any], name: str) -> None:
    """Raise CheckpointError if the lock would be meaningless, or texts could not be stored."""
    (process,) = session.execute("SELECT pg_backend_pid()").fetchone() or (0,)
    if process != session.info.backend_pid:
        raise CheckpointError(
            f"The checkpoint {name} is accessed through a connection pooler, which may give the lock to "
            "other clients.",
            hint="Name the server itself with --checkpoint.",
            topic="postgresql",
        )
    encoding = session.info.parameter_status("server_encoding")
    if encoding not in {"UTF8", "SQL_ASCII"}:
        raise CheckpointError(
            f"The checkpoint {name} is in a database with encoding {encoding}, which lacks some characters.",
            hint="Use a database with encoding UTF8.",
            topic="postgresql",
        )


def require_rights(session: psycopg.Connection[Any], schema: str, name: str) -> None:
    """Raise CheckpointError if the user lacks the rights to write there."""
    if session.execute("SELECT pg_is_in_recovery()").fetchone() != (False,):
        raise CheckpointError(
            f"The checkpoint {name} is on a standby, which is read-only.",
            hint="Name the primary, or all hosts with target_session_attrs=primary.",
            topic="postgresql",
        )
    there, may_make, may_use, may_add, closed = session.execute(_RIGHTS, {"schema": schema}).fetchone() or (
        *(False,) * 4,
        None,
    )
    user = session.info.user
    if not there and not may_make:
        raise CheckpointError(
            f"Schema {schema} does not exist, and {user} may not create it.",
            hint=f"Grant {user} CREATE on the database, or create schema {schema} with {user} as its owner.",
            topic="postgresql",
        )
    if there and not (may_use and may_add):
        raise CheckpointError(
            f"{user} may not use schema {schema} or create tables in it.",
            hint=f"Make {user} the owner of schema {schema}, or name another one with --checkpoint-schema.",
            topic="postgresql",
        )
    if closed:
        raise CheckpointError(
            f"{user} may not write to tables of schema {schema}: {closed}.",
            hint=f"Make {user} their owner (ALTER TABLE ... OWNER TO).",
            topic="postgresql",
        )
