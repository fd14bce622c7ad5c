"""A checkpoint in a PostgreSQL schema, shared by several machines, one of which sends.

The sender holds an advisory lock of its session, and commits on that same session. So every durable intent
was written by the lock holder: a sender that loses the database loses the lock, and with it the ability to
start another call. The next sender finds its calls in flight in doubt and repeats them with the same tokens.
A lost session is therefore never replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final, cast

import psycopg
from psycopg import errors, sql
from sqlalchemy import Connection, Engine, create_engine, insert, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from bulk_invite import libpq
from bulk_invite.checkpoint.storage.advisory_lock import AdvisoryLock
from bulk_invite.checkpoint.storage.base import damaged
from bulk_invite.checkpoint.storage.holder import SESSION, this_process
from bulk_invite.checkpoint.storage.postgres_checks import require_rights, require_usable
from bulk_invite.checkpoint.storage.postgres_cluster import ClusterHistory, require_durable
from bulk_invite.checkpoint.storage.sqlite import SqliteFile
from bulk_invite.checkpoint.storage.watchdog import Watchdog
from bulk_invite.checkpoint.tables.batch_sql import BY_PAGE
from bulk_invite.checkpoint.tables.query import Query, query_of
from bulk_invite.checkpoint.tables.schema import metadata
from bulk_invite.domain.errors import CheckpointError, CheckpointHeldError
from bulk_invite.domain.holder import Holder
from bulk_invite.domain.records import Owner

_CONNECTION: Final = {
    "connect_timeout": "5",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",
}
"""A server that disappears silently is noticed within some ten seconds."""

_SESSION: Final = {
    # The same on the server's side: a machine that dies must lose its lock while another one waits for it.
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "10000",
    # The lock's session is idle while a run is parked for hours.
    "idle_session_timeout": "0",
    # Roles may set these limits for queries; here they would end a run.
    "statement_timeout": "0",
    "lock_timeout": "30s",
    "idle_in_transaction_session_timeout": "0",
    "transaction_timeout": "0",
    # A plan made while the tables were empty would scan them for every batch.
    "plan_cache_mode": "force_custom_plan",
}


class PostgresSchema:
    """A checkpoint in one schema of a database; `url` as in libpq."""

    def __init__(self, url: str, schema: str) -> None:
        """Raises UsageError for an invalid URL."""
        libpq.check_address(url)
        self._url = url
        self._schema = schema
        self._lock = AdvisoryLock("checkpoint", schema)
        self.name = f"in schema {schema} of a database"
        self.timing: Callable[[], AbstractContextManager[None]] = nullcontext

    def exists(self) -> bool:
        with self.translated(), self._connect() as connection:
            ((tables, _),) = connection.execute(_TABLES.format("%s").encode(), (self._schema,))
        return bool(tables)

    @contextmanager
    def translated(self) -> Iterator[None]:
        # Without the driver's error: its text may contain parameters of a statement.
        try:
            yield
        except (DBAPIError, psycopg.Error) as error:
            raise self._refusal(error.orig if isinstance(error, DBAPIError) else error) from None
        except (ValueError, KeyError):
            raise damaged(self.name) from None

    @contextmanager
    def held(self) -> Iterator[Engine]:
        with ExitStack() as undo:
            with self.translated():
                session = self._connect()
                undo.callback(session.close)
                if not self._lock.take(session):
                    raise CheckpointHeldError(self.name, self._lock.holder(session))
                require_usable(session, self.name)
                self._make_schema(session)
                require_durable(session)
                session.commit()
            watchdog = Watchdog(session.fileno())
            undo.enter_context(watchdog.watching())
            self.timing = watchdog.timing
            engine = self._engine(session)
            undo.callback(engine.dispose)
            yield engine

    def record_location(self, engine: Engine) -> None:
        """Not needed: a server's names are unambiguous."""

    def require_in_place(self, connection: Connection) -> None:
        """Not needed, either: the lock belongs to the session on which is committed."""

    def prove(self, connection: Connection) -> None:
        # The lock belongs to the session: as long as that responds, it is ours.
        session = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
        session.autocommit = True  # one round trip in place of three
        try:
            session.execute("SELECT 1")
        finally:
            if session.closed:
                connection.invalidate()  # SQLAlchemy has not seen the error
            else:  # also if the query was canceled: what waits for the session needs transactions
                session.autocommit = False

    def last_transaction(self) -> ClusterHistory:
        return ClusterHistory()

    def reading(self) -> Engine:
        with self.translated():
            connection = self._connect()
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
        return self._engine(connection)

    def require_ours(self, query: Query) -> bool:
        ((tables, ours),) = query(_TABLES.format(":schema"), schema=self._schema)
        if not tables:
            return False
        if not ours:
            raise CheckpointError(
                f"Schema {self._schema} of that database contains tables of another program.",
                hint="Name another one with --checkpoint-schema; this one is left unchanged.",
            )
        return True

    def incomplete(self, query: Query) -> str:  # noqa: ARG002 - a file needs it
        """The server ensures that none are missing."""
        return ""

    def mark_as_ours(self, connection: Connection) -> None:
        comment = sql.SQL("COMMENT ON SCHEMA {} IS 'Checkpoint of bulk-invite: what was sent to whom'")
        connection.exec_driver_sql(comment.format(sql.Identifier(self._schema)).as_string())

    def require_sound(self, connection: Connection) -> None:
        """The server ensures it."""

    def reserve(self, connection: Connection, owner: Owner, catalog: str) -> None:
        # One checkpoint may know the account and the other only the key; an unknown owner may be any owner.
        names = [name for name in (owner.account, owner.key_hash) if name] or [""]
        session = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
        for name in names:
            lock = AdvisoryLock("sender", name, catalog)
            if not lock.take_at_once(session):
                raise CheckpointHeldError(
                    f"of the same database, for {owner} and catalog {catalog}",
                    lock.holder(session),
                    "Another sender is working on another checkpoint",
                )

    def has_sender(self) -> bool | None:
        with self.translated(), self._connect() as session:
            holders = self._lock.holders(session)
        return None if holders is None else bool(holders)

    def holder(self) -> Holder | None:
        with self.translated(), self._connect() as session:
            return self._lock.holder(session)

    def check_writable(self) -> None:
        engine = self.reading()
        try:
            with self.translated(), engine.connect() as connection:
                self.require_ours(query_of(connection))
        finally:
            engine.dispose()
        with self.translated(), self._connect() as session:
            require_usable(session, self.name)
            require_rights(session, self._schema, self.name)

    def describe(self, connection: Connection) -> str:
        version = connection.exec_driver_sql("SHOW server_version").scalar_one()
        durable = connection.exec_driver_sql("SHOW fsync").scalar_one() == "on"
        return (
            "PostgreSQL "
            f"{version}{'' if durable else ' with fsync = off: a crash can lose the record of calls'}"
        )

    def copy_to(self, connection: Connection, path: Path) -> None:
        target = SqliteFile(path)
        with target.held() as engine, engine.begin() as into:
            metadata.create_all(into)
            target.mark_as_ours(into)
            for table in metadata.sorted_tables:
                rows = connection.execute(select(table), execution_options=BY_PAGE)
                for page in rows.mappings().partitions():
                    into.execute(insert(table), [dict(row) for row in page])

    def _connect(self) -> psycopg.Connection[Any]:
        """A session that sees only the checkpoint's schema. Raises psycopg.Error."""
        defaults = {**_CONNECTION, "fallback_application_name": f"{SESSION}, {this_process()}"}
        session = libpq.connect(self._url, defaults, client_encoding="utf8")
        with ExitStack() as undo:
            undo.callback(session.close)
            for name, value in _SESSION.items():
                # Older servers do not know all of them.
                session.execute(
                    "SELECT set_config(name, %s, false) FROM pg_settings WHERE name = %s", (value, name)
                )
            libpq.pin(session, for_session=True)  # times are read as text, too
            session.execute(sql.SQL("SET search_path TO {}, pg_temp").format(sql.Identifier(self._schema)))
            session.commit()
            self.name = f"postgresql:{session.info.dbname}/{self._schema}"
            undo.pop_all()
        return session

    def _engine(self, session: psycopg.Connection[Any]) -> Engine:
        """An engine that uses only this session and never another one."""
        left = [session]

        def take() -> psycopg.Connection[Any]:
            if not left:
                raise CheckpointError(
                    f"The connection to the checkpoint {self.name} was lost, and its lock with it.",
                    hint="Settled rows stay settled; run the same command again.",
                    retryable=True,
                )
            return left.pop()

        return create_engine(
            "postgresql+psycopg://",
            creator=take,
            poolclass=QueuePool,
            pool_size=1,
            max_overflow=0,
            hide_parameters=True,
        )

    def _make_schema(self, session: psycopg.Connection[Any]) -> None:
        # IF NOT EXISTS requires the privilege to create one even if it exists.
        there = session.execute(
            "SELECT FROM pg_catalog.pg_namespace WHERE nspname = %s", (self._schema,)
        ).fetchone()
        if there is None:
            session.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(self._schema)))

    def _refusal(self, error: BaseException | None) -> CheckpointError:
        if not isinstance(error, psycopg.Error):
            return CheckpointError(f"The checkpoint {self.name} cannot be used: {type(error).__name__}.")
        match error:
            case errors.InsufficientPrivilege():
                hint = (
                    f"Grant the user CREATE on the database, or create schema {self._schema} with that user "
                    "as its owner."
                )
            case errors.ReadOnlySqlTransaction():
                hint = "It is a standby: name the primary, or all hosts with target_session_attrs=primary."
            case errors.DiskFull():
                hint = "Free disk space for the database and run the same command again."
            case errors.QueryCanceled():
                hint = "Run the same command again."
            case _ if isinstance(error, psycopg.OperationalError) and not libpq.is_transient(error):
                hint = "Check the URL, user and password (PGPASSWORD, pgpass or service file)."
            case _ if libpq.is_transient(error):
                hint = (
                    "Check that the server is running and accepts connections; then run the same command "
                    "again."
                )
            case _:
                hint = "Nothing was changed."
        return CheckpointError(
            f"The checkpoint {self.name} cannot be used: {libpq.error_text(error)}.",
            hint=hint,
            retryable=libpq.is_transient(error) or isinstance(error, errors.ReadOnlySqlTransaction),
        )


_TABLES: Final = (
    "SELECT count(*) AS tables, count(*) FILTER (WHERE relname = 'about') > 0 AS ours"
    " FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace ON relnamespace = pg_namespace.oid"
    " WHERE nspname = {}"
)
"""With a place for the parameter: the schema."""
