"""Connections to the database of a source, and errors as sentences."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Final

import psycopg
from psycopg import errors

from bulk_invite import libpq
from bulk_invite.domain.errors import DatabaseSourceError, SourceError
from bulk_invite.libpq import is_passing, said

_TIMEOUTS: Final = {
    # A sort of millions of rows without an index takes a minute or two.
    "statement_timeout": "15min",
    "lock_timeout": "30s",
    # Nothing is left open while rows wait to be sent, so this only meets a program that was stopped.
    "idle_in_transaction_session_timeout": "2min",
}
"""Set for the session, where the role, the database or PGOPTIONS have not."""

# PGCLIENTENCODING, the role or the database may name an encoding that has not all the letters of a row.
_ENCODING: Final = "utf8"

_STOP_CHECK: Final = 0.1


def connect(url: str) -> psycopg.Connection[Any]:
    """A connection that cannot write. Raises psycopg.Error."""
    connection = libpq.connect(url, client_encoding=_ENCODING)
    with ExitStack() as undo:
        undo.callback(connection.close)
        connection.read_only = True
        libpq.set_where_unset(connection, _TIMEOUTS)
        connection.commit()
        undo.pop_all()
    return connection


def connect_to_write(url: str) -> psycopg.Connection[Any]:
    """A connection that is in a transaction only while a statement runs. Raises psycopg.Error."""
    # Nothing is prepared: the next statement may come to another server behind a pooler.
    connection = libpq.connect(url, autocommit=True, prepare_threshold=None, client_encoding=_ENCODING)
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


_HINTS: Final[tuple[tuple[tuple[type[psycopg.Error], ...], str], ...]] = (
    (
        (errors.UndefinedTable, errors.InvalidSchemaName),
        "Check --table or --query, and the database in the address.",
    ),
    (
        (errors.UndefinedColumn, errors.AmbiguousColumn),
        "Check --key, --request-column and the columns of the configuration.",
    ),
    (
        (errors.InsufficientPrivilege,),
        "Grant the user of the address SELECT on it, or on what is read of it, and USAGE on its schema.",
    ),
    (
        (errors.InvalidPassword, errors.InvalidAuthorizationSpecification),
        "Check user and password: PGPASSWORD, the pgpass file or the service file.",
    ),
    (
        (errors.QueryCanceled,),
        "It takes longer than statement_timeout: index the key, or raise it with PGOPTIONS.",
    ),
    ((errors.UndefinedFunction,), "The key needs a type that has an order, such as bigint, uuid or text."),
    ((errors.ReadOnlySqlTransaction,), "A source is only read: take what writes out of --query."),
    (
        (errors.CharacterNotInRepertoire, errors.UntranslatableCharacter),
        "A key or a column has bytes that are no UTF-8: mend them, or select another key.",
    ),
    ((errors.InvalidParameterValue,), "Check --session-settings, if it is given, and --query."),
    ((errors.SyntaxError,), "Check --query: one SELECT."),
    (
        (psycopg.OperationalError,),
        "Check the address, that the server runs and lets you in; then run the same command.",
    ),
)
"""What mends an error; the first that fits. Whatever else the server says is about what is selected."""


def refusal(name: str, error: psycopg.Error) -> SourceError:
    """The error as a sentence that mends it. name: the source as it is told."""
    hint = next(
        (hint for kinds, hint in _HINTS if isinstance(error, kinds)),
        "Check --table or --query against the database.",
    )
    return DatabaseSourceError(f"{name}: {said(error)}.", hint=hint, retryable=is_passing(error))
