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
from bulk_invite.libpq import error_text, is_transient

_TIMEOUTS: Final = {
    # Sorting millions of rows without an index takes a minute or two.
    "statement_timeout": "15min",
    "lock_timeout": "30s",
    # No transaction is open while rows wait to be sent, so this affects only a program that was suspended.
    "idle_in_transaction_session_timeout": "2min",
}
"""Set for the session unless the role, the database or PGOPTIONS have set them."""

# PGCLIENTENCODING, the role or the database may name an encoding that lacks some characters of a row.
_ENCODING: Final = "utf8"

_STOP_CHECK: Final = 0.05


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
    """A connection that is in a transaction only during a statement. Raises psycopg.Error."""
    # Never prepare statements: behind a pooler, the next one may reach another server.
    connection = libpq.connect(url, autocommit=True, prepare_threshold=None, client_encoding=_ENCODING)
    with ExitStack() as undo:
        undo.callback(connection.close)
        libpq.set_where_unset(connection, _TIMEOUTS)
        undo.pop_all()
    return connection


@contextmanager
def cancelled_by(stop: Callable[[], bool], connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Cancel the running statement when `stop()` turns true: a long sort does not check it."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_STOP_CHECK):
            # Repeat it: a cancellation between two statements has no effect.
            if stop():
                with suppress(psycopg.Error):  # a broken connection has nothing to cancel
                    connection.cancel_safe(timeout=2.0)

    # Daemon: a command that does not wait for a database that hangs must be able to end.
    thread = threading.Thread(target=watch, name="postgres-stop", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


_HINTS: Final[tuple[tuple[tuple[type[psycopg.Error], ...], str], ...]] = (
    (
        (errors.UndefinedTable, errors.InvalidSchemaName),
        "Check --table or --query, and the database in the URL.",
    ),
    (
        (errors.UndefinedColumn, errors.AmbiguousColumn),
        "Check --key, --request-column and the columns in the configuration.",
    ),
    (
        (errors.InsufficientPrivilege,),
        "Grant the user SELECT on it, or on the columns to read, and USAGE on its schema.",
    ),
    (
        (errors.InvalidPassword, errors.InvalidAuthorizationSpecification),
        "Check the user and password: PGPASSWORD, pgpass file or service file.",
    ),
    (
        (errors.QueryCanceled,),
        "It exceeds statement_timeout: index the key, or raise the timeout with PGOPTIONS.",
    ),
    ((errors.UndefinedFunction,), "Use a key of a sortable type, such as bigint, uuid or text."),
    ((errors.ReadOnlySqlTransaction,), "A source is read-only: remove the writing parts from --query."),
    (
        (errors.CharacterNotInRepertoire, errors.UntranslatableCharacter),
        "A key or a column contains bytes that are not UTF-8: correct them, or select another key.",
    ),
    ((errors.InvalidParameterValue,), "Check --session-settings, if given, and --query."),
    ((errors.SyntaxError,), "Check --query: it must be one SELECT."),
    (
        (psycopg.OperationalError,),
        "Check the URL, and that the server is running and accepts connections; then run the same command.",
    ),
)
"""The remedy for an error: the first match applies. All other errors concern the selection."""


def refusal(name: str, error: psycopg.Error) -> SourceError:
    """The error with a hint. name: of the source."""
    hint = next(
        (hint for kinds, hint in _HINTS if isinstance(error, kinds)),
        "Check --table or --query against the database.",
    )
    return DatabaseSourceError(f"{name}: {error_text(error)}.", hint=hint, retryable=is_transient(error))
