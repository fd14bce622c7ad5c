"""Connections to the database of a source, and errors as sentences."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Final

import psycopg
from psycopg import errors

from bulk_invite import libpq
from bulk_invite.errors import SourceError
from bulk_invite.libpq import is_passing, said

_TIMEOUTS: Final = {
    # A sort of millions of rows without an index takes a minute or two.
    "statement_timeout": "15min",
    "lock_timeout": "30s",
    # Nothing is left open while rows wait to be sent, so this only meets a program that was stopped.
    "idle_in_transaction_session_timeout": "2min",
}
"""Set for the session, where the role, the database or PGOPTIONS have not."""

_STOP_CHECK: Final = 0.1


def connect(url: str) -> psycopg.Connection[Any]:
    """A connection that cannot write. Raises psycopg.Error."""
    connection = libpq.connect(url)
    with ExitStack() as undo:
        undo.callback(connection.close)
        connection.read_only = True
        libpq.set_where_unset(connection, _TIMEOUTS)
        connection.commit()
        undo.pop_all()
    return connection


def connect_to_write(url: str) -> psycopg.Connection[Any]:
    """A connection that is in a transaction only while a statement runs. Raises psycopg.Error."""
    # Nothing is prepared: the next statement may come to another server behind a pooler. PGCLIENTENCODING may
    # name an encoding that has not all the letters of a row.
    connection = libpq.connect(url, autocommit=True, prepare_threshold=None, client_encoding="utf8")
    with ExitStack() as undo:
        undo.callback(connection.close)
        libpq.set_where_unset(connection, _TIMEOUTS)
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
    return SourceError(f"{name}: {said(error)}.", hint=hint, heals=is_passing(error))
