"""Connections to the database of a source: libpq's conventions, read-only, and errors as sentences.

The password is libpq's business (URL, PGPASSWORD, pgpass, service file): it is never repeated, and so are
neither the URL nor whatever a driver says of one that it cannot read.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Final

import psycopg
from psycopg import conninfo, errors

from bulk_invite.errors import SourceError, UsageError

PREFIXES: Final = ("postgresql://", "postgres://")

_APPLICATION_NAME: Final = "bulk-invite"

_DEFAULTS: Final = {
    "fallback_application_name": _APPLICATION_NAME,
    # Seconds for each host to answer; libpq would wait as long as the kernel does, some two minutes.
    "connect_timeout": "5",
    # A server that is gone without a word is noticed within a minute, not after hours.
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}
"""libpq parameters where nobody says otherwise; `connect_timeout` and the name also by the environment."""

_TIMEOUTS: Final = {
    # A sort of millions of rows without an index takes a minute or two.
    "statement_timeout": "15min",
    "lock_timeout": "30s",
    # Nothing is left open while rows wait to be sent, so this only meets a program that was stopped.
    "idle_in_transaction_session_timeout": "2min",
}
"""Set for the session, where the role, the database or PGOPTIONS have not."""

_STOP_CHECK: Final = 0.1
_SPACES: Final = re.compile(r"\s+")

_PASSING: Final = (
    errors.AdminShutdown,
    errors.CrashShutdown,
    errors.CannotConnectNow,
    errors.IdleInTransactionSessionTimeout,
    errors.IdleSessionTimeout,
    errors.TooManyConnections,
    errors.LockNotAvailable,
    errors.SerializationFailure,  # on a standby: the rows are being cleaned up behind us
    errors.DeadlockDetected,
    errors.DiskFull,
    errors.OutOfMemory,
)


def is_passing(error: psycopg.Error) -> bool:
    """Whether it may be over by itself: the server restarts, fails over, is full, or the line was cut."""
    if isinstance(error, _PASSING):
        return True
    # What the server itself says has a code; a line that breaks has none, or one of class 08.
    return isinstance(error, psycopg.OperationalError) and (error.sqlstate or "08")[:2] == "08"


def check_address(url: str) -> None:
    """UsageError where libpq cannot make sense of it, or would take a part of the password for the host."""
    try:
        host = conninfo.conninfo_to_dict(url).get("host")
    except psycopg.Error:
        host = "@"
    if "@" in str(host):
        # What the driver does not understand it repeats, and that may be a part of the password.
        raise UsageError(
            "The address of the database cannot be read.",
            hint="Write postgresql://USER@HOST:PORT/DATABASE, with %-escapes for what is special in a URL; "
            "leave the password to PGPASSWORD, a pgpass file or a service file.",
        )


def connect(url: str) -> psycopg.Connection[Any]:
    """A connection that cannot write. Raises psycopg.Error."""
    given = conninfo.conninfo_to_dict(url)
    defaults = {name: value for name, value in _DEFAULTS.items() if name not in given}
    connection: psycopg.Connection[Any] = psycopg.connect(conninfo.make_conninfo(url, **defaults))
    with ExitStack() as undo:
        undo.callback(connection.close)
        connection.read_only = True
        for name, value in _TIMEOUTS.items():
            connection.execute(
                "SELECT set_config(name, %s, false) FROM pg_settings WHERE name = %s AND setting = '0'",
                (value, name),
            )
        connection.commit()
        undo.pop_all()
    return connection


@contextmanager
def cancelled_by(stop: Callable[[], bool], connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Cancel what the connection is doing when `stop()` turns true: a sort of millions does not ask."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_STOP_CHECK):
            # Again and again: one that comes between two statements cancels nothing.
            if stop():
                with suppress(psycopg.Error):  # there is nothing to cancel where the line is gone
                    connection.cancel_safe(timeout=2.0)

    thread = threading.Thread(target=watch, name="postgres-stop")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def said(error: psycopg.Error) -> str:
    """What the server says, on one line, without the statement; never a value of a row."""
    primary = error.diag.message_primary if error.sqlstate else str(error)
    if (error.sqlstate or "").startswith("22"):  # data exceptions: what follows the colon is the value
        primary = (primary or "").partition(":")[0]
    return _SPACES.sub(" ", primary or type(error).__name__).strip().rstrip(".")


def refusal(name: str, error: psycopg.Error) -> SourceError:
    """The error as a sentence that mends it. name: the source as it is told."""
    match error:
        case errors.UndefinedTable() | errors.InvalidSchemaName():
            hint = "Check --table or --query, and the database in the address."
        case errors.UndefinedColumn() | errors.AmbiguousColumn():
            hint = "Check --key, --request-column and the columns of the configuration."
        case errors.InsufficientPrivilege():
            hint = "Grant the user of the address SELECT on it (and USAGE on its schema)."
        case errors.InvalidPassword() | errors.InvalidAuthorizationSpecification():
            hint = "Check user and password: PGPASSWORD, the pgpass file or the service file."
        case errors.QueryCanceled():
            hint = "It takes longer than statement_timeout: index the key, or raise it with PGOPTIONS."
        case errors.UndefinedFunction():
            hint = "The key needs a type that has an order, such as bigint, uuid or text."
        case errors.ReadOnlySqlTransaction():
            hint = "A source is only read: take what writes out of --query."
        case errors.SyntaxError():
            hint = "Check --query: one SELECT."
        case psycopg.OperationalError():
            hint = "Check the address, that the server runs and lets you in; then run the same command."
        case _:
            hint = "Check --table or --query against the database."
    return SourceError(f"{name}: {said(error)}.", hint=hint)
