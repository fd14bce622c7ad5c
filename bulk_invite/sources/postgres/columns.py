"""The columns to read and their types, under names that no search path affects."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg import sql

_FIXED: Final = {
    *("smallint", "integer", "bigint", "numeric", "oid", "boolean", "uuid", "json", "jsonb"),
    *("text", "character varying", "bpchar", '"char"', "name", "bit varying", '"bit"'),
    *("inet", "cidr", "macaddr", "macaddr8"),
}
"""Types whose values have the same text in every session."""

_TYPES: Final = """
SELECT t.oid,
    CASE n.nspname WHEN 'pg_catalog' THEN format_type(t.oid, -1)
        ELSE format('%%I.%%I', n.nspname, e.typname) || CASE WHEN e.oid = t.oid THEN '' ELSE '[]' END END,
    coalesce(s.nspname, 'pg_catalog'),
    t.typtype = 'e'
FROM pg_type t
JOIN pg_type e ON e.oid = CASE WHEN t.typcategory = 'A' AND t.typtype = 'b' THEN t.typelem ELSE t.oid END
JOIN pg_namespace n ON n.oid = e.typnamespace
LEFT JOIN pg_opclass c ON c.opcdefault AND c.opcmethod = (SELECT oid FROM pg_am WHERE amname = 'btree')
    AND c.opcintype = CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.oid END
LEFT JOIN pg_namespace s ON s.oid = c.opcnamespace
WHERE t.oid = ANY(%s::oid[])
"""


@dataclass(frozen=True, slots=True)
class Kind:
    """A type. name: in SQL, without a length.

    operators: the schema of its operators. fixed: whether its values have the same text in every session.
    """

    name: str
    operators: str
    fixed: bool


def of_table(connection: psycopg.Connection[Any], relation: str) -> dict[str, Kind]:
    """Read them from the catalog: the user may have access to some columns only.

    relation: its quoted name.
    """
    found = connection.execute(
        "SELECT attname, atttypid FROM pg_attribute"
        " WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
        (relation,),
    )
    return _named(connection, dict(found.fetchall()))


def of_query(connection: psycopg.Connection[Any], query: sql.Composable) -> dict[str, Kind]:
    nothing = connection.execute(sql.SQL("SELECT * FROM {} AS selected LIMIT 0").format(query))
    return _named(connection, {each.name: each.type_code for each in nothing.description or ()})


def _named(connection: psycopg.Connection[Any], columns: dict[str, int]) -> dict[str, Kind]:
    kinds = _kinds(connection, columns.values())
    return {column: kinds[oid] for column, oid in columns.items()}


def _kinds(connection: psycopg.Connection[Any], types: Iterable[int]) -> dict[int, Kind]:
    return {
        oid: Kind(name, operators, is_enum or name in _FIXED)
        for oid, name, operators, is_enum in connection.execute(_TYPES, (list(types),))
    }
