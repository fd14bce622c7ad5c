"""What every connection to a PostgreSQL has in common: libpq's conventions, and what its errors mean.

The password is libpq's business (URL, PGPASSWORD, pgpass, service file): it is never repeated, and so are
neither the URL nor whatever a driver says of one that it cannot read.
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
    # Seconds for each host to answer; libpq would wait as long as the kernel does, some two minutes.
    "connect_timeout": "5",
    # A server that is gone without a word is noticed within a minute, not after hours.
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}
"""libpq parameters where nobody says otherwise; `connect_timeout` and the name also by the environment."""

PINNED: Final = {
    "TimeZone": "UTC",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "extra_float_digits": "3",  # every digit that counts, also on servers that know no shortest form
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
"""Settings by which a server writes values as texts. Others make other texts of the same row, and by those
other tokens: the environment, a service file, the role and the database all have a say in them."""

_ABOUT_NAMES: Final = frozenset(
    f"{number:02}" for number in (8, 21, 23, 25, 26, 28, 34, 40, 42, 44, 53, 54, 55, 57, 58)
) | {"0A", "2B", "3D", "3F"}
"""Classes of SQLSTATE whose texts name tables, columns, constraints and roles, or speak of the session.

Those of class 22 (data), P0 (raised), 38 and 39 (functions), HV (other databases) and XX hold values.
"""

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


_REFUSED: Final = "FATAL:"
_NOT_YET: Final = (
    "starting up",
    "shutting down",
    "recovery",
    "not yet accepting",
    "too many",
    "reserved for",
    "Connection refused",
    "timeout expired",
    "timed out",
)
"""What the server, or the system, says of a connection that may be had later."""


def is_passing(error: psycopg.Error) -> bool:
    """Whether it may be over by itself: the server restarts, fails over, is full, or the line was cut."""
    if isinstance(error, _PASSING):
        return True
    if not isinstance(error, psycopg.OperationalError):
        return False
    if error.sqlstate is None and _REFUSED in str(error):
        # Libpq gives no codes while it connects, only texts; of several hosts, one each.
        return any(text in str(error) for text in _NOT_YET)
    # What the server itself says has a code; a line that breaks has none, or one of class 08.
    return (error.sqlstate or "08")[:2] == "08"


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
            topic="postgresql",
        )


def connect(url: str, defaults: Mapping[str, str] = _DEFAULTS, **options: Any) -> psycopg.Connection[Any]:
    """A connection, by `defaults` where the URL says nothing. options: psycopg's. Raises psycopg.Error."""
    given = conninfo.conninfo_to_dict(url)
    missing = {name: value for name, value in defaults.items() if name not in given}
    return psycopg.connect(conninfo.make_conninfo(url, **missing), **options)


def pin(
    connection: psycopg.Connection[Any], settings: Mapping[str, str] = PINNED, *, for_session: bool = False
) -> None:
    """Set what the server knows of them, for the transaction at hand. Raises psycopg.Error.

    For a transaction they hold also behind a pooler, where the next one may be another session's.
    """
    connection.execute(
        "SELECT pg_catalog.set_config(name, value, %s)"
        " FROM unnest(%s::text[], %s::text[]) AS wanted (name, value)"
        " WHERE pg_catalog.current_setting(name, true) IS NOT NULL",
        (not for_session, list(settings), list(settings.values())),
    )


def set_where_unset(connection: psycopg.Connection[Any], settings: Mapping[str, str]) -> None:
    """Set timeouts for the session, where the role, the database or PGOPTIONS have not."""
    for name, value in settings.items():
        connection.execute(
            "SELECT set_config(name, %s, false) FROM pg_settings WHERE name = %s AND setting = '0'",
            (value, name),
        )


def said(error: psycopg.Error) -> str:
    """What the server says, on one line, without the statement; never a value of a row."""
    if not _is_of_the_server(error):
        state = f", SQLSTATE {error.sqlstate}" if error.sqlstate else ""
        return f"{type(error).__name__}{state} (its text may repeat a row, so it is not shown)"
    primary = error.diag.message_primary if error.sqlstate else str(error)
    return _SPACES.sub(" ", primary or type(error).__name__).strip().rstrip(".")


def _is_of_the_server(error: psycopg.Error) -> bool:
    """Whether the text is the server's own, about names and sessions.

    What a function or trigger of the operator raises, with any SQLSTATE, comes with the context that it was
    raised in, and so does what went wrong while one ran.
    """
    if error.sqlstate is None:
        return "CONTEXT:" not in str(error)  # a trigger may refuse a login, too
    # Before PostgreSQL 9.6 RAISE has no context; where it was raised from in the server's source, it tells.
    own = not error.diag.context and not (error.diag.source_file or "").startswith("pl")
    return own and error.sqlstate[:2] in _ABOUT_NAMES
