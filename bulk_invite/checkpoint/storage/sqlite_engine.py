"""SQLAlchemy's engine on a connection of SQLite's driver."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import QueuePool

from bulk_invite.checkpoint.tables.query import driver_of


def engine_of(connect: Callable[[], sqlite3.Connection], *, begin: str) -> Engine:
    """begin: the statement that begins a transaction."""
    engine = create_engine(
        "sqlite://", creator=connect, poolclass=QueuePool, pool_size=1, max_overflow=0, hide_parameters=True
    )

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        driver_of(connection).execute(begin)  # a third of the cost of exec_driver_sql

    return engine
