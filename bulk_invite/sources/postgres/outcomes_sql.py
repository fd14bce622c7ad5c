"""The SQL of the outcomes table: creating, writing and checking it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import orjson
import psycopg
from psycopg import errors, sql

from bulk_invite.domain.errors import DatabaseSourceError, SourceError
from bulk_invite.domain.records import Record
from bulk_invite.libpq import error_text, is_transient
from bulk_invite.sources.postgres.connection import refusal

_TIME: Final = "timestamp with time zone"

_COLUMNS: Final = {
    "key": ("", "the row's key in the source"),
    "campaign": ("text", "as given by --campaign; empty without one"),
    "state": ("text", "created, failed, rejected, duplicate, pending, deferred or in_doubt"),
    "client_token": ("text", "ClientToken of the calls; null for an invalid row"),
    "invitation_id": ("text", "Id of the invitation; null if unknown"),
    "arn": ("text", "Arn of the invitation; null if unknown"),
    "code": ("text", "code of the last answer; null for a success"),
    "errors": ("jsonb", "errors of the row: a list of path and code; null if none"),
    "attempts": ("integer", "calls made for the row"),
    "first_sent": (_TIME, "when the first call left; null if none has"),
    "last_sent": (_TIME, "when the last call left"),
    "updated": (_TIME, "when this row last changed"),
    "label": ("text", "the label of the row; null if none"),
}
"""Type of each column ("": that of the source's key), and its comment in the table."""

_KEPT_FOR: Final = "Outcomes of the rows of "

_IDENTITY: Final = ("key", "campaign")

_VALUES: Final = tuple(name for name in _COLUMNS if name not in (*_IDENTITY, "updated"))
"""Columns that change; `updated` says when they did."""

LABEL: Final = "label"
"""A column that tables of earlier versions lack."""


@dataclass(frozen=True, slots=True)
class Place:
    """An outcomes table, existing or not: the parts of its name, its key's type, and its source.

    has_label: whether it has our column for labels; a column of that name may be the user's own.
    """

    parts: tuple[str, ...]
    key_type: str
    source: str
    has_label: bool = True

    @property
    def name(self) -> sql.Identifier:
        return sql.Identifier(*self.parts)

    def creation(self) -> list[sql.Composed]:
        columns = [
            sql.SQL("{} {} NOT NULL" if name in (*_IDENTITY, "state", "updated") else "{} {}").format(
                sql.Identifier(name), self._type(name)
            )
            for name in _COLUMNS
        ]
        create = sql.SQL(
            "CREATE TABLE IF NOT EXISTS {} (\n    {},\n    PRIMARY KEY (key, campaign)\n)"
        ).format(self.name, sql.SQL(",\n    ").join(columns))
        about = (
            f"{_KEPT_FOR}{self.source}, written by bulk-invite (--write-back). The checkpoint is "
            "authoritative, and every run repairs this table from it: changes made here do not affect any "
            "invitation."
        )
        comment = sql.SQL("COMMENT ON TABLE {} IS {}").format(self.name, sql.Literal(about))
        return [create, comment, *(self._comment(name, meaning) for name, (_, meaning) in _COLUMNS.items())]

    def labeling(self) -> list[sql.Composed]:
        """The statements that add the column for labels to a table of an earlier version."""
        add = sql.SQL("ALTER TABLE {} ADD COLUMN {} {}").format(
            self.name, sql.Identifier(LABEL), self._type(LABEL)
        )
        return [add, self._comment(LABEL, _COLUMNS[LABEL][1])]

    def grants(self, user: str) -> list[sql.Composed]:
        """The privileges that a writer needs."""
        to = sql.Identifier(user)
        usage = [
            sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(sql.Identifier(schema), to)
            for schema in self.parts[:-1]
        ]
        return [*usage, sql.SQL("GRANT SELECT, INSERT, UPDATE ON {} TO {}").format(self.name, to)]

    def kept_for_another(self, comment: str) -> str:
        """The other source that the comment names as the table's source, or ""."""
        source = comment.removeprefix(_KEPT_FOR).partition(",")[0] if comment.startswith(_KEPT_FOR) else ""
        return "" if source == self.source.partition(",")[0] else source

    def wrong(self, types: Mapping[str, str]) -> str:
        """What is wrong with columns of these types, or ""."""
        for name in (each for each in _COLUMNS if each != LABEL):
            wanted = self._type(name).as_string()
            if name not in types:
                return f"has no column {name}"
            if types[name] != wanted:
                return f"has a column {name} of type {types[name]}, not {wanted}"
        return ""

    def upsert(self, campaign: str, records: Sequence[Record]) -> sql.Composed:
        """The statement that writes records; it skips correct rows.

        Of two records with one key, the later one wins.
        """
        key = sql.SQL("given.key::{}").format(self._type("key"))
        changing = [name for name in _VALUES if name != LABEL or self.has_label]
        kept, excluded = (
            sql.SQL(", ").join(sql.Identifier(table, name) for name in changing)
            for table in ("kept", "excluded")
        )
        names = sql.SQL(", ").join(map(sql.Identifier, ["key", "campaign", *changing, "updated"]))
        return sql.SQL(
            "INSERT INTO {table} AS kept ({names})"
            " SELECT DISTINCT ON ({key}) {key}, {campaign}, {values}, now()"
            " FROM json_to_recordset({records}::json) AS given (number integer, key text, {given})"
            # In key order, so that two concurrent writers never deadlock.
            " ORDER BY {key}, given.number DESC"
            " ON CONFLICT (key, campaign)"
            " DO UPDATE SET ({changing}, updated) = ROW ({excluded}, excluded.updated)"
            " WHERE ({kept}) IS DISTINCT FROM ({excluded})"
        ).format(
            table=self.name,
            names=names,
            key=key,
            campaign=sql.Literal(campaign),
            values=sql.SQL(", ").join(map(_value, changing)),
            records=sql.Literal(_document(records)),
            given=sql.SQL(", ").join(map(_given, changing)),
            changing=sql.SQL(", ").join(map(sql.Identifier, changing)),
            kept=kept,
            excluded=excluded,
        )

    def _type(self, name: str) -> sql.SQL:
        # The key's type comes from the catalog of the database, already quoted.
        return sql.SQL(_COLUMNS[name][0] or self.key_type)

    def _comment(self, column: str, meaning: str) -> sql.Composed:
        place = sql.Identifier(*self.parts, column)
        return sql.SQL("COMMENT ON COLUMN {} IS {}").format(place, sql.Literal(meaning))


def _given(name: str) -> sql.Composed:
    """A column in JSON form: times are epoch seconds."""
    kind = _COLUMNS[name][0]
    return sql.SQL("{} {}").format(
        sql.Identifier(name), sql.SQL("double precision" if kind == _TIME else kind)
    )


def _value(name: str) -> sql.Composable:
    value = sql.Identifier("given", name)
    return sql.SQL("to_timestamp({})").format(value) if _COLUMNS[name][0] == _TIME else value


def _document(records: Sequence[Record]) -> str:
    return orjson.dumps([_members(*each) for each in enumerate(records)]).decode()


def _members(number: int, record: Record) -> dict[str, object]:
    wrong = [{"path": _text(each.path), "code": _text(each.code)} for each in record.errors]
    return {
        "number": number,
        "key": record.position.key,
        "state": record.state.value,
        "client_token": _text(record.client_token),
        "invitation_id": _text(record.invitation_id),
        "arn": _text(record.arn),
        "code": _text(record.code),
        "errors": wrong or None,
        "attempts": record.attempts,
        "first_sent": record.first_sent,
        "last_sent": record.last_sent,
        "label": _text(record.label),
    }


def _text(value: str) -> str | None:
    # The only character that a PostgreSQL text cannot hold.
    return value.replace("\0", "\ufffd") or None


def is_transient_for_writer(error: psycopg.Error) -> bool:
    """For a table that was writable: a server that has become a standby is failing over."""
    return is_transient(error) or isinstance(error, errors.ReadOnlySqlTransaction)


def made_by(table: str) -> str:
    return f"Create it with: bulk-invite init-db ... --write-back {table}, with the same --table and --key."


def outcome_refusal(table: str, error: psycopg.Error) -> SourceError:
    """A writer's error with a hint."""
    match error:
        case errors.UndefinedTable():
            hint = made_by(table)
        case errors.InvalidSchemaName():
            hint = "Create the schema, or name an existing one with --write-back SCHEMA.TABLE."
        case errors.InsufficientPrivilege():
            hint = (
                "Grant the user SELECT, INSERT and UPDATE on it (and USAGE on its schema; CREATE to create "
                "it, or have an administrator run the output of init-db --print)."
            )
        case errors.ReadOnlySqlTransaction():
            hint = (
                "The URL leads to a standby, or the user is read-only: --write-back needs the primary (with "
                "several hosts, target_session_attrs=read-write finds it)."
            )
        case errors.InvalidParameterValue() | errors.FeatureNotSupported() | errors.InvalidName():
            hint = 'Write TABLE or SCHEMA.TABLE, with double quotes around special names: "My table".'
        case errors.InvalidColumnReference():
            hint = f"It needs a PRIMARY KEY or a unique index on (key, campaign). {_COMPARE}"
        case errors.QueryCanceled():
            hint = "It was canceled, or exceeds statement_timeout; run the same command again."
        case psycopg.OperationalError():
            return refusal(f"The table {table} cannot be used", error)
        case _:
            hint = _COMPARE
    return DatabaseSourceError(
        f"The table {table} cannot be used: {error_text(error)}.", hint=hint, retryable=is_transient(error)
    )


_COMPARE: Final = "Compare it with the output of bulk-invite init-db --print, or name another table."


def misshapen(table: str, wrong: str) -> SourceError:
    return DatabaseSourceError(f"{table} {wrong}.", hint=_COMPARE)


def is_our_label(comment: str | None) -> bool:
    """Whether a column has the comment of our column for labels."""
    return comment == _COLUMNS[LABEL][1]
