"""What to read from a database: which rows, what their key is, and how their requests are built.

The server builds the request: from a column that holds it, or with a `jsonb_build_object` of the columns of
its members. So a row costs this program no more than a row of a file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

import orjson
import psycopg
from psycopg import sql

from bulk_invite.domain.errors import DatabaseSourceError, SourceError, UsageError
from bulk_invite.sources.lines import MAX_LINE_BYTES
from bulk_invite.sources.postgres import columns as columns_of
from bulk_invite.sources.postgres.columns import Kind
from bulk_invite.sources.postgres.member_tree import json_object, tree_of
from bulk_invite.sources.postgres.session_settings import SessionSettings
from bulk_invite.validation.own_members import LABEL_READ

_AS_THEY_ARE: Final = ("json", "jsonb")
_TEXTS: Final = ("text", "character varying", "bpchar")


@dataclass(frozen=True, slots=True)
class Selection:
    """The operator's selection; exactly one of `table` and `query`.

    key: the column that identifies and orders the rows. request: the column with a row's request (json, jsonb
    or text), if `columns` is empty. columns: source column of each member, by dotted path (such as
    `Invitation.Message`); constants: members with the same value in every row. session: the settings with
    which it is read. label: the column with the labels, or "".
    """

    table: str | None
    query: str | None
    key: str
    request: str = "request"
    columns: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, Any] = field(default_factory=dict)
    session: SessionSettings = field(default_factory=SessionSettings)
    label: str = ""

    def __post_init__(self) -> None:
        if (self.table is None) == (self.query is None):
            raise UsageError(
                "Reading a database requires a table or a query.",
                hint="Give either --table or --query.",
                topic="postgresql",
            )
        if not self.key:
            raise UsageError(
                "Reading a database requires a key.",
                hint="Name a column that is unique and never null with --key, such as --key id.",
                topic="postgresql",
            )
        if self.constants and not self.columns:
            raise UsageError(
                "Constants without columns would make the same request for every row.",
                hint="Name the columns of the other fields, or remove the constants.",
                topic="postgresql",
            )
        tree_of(dict.fromkeys([*self.columns, *self.constants], ""))

    def resolve(self, connection: psycopg.Connection[Any]) -> ResolvedSelection:
        """Resolve it in this database, with the session settings pinned for the transaction.

        Raises SourceError and psycopg.Error.
        """
        self.session.pin(connection)
        rows, label, relation, stored = self._origin(connection)
        types = (
            columns_of.of_query(connection, rows)
            if relation is None
            else columns_of.of_table(connection, relation)
        )
        read = (*(self.columns.values() or (self.request,)),)
        for column in (self.key, *read, *filter(None, [self.label])):
            if column not in types:
                raise _no_column(column, label, types)
        if types[self.key].name in _AS_THEY_ARE:
            raise DatabaseSourceError(
                f"Column {self.key} of {label} is of type {types[self.key].name}.",
                hint="Keys appear in the log and the checkpoint: name a number or a uuid with --key.",
            )
        document = self._assembled(types) if self.columns else self._whole(types, label)
        # In SQL_ASCII the encoding of a text is unknown: one that is not UTF-8 makes its row a rejected one.
        encoding = (
            "SQL_ASCII" if connection.info.parameter_status("server_encoding") == "SQL_ASCII" else "UTF8"
        )
        # Keys of another column are other keys, so the column is part of the source's name.
        name = f"postgresql:{connection.info.dbname}/{label}/{self.key}"
        as_bytes = partial(sql.SQL("convert_to({text}, {encoding})").format, encoding=encoding)
        return ResolvedSelection(
            name,
            rows,
            self.key,
            types[self.key],
            as_bytes(text=document),
            as_bytes(text=self._label()),
            self.session,
            relation,
            key_is_fixed=stored and types[self.key].fixed,
            request_is_fixed=stored and all(types[column].fixed for column in read),
        )

    def _origin(self, connection: psycopg.Connection[Any]) -> tuple[sql.Composable, str, str | None, bool]:
        """The FROM item, its display name, and the quoted name of the table, if it is one.

        Also whether rows are read as stored: the result of a query or view may have other texts in another
        session.
        """
        if self.query is not None:
            query = self.query.strip().rstrip(";")
            digest = hashlib.sha256(query.encode("utf-8", "surrogatepass")).hexdigest()[:8]
            # On a line of its own, because the query may end in a comment.
            return sql.SQL("({}\n)").format(sql.SQL(query)), f"query-{digest}", None, False
        named = connection.execute(
            "SELECT format('%%I.%%I', n.nspname, c.relname), n.nspname || '.' || c.relname, c.relkind <> 'v'"
            " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass(%s)",
            (self.table,),
        ).fetchone()
        if named is None:
            raise DatabaseSourceError(
                f"There is no table {self.table} in database {connection.info.dbname}.",
                hint="Check --table (with its schema, unless that is in the search path) and the database.",
            )
        return sql.SQL(named[0]), named[1], named[0], named[2]

    def _label(self) -> sql.Composable:
        if not self.label:
            return sql.SQL("''")
        label = sql.Identifier("selected", self.label)
        return sql.SQL("left({}::text, {})").format(label, sql.Literal(LABEL_READ))

    def _whole(self, types: Mapping[str, Kind], label: str) -> sql.Composable:
        kind = types[self.request].name
        if kind not in (*_AS_THEY_ARE, *_TEXTS):
            raise DatabaseSourceError(
                f"Column {self.request} of {label} is of type {kind}.",
                hint=(
                    "A request must be json, jsonb or text; name its column with --request-column, or map "
                    "its fields to columns in the configuration."
                ),
            )
        return sql.SQL("{}::text").format(sql.Identifier("selected", self.request))

    def _assembled(self, types: Mapping[str, Kind]) -> sql.Composable:
        members: dict[str, sql.Composable] = {}
        for path, column in self.columns.items():
            value, kind = sql.Identifier("selected", column), types[column].name
            if kind.endswith("[]") or kind in _AS_THEY_ARE:
                members[path] = sql.SQL("to_jsonb({})").format(value)
            else:  # members that are not structures are texts
                members[path] = sql.SQL("to_jsonb({}::text)").format(value)
        for path, value in self.constants.items():
            members[path] = sql.SQL("{}::jsonb").format(sql.Literal(orjson.dumps(value).decode()))
        # A null column means that the member is absent.
        return sql.SQL("jsonb_strip_nulls({})::text").format(json_object(tree_of(members)))


@dataclass(frozen=True, slots=True)
class ResolvedSelection:
    """A selection resolved in a database.

    name: of the source, without URL and password. document: the request as bytes. label: likewise, empty
    without one. relation: quoted name of the table, None for a query. key_is_fixed, request_is_fixed: whether
    they have the same text in every session.
    """

    name: str
    origin: sql.Composable
    key: str
    key_type: Kind
    document: sql.Composable
    label: sql.Composable
    session: SessionSettings
    relation: str | None = None
    key_is_fixed: bool = False
    request_is_fixed: bool = False

    def rows(self, where: sql.Composable) -> sql.Composed:
        """Rows (key, request or NULL, whether it is too long, label or NULL) in key order."""
        # OFFSET 0 keeps the request from being built once for each reference to it.
        return sql.SQL(
            "SELECT rows.key::text, CASE WHEN octet_length(request) <= {limit} THEN request END,"
            " octet_length(request) > {limit}, label"
            " FROM (SELECT {key} AS key, {document} AS request, {label} AS label"
            " FROM {origin} AS selected WHERE {where} ORDER BY {key} OFFSET 0) AS rows ORDER BY rows.key"
        ).format(
            limit=sql.Literal(MAX_LINE_BYTES),
            key=self.column,
            document=self.document,
            label=self.label,
            origin=self.origin,
            where=where,
        )

    def since(self, xid: int) -> ResolvedSelection:
        """Of these, the rows whose current version was written by this transaction or a later one.

        Only for a table; `xid` must be less than 2**31 transactions old. Both ages are relative to the same
        transaction, which is fixed for the statement.
        """
        # OFFSET 0 makes it a sequential scan: an index scan by key would fetch the pages in random order,
        # nearly always in vain.
        origin = sql.SQL(
            "(SELECT * FROM {origin} AS selected"
            " WHERE age(selected.xmin) <= (SELECT age({xid}::xid)) OFFSET 0)"
        ).format(origin=self.origin, xid=sql.Literal(str(xid % 2**32)))
        return replace(self, origin=origin)

    @property
    def digest(self) -> str:
        """Of everything but the rows themselves that decides what is read of them."""
        read = (self.origin, self.key_type, self.document, self.label, self.session)
        return hashlib.sha256(repr(read).encode()).hexdigest()[:16]

    @property
    def column(self) -> sql.Identifier:
        return sql.Identifier("selected", self.key)

    @property
    def nowhere(self) -> sql.Composable:
        """No rows: to test a statement."""
        return sql.SQL("false")

    def after(self, key: str | None) -> sql.Composable:
        """From a key on, inclusive; all rows if none is given."""
        if key is None:
            return sql.SQL("true")
        return sql.SQL("{} {} {}").format(self.column, self._operator(">="), self._cast(sql.Literal(key)))

    def among(self, keys: Sequence[str]) -> sql.Composed:
        return sql.SQL("{} {} ANY (SELECT {} FROM unnest({}::text[]) AS given (key))").format(
            self.column,
            self._operator("="),
            self._cast(sql.Identifier("given", "key")),
            sql.Literal(list(keys)),
        )

    def _operator(self, name: str) -> sql.Composed:
        """The operator of the key's own type: another search path may lead to one with another order."""
        return sql.SQL("OPERATOR({}.{})").format(sql.Identifier(self.key_type.operators), sql.SQL(name))

    def _cast(self, text: sql.Composable) -> sql.Composed:
        # The type's name comes from the catalog of the database, already quoted.
        return sql.SQL("{}::{}").format(text, sql.SQL(self.key_type.name))

    def require_unique(self, connection: psycopg.Connection[Any]) -> int:
        """Return the number of rows. Reads every key.

        Raises SourceError if two rows have the same key, or one has none.
        """
        several = sql.SQL(
            "SELECT count(*) FILTER (WHERE coalesce({key}::text, '') = '') > 0,"
            " count({key}) > count(DISTINCT {key}), count(*)"
            " FROM {origin} AS selected"
        ).format(key=self.column, origin=self.origin)
        null, repeated, rows = connection.execute(several).fetchone() or (False, False, 0)
        if null:
            raise no_key(self.name)
        if repeated:
            raise not_unique(self.name, self.key)
        return int(rows)


_OTHER_KEY: Final = "Name a column that is unique and never null with --key."


def no_key(name: str) -> SourceError:
    """name: of the source, with the key at its end."""
    return DatabaseSourceError(f"{name}: a row has no {name.rpartition('/')[2]}.", hint=_OTHER_KEY)


def not_unique(name: str, key: str) -> SourceError:
    return DatabaseSourceError(f"{name}: two rows have the same {key}.", hint=_OTHER_KEY)


def _no_column(column: str, label: str, types: Mapping[str, Kind]) -> SourceError:
    return DatabaseSourceError(
        f"{label} has no column {column}.",
        hint=f"It has {', '.join(types)}; see --key, --request-column and the columns in the configuration.",
    )
