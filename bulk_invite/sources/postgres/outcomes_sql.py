"""The table of outcomes as SQL: what it is made by, what is written into it, and what is wrong with one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import orjson
import psycopg
from psycopg import errors, sql

from bulk_invite.domain.errors import DatabaseSourceError, SourceError
from bulk_invite.domain.records import Record
from bulk_invite.libpq import is_passing, said
from bulk_invite.sources.postgres.connection import refusal

_TIME: Final = "timestamp with time zone"

_COLUMNS: Final = {
    "key": ("", "the row's key in the source"),
    "campaign": ("text", "as given by --campaign; empty without one"),
    "state": ("text", "created, failed, rejected, duplicate, pending, deferred or in_doubt"),
    "client_token": ("text", "ClientToken of the calls; null for a row that is not valid"),
    "invitation_id": ("text", "Id of the invitation; null while none is known"),
    "arn": ("text", "Arn of the invitation; likewise"),
    "code": ("text", "what the last call was answered with; null for a success"),
    "errors": ("jsonb", "what is wrong with the row: a list of path and code; null where nothing is"),
    "attempts": ("integer", "calls made for the row"),
    "first_sent": (_TIME, "when the first call left; null while none has"),
    "last_sent": (_TIME, "when the last call left"),
    "updated": (_TIME, "when this row was last written with anything new"),
}
"""Columns: their type ("": that of the source's key), and what they mean to who opens the table."""

_KEPT_FOR: Final = "What became of the rows of "

_IDENTITY: Final = ("key", "campaign")

_VALUES: Final = tuple(name for name in _COLUMNS if name not in (*_IDENTITY, "updated"))
"""Columns that change; `updated` says when they did."""


@dataclass(frozen=True, slots=True)
class Place:
    """A table of outcomes, there or not: the parts of its name, its key's type, and whose outcomes it has."""

    parts: tuple[str, ...]
    key_type: str
    source: str

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
            f"{_KEPT_FOR}{self.source}, written by bulk-invite (--write-back). The "
            "checkpoint is the truth, and every run repairs this table by it: what is changed here changes "
            "no invitation."
        )
        comment = sql.SQL("COMMENT ON TABLE {} IS {}").format(self.name, sql.Literal(about))
        return [create, comment, *(self._comment(name, meaning) for name, (_, meaning) in _COLUMNS.items())]

    def grants(self, user: str) -> list[sql.Composed]:
        """What somebody needs who writes into it."""
        to = sql.Identifier(user)
        usage = [
            sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(sql.Identifier(schema), to)
            for schema in self.parts[:-1]
        ]
        return [*usage, sql.SQL("GRANT SELECT, INSERT, UPDATE ON {} TO {}").format(self.name, to)]

    def kept_for_another(self, comment: str) -> str:
        """The other source that a table with this comment was made for, "" for none."""
        source = comment.removeprefix(_KEPT_FOR).partition(",")[0] if comment.startswith(_KEPT_FOR) else ""
        return "" if source == self.source.partition(",")[0] else source

    def wrong(self, types: Mapping[str, str]) -> str:
        """What is wrong with columns of these types, "" for nothing."""
        for name in _COLUMNS:
            wanted = self._type(name).as_string()
            if name not in types:
                return f"has no column {name}"
            if types[name] != wanted:
                return f"has a column {name} of type {types[name]}, not {wanted}"
        return ""

    def upsert(self, campaign: str, records: Sequence[Record]) -> sql.Composed:
        """What writes records; it touches no row that is right. Of two records of a key the later stands."""
        key = sql.SQL("given.key::{}").format(self._type("key"))
        kept, excluded = (
            sql.SQL(", ").join(sql.Identifier(table, name) for name in _VALUES)
            for table in ("kept", "excluded")
        )
        names = sql.SQL(", ").join(map(sql.Identifier, ["key", "campaign", *_VALUES, "updated"]))
        return sql.SQL(
            "INSERT INTO {table} AS kept ({names})"
            " SELECT DISTINCT ON ({key}) {key}, {campaign}, {values}, now()"
            " FROM json_to_recordset({records}::json) AS given (number integer, key text, {given})"
            # In the order of the key: two writers that meet wait for each other, and neither for ever.
            " ORDER BY {key}, given.number DESC"
            " ON CONFLICT (key, campaign)"
            " DO UPDATE SET ({changing}, updated) = ROW ({excluded}, excluded.updated)"
            " WHERE ({kept}) IS DISTINCT FROM ({excluded})"
        ).format(
            table=self.name,
            names=names,
            key=key,
            campaign=sql.Literal(campaign),
            values=sql.SQL(", ").join(map(_value, _VALUES)),
            records=sql.Literal(_document(records)),
            given=sql.SQL(", ").join(map(_given, _VALUES)),
            changing=sql.SQL(", ").join(map(sql.Identifier, _VALUES)),
            kept=kept,
            excluded=excluded,
        )

    def _type(self, name: str) -> sql.SQL:
        # The key's type comes from the catalog of the database, quoted as it needs to be.
        return sql.SQL(_COLUMNS[name][0] or self.key_type)

    def _comment(self, column: str, meaning: str) -> sql.Composed:
        place = sql.Identifier(*self.parts, column)
        return sql.SQL("COMMENT ON COLUMN {} IS {}").format(place, sql.Literal(meaning))


def _given(name: str) -> sql.Composed:
    """A column as JSON has it: times are epoch seconds."""
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
    }


def _text(value: str) -> str | None:
    # A text of PostgreSQL holds all characters but this one.
    return value.replace("\0", "\ufffd") or None


def is_passing_for_a_writer(error: psycopg.Error) -> bool:
    """Of a table that could be written: a server that has become a standby is one that fails over."""
    return is_passing(error) or isinstance(error, errors.ReadOnlySqlTransaction)


def made_by(table: str) -> str:
    return f"Create it with: bulk-invite init-db ... --write-back {table}, with the same --table and --key."


def outcome_refusal(table: str, error: psycopg.Error) -> SourceError:
    """The error of somebody who writes into it, as a sentence that mends it."""
    match error:
        case errors.UndefinedTable():
            hint = made_by(table)
        case errors.InvalidSchemaName():
            hint = "Create the schema, or name one that is there with --write-back SCHEMA.TABLE."
        case errors.InsufficientPrivilege():
            hint = (
                "Grant the user of the address SELECT, INSERT and UPDATE on it (and USAGE on its schema; to "
                "create it CREATE, or have somebody run what init-db --print prints)."
            )
        case errors.ReadOnlySqlTransaction():
            hint = (
                "The address leads to a standby, or to a user who only reads: --write-back needs the primary "
                "(target_session_attrs=read-write finds it among several hosts)."
            )
        case errors.InvalidParameterValue() | errors.FeatureNotSupported() | errors.InvalidName():
            hint = 'Write TABLE or SCHEMA.TABLE, and in double quotes what is no plain name: "My table".'
        case errors.InvalidColumnReference():
            hint = f"It needs a PRIMARY KEY or a unique index on (key, campaign). {_COMPARE}"
        case errors.QueryCanceled():
            hint = (
                "Somebody has cancelled it, or it takes longer than statement_timeout; run the same command."
            )
        case psycopg.OperationalError():
            return refusal(table, error)
        case _:
            hint = _COMPARE
    return DatabaseSourceError(f"{table}: {said(error)}.", hint=hint, retryable=is_passing(error))


_COMPARE: Final = "Compare it with what bulk-invite init-db --print shows, or name another table."


def misshapen(table: str, wrong: str) -> SourceError:
    return DatabaseSourceError(f"{table} {wrong}.", hint=_COMPARE)
