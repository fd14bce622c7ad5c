"""Decide which engagements are full, and whether it is the whole account instead. Pure.

ServiceQuotaExceededException names no resource. Usually it is the row's engagement that has reached its
maximum of invitations; rarely it is the account. The answer is the same, so the engagements tell:

- An engagement that has invitations, or that was refused while others got invitations, is full by itself: it
  says nothing about the account.
- A fresh engagement (not asked yet, not known to be full) shows it. As long as one is left, it is asked, and
  the first invitation shows that the account has room: then all other rows continue.
- Only many fresh engagements, refused in succession, show that it is the account (`_PATIENCE`).

While the account is suspected (`_SUSPICIOUS`), only fresh engagements are called; the rows of all others wait
for the last round of the run. So a refused engagement costs one call, and one more in the last round.

A full account costs at most `_PATIENCE` calls and those in flight; then one call per probe interval, 4 an
hour by default, the first one after a fifteenth of it. The rounds of a service add one call each at most.

A service asks the engagements that were refused again as `EngagementRetries` says, and no more than that.

Invariant: while rows are read, a fresh engagement waits for a probe only after `_PATIENCE` others were
refused in succession, or after fewer if the account was full a moment ago.
"""

from __future__ import annotations

from collections import OrderedDict
from enum import Enum
from typing import Final

from bulk_invite.domain.engagement_retries import EngagementRetries

_MAX_INVITATIONS: Final = 9
"""Invitations that the service documents as the maximum of one engagement."""

_MAX_REMEMBERED: Final = 10_000
"""Maximum engagements remembered of each kind; a forgotten one costs one more refused call."""

_SUSPICIOUS: Final = 5
"""Fresh engagements refused in succession from which on the account is suspected.

Fewer happen by chance; from here on, a call to an engagement that is probably full would teach nothing.
"""

_PATIENCE: Final = 200
"""Fresh engagements refused in succession that mean a full account.

A mistake either way has its price. If the account is full, these calls are wasted, once: 2 % of the daily
quota of 10,000, in a minute or a few. If it is not, a park stops every row that could be sent, for hours. A
second wave often begins with dozens of full engagements whose invitations are not in the checkpoint; 200 of
them in a row, 1,800 invitations, have been sent by this program, and then the checkpoint knows.
After a park it is `_SUSPICIOUS`, and doubles with each invitation: an account whose room comes back one
invitation at a time must not cost 200 refused calls for each.
"""


class _Phase(Enum):
    """The part of a run.

    READING: fresh engagements may come. PROBING: none is left, and the run waits for room. LAST_ROUND: those
    that were refused are asked once more.
    """

    READING = "reading"
    PROBING = "probing"
    LAST_ROUND = "last_round"


