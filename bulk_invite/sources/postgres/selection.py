"""What is read from a database: which rows, what their key is, and how a request is made of one.

The request is put together by the server: a column that holds it, or a `jsonb_build_object` of the columns
that stand for its members. So a row costs this side no more than one of a file does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import orjson
import psycopg
from psycopg import sql

from bulk_invite.domain.errors import DatabaseSourceError, SourceError, UsageError
from bulk_invite.sources.lines import MAX_LINE_BYTES
from bulk_invite.sources.postgres import columns as columns_of
from bulk_invite.sources.postgres.columns import Kind
from bulk_invite.sources.postgres.session_settings import SessionSettings

_AS_THEY_ARE: Final = ("json", "jsonb")
_TEXTS: Final = ("text", "character varying", "bpchar")


@dataclass(frozen=True, slots=True)
class Selection:
    """As the operator asks for it; exactly one of `table` and `query`.

    key: the column by which rows are told apart and read in order. request: the column that holds a row's
    request (json, jsonb or text), where `columns` is empty. columns: by path of a member (dotted, such as
    `Invitation.Message`) the column that it comes from; constants: likewise what is the same in every row.
    session: the settings in which it is read.
    """

    table: str | None
    query: str | None
    key: str
    request: str = "request"
    columns: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, Any] = field(default_factory=dict)
    session: SessionSettings = field(default_factory=SessionSettings)

    def __post_init__(self) -> None:
        if (self.table is None) == (self.query is None):
            raise UsageError(
                "A database is read by a table or by a query.",
                hint="Give either --table or --query.",
                topic="postgresql",
            )
        if not self.key:
            raise UsageError(
                "A database is read in the order of a key.",
                hint="Name a column that is unique and never null with --key, such as --key id.",
                topic="postgresql",
            )
        if self.constants and not self.columns:
            raise UsageError(
                "Constants without columns make the same request of every row.",
                hint="Say in columns where the other members come from, or leave constants away.",
                topic="postgresql",
            )
        _tree(dict.fromkeys([*self.columns, *self.constants], ""))

    def found(self, connection: psycopg.Connection[Any]) -> Found:
        """What it comes to in this database, the session's settings pinned for the transaction.

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
        for column in (self.key, *read):
            if column not in types:
                raise _no_column(column, label, types)
        if types[self.key].name in _AS_THEY_ARE:
            raise DatabaseSourceError(
                f"Column {self.key} of {label} is of type {types[self.key].name}.",
                hint="A key stands in the log and the checkpoint: name a number or a uuid with --key.",
            )
        document = self._assembled(types) if self.columns else self._whole(types, label)
        # Of SQL_ASCII nobody knows what its bytes are: those that are no UTF-8 make their row a rejected one.
        encoding = (
            "SQL_ASCII" if connection.info.parameter_status("server_encoding") == "SQL_ASCII" else "UTF8"
        )
        # Keys of another column are other keys: what is known by them must not be taken for these.
        name = f"postgresql:{connection.info.dbname}/{label}/{self.key}"
        return Found(
            name,
            rows,
            self.key,
            types[self.key],
            sql.SQL("convert_to({}, {})").format(document, encoding),
            self.session,
            relation,
            key_is_fixed=stored and types[self.key].fixed,
            request_is_fixed=stored and all(types[column].fixed for column in read),
        )

    def _origin(self, connection: psycopg.Connection[Any]) -> tuple[sql.Composable, str, str | None, bool]:
        """The rows as something to select from, what they are called, the table's quoted name if it is one.

        And whether they are read as they are stored: what a query or a view makes of them may be another text
        in another session.
        """
        if self.query is not None:
            query = self.query.strip().rstrip(";")
            digest = hashlib.sha256(query.encode("utf-8", "surrogatepass")).hexdigest()[:8]
            # On a line of its own, for the query may end in a comment.
            return sql.SQL("({}\n)").format(sql.SQL(query)), f"query-{digest}", None, False
        named = connection.execute(
            "SELECT format('%%I.%%I', n.nspname, c.relname), n.nspname || '.' || c.relname, c.relkind <> 'v'"
            " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass(%s)",
            (self.table,),
        ).fetchone()
        if named is None:
            raise DatabaseSourceError(
                f"There is no table {self.table} in database {connection.info.dbname}.",
                hint="Check --table (with its schema, if that is not in the search path) and the database.",
            )
        return sql.SQL(named[0]), named[1], named[0], named[2]

    def _whole(self, types: Mapping[str, Kind], label: str) -> sql.Composable:
        kind = types[self.request].name
        if kind not in (*_AS_THEY_ARE, *_TEXTS):
            raise DatabaseSourceError(
                f"Column {self.request} of {label} is of type {kind}.",
                hint="A request is json, jsonb or text; name its column with --request-column, or say in "
                "the configuration which columns its members come from.",
            )
        return sql.SQL("{}::text").format(sql.Identifier("selected", self.request))

    def _assembled(self, types: Mapping[str, Kind]) -> sql.Composable:
        members: dict[str, sql.Composable] = {}
        for path, column in self.columns.items():
            value, kind = sql.Identifier("selected", column), types[column].name
            if kind.endswith("[]") or kind in _AS_THEY_ARE:
                members[path] = sql.SQL("to_jsonb({})").format(value)
            else:  # members that are no structures are texts
                members[path] = sql.SQL("to_jsonb({}::text)").format(value)
        for path, value in self.constants.items():
            members[path] = sql.SQL("{}::jsonb").format(sql.Literal(orjson.dumps(value).decode()))
        # A column that is null stands for a member that is absent.
        return sql.SQL("jsonb_strip_nulls({})::text").format(_object(_tree(members)))


