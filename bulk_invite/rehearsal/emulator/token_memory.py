"""The client tokens that the service remembers. Pure; the time is an argument.

A token is forgotten `retention` seconds after the call that created its invitation; replays do not extend
this. A later replay creates a second invitation: showing that is a purpose of the emulator.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Remembered:
    """The use of a token: the hash of the body, the number of the invitation and its creation time."""

    body_sha256: str
    invitation: int
    time: float


class TokenMemory:
    """Tokens by account, with their use; holds those used within one retention."""

    def __init__(self, retention: float) -> None:
        self._retention = retention
        self._known: dict[tuple[str, str], Remembered] = {}
        self._by_age: deque[tuple[str, str]] = deque()

    def __len__(self) -> int:
        return len(self._known)

    def recall(self, account: str, client_token: str, now: float) -> Remembered | None:
        self._forget(now)
        remembered = self._known.get((account, client_token))
        # After the clock was set back, the queue is not in order of age, so check the age itself.
        if remembered is None or self._is_old(remembered, now):
            return None
        return remembered

    def remember(self, account: str, client_token: str, remembered: Remembered) -> None:
        key = (account, client_token)
        self._known[key] = remembered
        self._by_age.append(key)
        self._forget(remembered.time)

    def _forget(self, now: float) -> None:
        while self._by_age:
            oldest = self._known.get(self._by_age[0])
            if oldest is not None and not self._is_old(oldest, now):
                return
            self._known.pop(self._by_age.popleft(), None)

    def _is_old(self, remembered: Remembered, now: float) -> bool:
        return now - remembered.time >= self._retention
