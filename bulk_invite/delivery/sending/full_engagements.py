"""Track which engagements are full, and whether the whole account is.

ServiceQuotaExceededException names no resource. Usually the row's engagement has reached its maximum of
invitations; its other rows are then deferred without a call. If engagements without any invitation are
reported as full, one after another with no invitation created in between, the account must be full.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

_MAX_REMEMBERED: Final = 10_000
"""Maximum engagements remembered of each kind; a forgotten one costs one more refused call."""

_ACCOUNT_IS_FULL: Final = 5
"""Consecutive refused engagements that mean a full account."""


class FullEngagements:
    """What the answers of this run show about the engagements."""

    def __init__(self) -> None:
        self._full: OrderedDict[str, None] = OrderedDict()
        self._with_invitations: OrderedDict[str, None] = OrderedDict()
        self._refused_in_succession: set[str] = set()
        self._all_full = False

    @property
    def is_account_full(self) -> bool:
        return len(self._refused_in_succession) >= _ACCOUNT_IS_FULL

    def is_full(self, engagement: str) -> bool:
        return self._all_full or engagement in self._full

    def note_invitations(self, engagement: str) -> None:
        """Note that the engagement has invitations, so it may well be full."""
        _remember(self._with_invitations, engagement)

    def note_created(self, engagement: str) -> None:
        """Note a new invitation: the account is not full."""
        self.note_invitations(engagement)
        self._refused_in_succession.clear()

    def note_refused(self, engagement: str, *, expected: bool) -> None:
        """Note a call refused as full. expected: an earlier run already found the engagement full."""
        _remember(self._full, engagement)
        if not expected and engagement not in self._with_invitations:
            self._refused_in_succession.add(engagement)

    def forget_full(self) -> None:
        """Forget which engagements are full; there may be room again."""
        self._full.clear()

    def mark_all_full(self) -> None:
        """Treat every engagement as full from now on."""
        self._all_full = True


def _remember(names: OrderedDict[str, None], name: str) -> None:
    names[name] = None
    names.move_to_end(name)
    if len(names) > _MAX_REMEMBERED:
        names.popitem(last=False)
