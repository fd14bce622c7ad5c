"""Which connections there are, and which one gives way to a new one. Pure.

A new connection always gets in, for it may be a probe: a kubelet would end a container that does not answer
one. Behind 127.0.0.1 or a proxy a probe and whoever holds a hundred connections have the same address, so
nobody is turned away by it. In place of that the oldest connection of the peer that has most gives way: first
one that waits for its request or for its answer to be taken, and only then one that is being answered.
"""

from __future__ import annotations

from collections import Counter
from typing import Final, Generic, TypeVar

MOST: Final = 128
"""Connections at a time: whoever opens thousands must not use up the files of the run."""

MOST_OF_A_PEER: Final = 64
"""Connections of one address at a time: others have room without anybody's giving way."""

Connection = TypeVar("Connection")


class Connections(Generic[Connection]):
    """Those that are open, the oldest first."""

    def __init__(self, most: int = MOST, most_of_a_peer: int = MOST_OF_A_PEER) -> None:
        self._most = most
        self._most_of_a_peer = most_of_a_peer
        self._peers: dict[Connection, str] = {}
        self._answered: set[Connection] = set()

    def add(self, connection: Connection, peer: str) -> Connection | None:
        """The one that has to give way to this one; it counts no more."""
        gone = self._gives_way(peer)
        if gone is not None:
            self.remove(gone)
        self._peers[connection] = peer
        return gone

    def answer(self, connection: Connection) -> None:
        """From now on it is being answered."""
        if connection in self._peers:
            self._answered.add(connection)

    def rest(self, connection: Connection) -> None:
        """Its answer is made."""
        self._answered.discard(connection)

    def remove(self, connection: Connection) -> None:
        self._peers.pop(connection, None)
        self._answered.discard(connection)

    def _gives_way(self, newcomer: str) -> Connection | None:
        counts = Counter(self._peers.values())
        if counts[newcomer] >= self._most_of_a_peer:
            peer = newcomer
        elif len(self._peers) >= self._most:
            ((peer, _),) = counts.most_common(1)
        else:
            return None
        of_peer = [each for each, its in self._peers.items() if its == peer]
        return min(of_peer, key=self._answered.__contains__)  # the first, and so the oldest, of the least
