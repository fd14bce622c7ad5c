"""Tracks open connections and chooses the one to close for a new one. Pure.

A new connection is always admitted, because it may be a probe: a kubelet restarts a container that does not
answer. Behind 127.0.0.1 or a proxy, probes and a client with a hundred connections share an address, so an
address cannot be refused. Instead, the peer with the most connections loses its oldest one: preferably one
that waits for its request or for the client to read, otherwise one that is being answered.
"""

from __future__ import annotations

from collections import Counter
from typing import Final, Generic, TypeVar

MOST: Final = 128
"""Maximum connections, so that a client cannot exhaust the file descriptors of the run."""

MOST_OF_A_PEER: Final = 64
"""Maximum connections per address, so that other addresses have room."""

Connection = TypeVar("Connection")


class Connections(Generic[Connection]):
    """The open connections, oldest first."""

    def __init__(self, most: int = MOST, most_of_a_peer: int = MOST_OF_A_PEER) -> None:
        self._most = most
        self._most_of_a_peer = most_of_a_peer
        self._peers: dict[Connection, str] = {}
        self._answered: set[Connection] = set()

    def add(self, connection: Connection, peer: str) -> Connection | None:
        """Add a connection; returns the one to close for it, already removed."""
        evicted = self._evicted_for(peer)
        if evicted is not None:
            self.remove(evicted)
        self._peers[connection] = peer
        return evicted

    def answer(self, connection: Connection) -> None:
        """Mark a connection as being answered."""
        if connection in self._peers:
            self._answered.add(connection)

    def rest(self, connection: Connection) -> None:
        """Mark its response as complete."""
        self._answered.discard(connection)

    def remove(self, connection: Connection) -> None:
        self._peers.pop(connection, None)
        self._answered.discard(connection)

    def _evicted_for(self, newcomer: str) -> Connection | None:
        counts = Counter(self._peers.values())
        if counts[newcomer] >= self._most_of_a_peer:
            peer = newcomer
        elif len(self._peers) >= self._most:
            ((peer, _),) = counts.most_common(1)
        else:
            return None
        of_peer = [each for each, its in self._peers.items() if its == peer]
        # The oldest one that is not being answered, if any.
        return min(of_peer, key=self._answered.__contains__)