@dataclass(frozen=True, slots=True)
class Found:
    """A selection as a database has it.

    name: what the source is called, without address and password. document: the request as bytes. relation:
    the quoted name of the table, None for a query. key_is_fixed, request_is_fixed: whether they are the same
    texts in every session.
    """

    name: str
    origin: sql.Composable
    key: str
    key_type: Kind
    document: sql.Composable
    session: SessionSettings
    relation: str | None = None
    key_is_fixed: bool = False
    request_is_fixed: bool = False

    def rows(self, where: sql.Composable) -> sql.Composed:
        """Rows (key, request or NULL, whether it is too long) in the order of the key."""
        # OFFSET 0 keeps the request from being made once for every mention of it.
        return sql.SQL(
            "SELECT rows.key::text, CASE WHEN octet_length(request) <= {limit} THEN request END,"
            " octet_length(request) > {limit}"
            " FROM (SELECT {key} AS key, {document} AS request"
            " FROM {origin} AS selected WHERE {where} ORDER BY {key} OFFSET 0) AS rows ORDER BY rows.key"
        ).format(
            limit=sql.Literal(MAX_LINE_BYTES),
            key=self.column,
            document=self.document,
            origin=self.origin,
            where=where,
        )

    def since(self, xid: int) -> Found:
        """Of these, the rows whose present version was written by this transaction or a later one.

        Of a table only; `xid` is less than 2**31 transactions old. Both sides of the comparison are counted
        back from the same transaction, which the server holds fast for the statement.
        """
        # Behind OFFSET 0 the table is read as it lies: a walk along the index of the key would fetch its
        # pages in no order, and nearly always for nothing.
        origin = sql.SQL(
            "(SELECT * FROM {origin} AS selected"
            " WHERE age(selected.xmin) <= (SELECT age({xid}::xid)) OFFSET 0)"
        ).format(origin=self.origin, xid=sql.Literal(str(xid % 2**32)))
        return replace(self, origin=origin)

    @property
    def column(self) -> sql.Identifier:
        return sql.Identifier("selected", self.key)

    @property
    def nowhere(self) -> sql.Composable:
        """No row: for trying a statement out."""
        return sql.SQL("false")

    def after(self, key: str | None) -> sql.Composable:
        """From a key on, itself among them; all where none is given."""
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
        """That of the key's own type: another search path may lead to one that has another order."""
        return sql.SQL("OPERATOR({}.{})").format(sql.Identifier(self.key_type.operators), sql.SQL(name))

    def _cast(self, text: sql.Composable) -> sql.Composed:
        # The type's name comes from the catalog of the database, quoted as it needs to be.
        return sql.SQL("{}::{}").format(text, sql.SQL(self.key_type.name))

    def require_unique(self, connection: psycopg.Connection[Any]) -> None:
        """SourceError where two rows have the same key, or one has none. Reads every key."""
        several = sql.SQL(
            "SELECT count(*) FILTER (WHERE coalesce({key}::text, '') = '') > 0,"
            " count({key}) > count(DISTINCT {key})"
            " FROM {origin} AS selected"
        ).format(key=self.column, origin=self.origin)
        null, repeated = connection.execute(several).fetchone() or (False, False)
        if null:
            raise no_key(self.name)
        if repeated:
            raise not_unique(self.name, self.key)


_OTHER_KEY: Final = "Name a column that is unique and never null with --key."


def no_key(name: str) -> SourceError:
    """name: as a source has it, the key at its end."""
    return DatabaseSourceError(f"{name}: a row has no {name.rpartition('/')[2]}.", hint=_OTHER_KEY)


def not_unique(name: str, key: str) -> SourceError:
    return DatabaseSourceError(f"{name}: two rows have the same {key}.", hint=_OTHER_KEY)


def _no_column(column: str, label: str, types: Mapping[str, Kind]) -> SourceError:
    return DatabaseSourceError(
        f"{label} has no column {column}.",
        hint=f"It has {', '.join(types)}; see --key, --request-column and the columns of the configuration.",
    )


def _tree(members: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted paths as a tree. UsageError where one path leads through another's value."""
    tree: dict[str, Any] = {}
    for path, value in members.items():
        *names, last = path.split(".")
        place: Any = tree
        for name in names:
            place = place.setdefault(name, {})
            if not isinstance(place, dict):
                break
        if not isinstance(place, dict) or last in place or not all((*names, last)):
            raise UsageError(
                f"The columns of the configuration cannot be put together: {path!r} has no place.",
                hint="Write the path of a member once, such as Invitation.Message, and none below it.",
                topic="postgresql",
            )
        place[last] = value
    return tree


def _object(tree: Mapping[str, Any]) -> sql.Composable:
    members = []
    for name, value in tree.items():
        members += [sql.Literal(name), _object(value) if isinstance(value, dict) else value]
    return sql.SQL("jsonb_build_object({})").format(sql.SQL(", ").join(members))
