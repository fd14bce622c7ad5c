"""Statements that the driver executes itself, in a file and in PostgreSQL."""

from __future__ import annotations

import sqlite3

import psycopg
import pytest
from sqlalchemy import Integer, bindparam, create_engine, literal, select

from bulk_invite.checkpoint.tables.batch_sql import Prepared


@pytest.mark.parametrize("kind", ["file", "database"])
def test_a_value_that_is_not_passed_is_an_error_and_not_null(
    kind: str, request: pytest.FixtureRequest
) -> None:
    if kind == "file":
        engine = create_engine("sqlite://")
    else:
        url = request.getfixturevalue("db").url
        engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(url))
    statement = Prepared(select(literal(1) + bindparam("more", type_=Integer)))
    with engine.connect() as connection:
        assert [tuple(row) for row in statement.run(connection, {"more": 2})] == [(3,)]
        with pytest.raises((KeyError, sqlite3.Error, psycopg.Error)):
            statement.run(connection, {"mroe": 2})
    engine.dispose()
