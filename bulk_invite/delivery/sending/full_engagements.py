"""Which engagements are full, and when the whole account is.

ServiceQuotaExceededException names no resource. Usually the row's engagement has all the invitations that it
may have; its other rows are deferred then, without a call. When engagements without any invitation are said
to be full, one after the other with no other answer in between, it must be the account.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

_MAX_REMEMBERED: Final = 10_000
"""Engagements kept of each kind; one that is forgotten costs one more refused call."""

_ACCOUNT_IS_FULL: Final = 5
"""Engagements in a row that cannot all be full by chance."""


class FullEngagements:
    """What the answers of this run say of the engagements."""

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
        """Learn that it has invitations already: it may well be full."""
        _remember(self._with_invitations, engagement)

    def note_created(self, engagement: str) -> None:
        """An invitation was just created: the account is not full."""
        self.note_invitations(engagement)
        self._refused_in_succession.clear()

    def note_refused(self, engagement: str, *, expected: bool) -> None:
        """A call was refused because something is full. expected: it was so in an earlier run."""
        _remember(self._full, engagement)
        if not expected and engagement not in self._with_invitations:
            self._refused_in_succession.add(engagement)

    def forget_full(self) -> None:
        """Forget which ones are full: there may be room again."""
        self._full.clear()

    def mark_all_full(self) -> None:
        """Take every engagement for full from now on."""
        self._all_full = True


def _remember(names: OrderedDict[str, None], name: str) -> None:
    names[name] = None
    names.move_to_end(name)
    if len(names) > _MAX_REMEMBERED:
        names.popitem(last=False)
