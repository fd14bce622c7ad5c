"""What the tokens of rows are derived from: recorded once for each source, and required by every run."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection

from bulk_invite.checkpoint.storage.base import Database, read_about
from bulk_invite.checkpoint.tables import read_position, token_basis
from bulk_invite.checkpoint.tables.query import query_of
from bulk_invite.checkpoint.tables.token_basis import TokenBasis
from bulk_invite.checkpoint.transactions import Transactions


class TokenBindings:
    """Part of the writer. Each method is one durable transaction."""

    def __init__(self, database: Database, transactions: Transactions) -> None:
        self._database = database
        self._transactions = transactions

    def require(self, basis: TokenBasis) -> None:
        """See `token_basis.require`."""
        with self._transactions.begin() as connection:
            token_basis.require(self._about(connection), basis)

    def bind(self, basis: TokenBasis) -> None:
        """See `token_basis.bind`."""
        with self._transactions.begin() as connection:
            token_basis.bind(connection, self._about(connection), basis)

    def bind_files(self, campaign: str, token_from: str) -> None:
        """See `token_basis.bind_files`."""
        with self._transactions.begin() as connection:
            token_basis.bind_files(connection, self._about(connection), campaign, token_from)

    def known_keys(self, source: str, campaign: str, limit: int) -> list[str]:
        """See `read_position.known_keys`."""
        with self._transactions.begin() as connection:
            return read_position.known_keys(connection, source, campaign, limit)

    def _about(self, connection: Connection) -> Mapping[str, str]:
        return read_about(self._database, query_of(connection))
