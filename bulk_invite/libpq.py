"""Common ground of all PostgreSQL connections: libpq's conventions, and the meaning of errors.

Passwords are handled by libpq (URL, PGPASSWORD, pgpass, service file) and never repeated in messages; neither
are the URL or a driver's comments on a URL that it cannot parse.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import psycopg
from psycopg import conninfo, errors

from bulk_invite.domain.errors import UsageError

_DEFAULTS: Final = {
    "fallback_application_name": "bulk-invite",
    # Seconds for each host to respond; by default libpq waits as long as the kernel, some two minutes.
    "connect_timeout": "5",
    # A server that disappears silently is noticed within a minute, not after hours.
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}
"""Default libpq parameters; the environment can also set `connect_timeout` and the name."""

PINNED: Final = {
    "TimeZone": "UTC",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "extra_float_digits": "3",  # all significant digits, even on servers without a shortest form
    "bytea_output": "hex",
    "lc_monetary": "C",
    "lc_numeric": "C",
    "lc_time": "C",
    "xmlbinary": "base64",
    "xmloption": "content",
    "quote_all_identifiers": "off",
    # How texts are read, and what a query means.
    "standard_conforming_strings": "on",
    "array_nulls": "on",
    "timezone_abbreviations": "Default",
    "transform_null_equals": "off",
    "gin_fuzzy_search_limit": "0",
}
"""Settings by which a server formats values as text.

Other settings make other texts of the same row, and so other tokens: the environment, a service file, the
role and the database can all set them.
"""

_ABOUT_NAMES: Final = frozenset(
    f"{number:02}" for number in (8, 21, 23, 25, 26, 28, 34, 40, 42, 44, 53, 54, 55, 57, 58)
) | {"0A", "2B", "3D", "3F"}
"""SQLSTATE classes whose messages name tables, columns, constraints and roles, or concern the session.

Those of class 22 (data), P0 (raised), 38 and 39 (functions), HV (foreign data) and XX contain values.
"""

_SPACES: Final = re.compile(r"\s+")

_ADVICE: Final = re.compile(r"\s+(?:Is the server running[^?]*\?|This probably means[^.]*\.)")
"""Advice of libpq: our errors have their own."""

_PREFIX: Final = re.compile(
    r"^(?:- host: .*?hostaddr: (?:'[^']*'|None): )?(?:connection (?:failed|is bad): )?|\[Errno -?\d+\] "
)
"""What psycopg puts before the message of libpq."""

_SUMMARY: Final = "Multiple connection attempts failed"
"""Begins psycopg's list of the hosts that it tried; the lines before repeat the last of them."""

_PASSING: Final = (
    errors.AdminShutdown,
    errors.CrashShutdown,
    errors.CannotConnectNow,
    errors.IdleInTransactionSessionTimeout,
    errors.IdleSessionTimeout,
    errors.TooManyConnections,
    errors.LockNotAvailable,
    errors.SerializationFailure,  # on a standby: the rows are being vacuumed on the primary
    errors.DeadlockDetected,
    errors.DiskFull,
    errors.OutOfMemory,
)


_REFUSED: Final = "FATAL:"
_NOT_YET: Final = (
    "starting up",
    "shutting down",
    "recovery",
    "not yet accepting connections",
    "too many",
    "reserved for",
    "Connection refused",
    "timeout expired",
    "timed out",
)
"""Messages of the server or the system about a connection that may succeed later."""


def is_transient(error: psycopg.Error) -> bool:
    """Whether the error may pass by itself, such as a restart, a failover or a broken connection."""
    if isinstance(error, _PASSING):
        return True
    if not isinstance(error, psycopg.OperationalError):
        return False
    if error.sqlstate is None and _REFUSED in str(error):
        # While connecting, libpq gives only messages, no codes; with several hosts, one for each.
        return any(text in str(error) for text in _NOT_YET)
    # The server's own errors have a code; a broken connection has none, or one of class 08.
    return (error.sqlstate or "08")[:2] == "08"


def check_address(url: str) -> None:
    """Raise UsageError if libpq cannot parse the URL, or would take a part of the password for the host."""
    try:
        host = conninfo.conninfo_to_dict(url).get("host")
    except psycopg.Error:
        host = "@"
    if "@" in str(host):
        # The driver repeats what it cannot parse, and that may be a part of the password.
        raise UsageError(
            "The database URL cannot be parsed.",
            hint=(
                "Write postgresql://USER@HOST:PORT/DATABASE, with special characters %-escaped; leave the "
                "password to PGPASSWORD, a pgpass file or a service file."
            ),
            topic="postgresql",
        )


def connect(url: str, defaults: Mapping[str, str] = _DEFAULTS, **options: Any) -> psycopg.Connection[Any]:
    """Connect, with `defaults` for what the URL leaves open. options: psycopg's. Raises psycopg.Error."""
    given = conninfo.conninfo_to_dict(url)
    missing = {name: value for name, value in defaults.items() if name not in given}
    return psycopg.connect(conninfo.make_conninfo(url, **missing), **options)


def pin(
    connection: psycopg.Connection[Any], settings: Mapping[str, str] = PINNED, *, for_session: bool = False
) -> None:
    """Apply those of the settings that the server knows to the transaction. Raises psycopg.Error.

    Set per transaction, they also hold behind a pooler, where the next transaction may use another session.
    """
    connection.execute(
        "SELECT pg_catalog.set_config(name, value, %s)"
        " FROM unnest(%s::text[], %s::text[]) AS wanted (name, value)"
        " WHERE pg_catalog.current_setting(name, true) IS NOT NULL",
        (not for_session, list(settings), list(settings.values())),
    )


def set_where_unset(connection: psycopg.Connection[Any], settings: Mapping[str, str]) -> None:
    """Set session timeouts that the role, the database and PGOPTIONS leave unset."""
    for name, value in settings.items():
        connection.execute(
            "SELECT set_config(name, %s, false) FROM pg_settings WHERE name = %s AND setting = '0'",
            (value, name),
        )


def error_text(error: psycopg.Error) -> str:
    """The server's message on one line, without the statement; never a value of a row."""
    if not _is_of_the_server(error):
        state = f", SQLSTATE {error.sqlstate}" if error.sqlstate else ""
        return f"{type(error).__name__}{state} (message hidden: it may contain values of a row)"
    primary = error.diag.message_primary if error.sqlstate else _sentence(str(error))
    return _SPACES.sub(" ", primary or type(error).__name__).strip().rstrip(".")


def _sentence(text: str) -> str:
    """The driver's message without advice and repetition; with several hosts, one part for each."""
    _, several, rest = text.partition(_SUMMARY)
    message = rest.partition("\n")[2] if several else text
    lines = map(str.strip, _ADVICE.sub("", message).splitlines())
    return "; ".join(_PREFIX.sub("", line).rstrip(".") for line in lines if line)


def _is_of_the_server(error: psycopg.Error) -> bool:
    """Whether the message comes from the server itself, about names and sessions.

    What an operator's function or trigger raises, with any SQLSTATE, has a context; so has any error that
    occurs while one is running.
    """
    if error.sqlstate is None:
        return "CONTEXT:" not in str(error)  # a trigger may refuse a login, too
    # Before PostgreSQL 9.6, RAISE has no context, but the server reports the source location of the error.
    own = not error.diag.context and not (error.diag.source_file or "").startswith("pl")
    return own and error.sqlstate[:2] in _ABOUT_NAMES