class FullEngagements:
    """What the answers of a run, and the checkpoint, show about the engagements and the account.

    parked: an earlier run had found the account full. Then the engagements that it found full count as
    refused, so that restarts do not add up to more calls than one run may make.
    retries: of a service, which reads the rows again and again.
    """

    def __init__(self, *, parked: bool = False, retries: EngagementRetries | None = None) -> None:
        self.retries = retries
        self._full = _Engagements()
        self._full_themselves = _Engagements()
        self._invitations = _Engagements()
        self._counted = _Engagements()
        self._refused_in_succession: set[str] = set()
        self._patience = _PATIENCE
        self._parked_before = parked
        self._has_created = False
        self._phase = _Phase.READING
        self.has_given_up = False
        self._refused_again = 0

    @property
    def refused_in_succession(self) -> int:
        """Number of engagements refused since the last invitation that may show a full account."""
        return len(self._refused_in_succession)

    @property
    def is_account_suspected(self) -> bool:
        return self._parked_before or len(self._refused_in_succession) >= _SUSPICIOUS

    @property
    def is_account_full(self) -> bool:
        """Whether calls must wait until a probe shows that there is room."""
        enough = _SUSPICIOUS if self._phase is _Phase.PROBING else self._patience
        return self.refused_in_succession >= enough

    def is_full(self, engagement: str, *, was_full: bool = False) -> bool:
        """Whether no row of the engagement may be called now. was_full: an earlier run found it full."""
        if self.has_given_up or engagement in self._full:
            return True
        if self.retries is not None and self.retries.waits(engagement):
            return True
        if not self.is_account_suspected or self._phase is not _Phase.READING:
            return False
        return was_full or self._invitations.get(engagement, 0) >= _MAX_INVITATIONS

    def may_be_asked_again(self, engagement: str) -> bool:
        """Whether a row of the full engagement is worth keeping for the last round."""
        if self.retries is None or not self.retries.waits(engagement):
            return True
        return self.retries.is_due_soon(engagement) or self.is_evidence(engagement)

    def may_show_room(self, engagement: str, *, was_full: bool) -> bool:
        """Whether the account may be asked for this engagement at once, even if the run is parked."""
        if self._phase is not _Phase.READING or self.is_account_full:
            return False
        return not was_full and not self.is_full(engagement)

    def is_evidence(self, engagement: str) -> bool:
        """Whether the engagement was refused and may show that the account has room again."""
        return engagement in self._refused_in_succession

    def is_uncounted(self, engagement: str) -> bool:
        """Whether the checkpoint has not been asked yet for the invitations of the engagement."""
        return engagement not in self._counted

    def is_unclear(self, engagement: str, *, was_full: bool) -> bool:
        """Whether the invitations of the engagement must be counted before its row may be called or deferred.

        Only a suspected account needs to know: of a fresh engagement, whether it is full itself; of one that
        an earlier run found full, whether it counts as refused.
        """
        matters = self.is_account_suspected
        if was_full:
            matters = self._parked_before and not self.is_account_full
        return matters and self.is_uncounted(engagement)

    def count_invitations(self, engagement: str, count: int) -> None:
        """Note how many invitations of the engagement the checkpoint has, of any campaign and source."""
        self._counted.remember(engagement)
        if count:
            self._invitations.remember(engagement, max(count, self._invitations.get(engagement, 0)))

    def note_invitation(self, engagement: str) -> None:
        """Note an earlier invitation to the engagement, which may well be full."""
        self._invitations.remember(engagement, self._invitations.get(engagement, 0) + 1)

    def note_created(self, engagement: str) -> None:
        """Note a new invitation: the account has room, so engagements refused before are full themselves."""
        self.note_invitation(engagement)
        for refused in self._refused_in_succession:
            self._full_themselves.remember(refused)
        if self.retries is not None:
            self.retries.ask_soon(self._refused_in_succession - {engagement})
            self.retries.note_created(engagement)
        self._refused_in_succession.clear()
        self._refused_again = 0
        self._patience = min(_PATIENCE, 2 * self._patience)
        self._parked_before = False
        self._has_created = True

    def note_full(self, engagement: str) -> None:
        """Note a refused call: the other rows of the engagement are not called."""
        self._full.remember(engagement)
        if self.retries is not None:
            self.retries.note_refused(engagement)

    def note_full_before(self, engagement: str) -> None:
        """Note the turn of a row that an earlier run, or round, has deferred."""
        if self.retries is not None and self._phase is _Phase.READING:
            self.retries.note_full_before(engagement)

    def note_refused(self, engagement: str, *, was_full: bool) -> None:
        """Learn about the account from a refused call, once the engagement's invitations are counted.

        was_full: an earlier run had already found the engagement full.
        """
        if not was_full:
            self._suspect(engagement)
        if self.refused_in_succession >= self._patience:
            self._patience = _SUSPICIOUS
        if self._phase is _Phase.LAST_ROUND:
            self._refused_again += 1
            if self.is_account_suspected or self._refused_again >= self._patience:
                self.give_up()

    def note_deferred(self, engagement: str) -> None:
        """Note a row that an earlier run deferred, once the engagement's invitations are counted."""
        if self._parked_before:
            self._suspect(engagement)

    def _suspect(self, engagement: str) -> None:
        if self.refused_in_succession >= _MAX_REMEMBERED:
            return
        if not self._invitations.get(engagement) and engagement not in self._full_themselves:
            self._refused_in_succession.add(engagement)

    def begin_round(self) -> None:
        """Begin to read rows, again: there may be room in engagements that were full."""
        self._begin(_Phase.READING)
        if self.retries is not None:
            self.retries.begin_round()

    def begin_probing(self) -> bool:
        """Every row has been read: no fresh engagement is left. Return whether the account counts as full.

        It does if it did before, or if every engagement that was asked in this run was refused. Then one
        probe after the other asks engagements that were refused, until there is room.
        """
        is_full = self.is_account_full or (self.is_account_suspected and not self._has_created)
        self.retries = None  # this is the last chance of the rows, as in a run
        self._begin(_Phase.PROBING)
        is_full = is_full and self.is_account_full
        if is_full:
            self._patience = _SUSPICIOUS
        return is_full

    def begin_last_round(self) -> None:
        """Ask once more for what was refused, until too much of it is refused again.

        If the account is suspected, a single refusal is enough, else as many as mean a full account.
        """
        self._begin(_Phase.LAST_ROUND)

    def give_up(self) -> None:
        """Ask for nothing more in this round: no probe has found room."""
        self.has_given_up = True

    def _begin(self, phase: _Phase) -> None:
        self._phase = phase
        self.has_given_up = False
        self._refused_again = 0
        self._full.clear()


class _Engagements(OrderedDict[str, int]):
    """The latest engagements of a kind, with a number each."""

    def remember(self, engagement: str, number: int = 1) -> None:
        self[engagement] = number
        self.move_to_end(engagement)
        if len(self) > _MAX_REMEMBERED:
            self.popitem(last=False)
