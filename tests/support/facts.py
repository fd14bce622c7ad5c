"""Rows and runs that a decision is tested on: the Protocols of `next_step` as plain values."""

from __future__ import annotations

from dataclasses import dataclass

from bulk_invite.domain.findings import DoubtfulRow
from bulk_invite.domain.transitions import Transition
from bulk_invite.domain.verdicts import State


@dataclass(frozen=True, slots=True)
class RowFacts:
    state: State = State.PENDING
    doubt: DoubtfulRow | None = None
    is_from_earlier_run: bool = False
    is_too_old: bool = False
    denial: Transition | None = None
    tries_left: int = 1
    is_poison: bool = False
    has_permit: bool = False


@dataclass(frozen=True, slots=True)
class RunFacts:
    is_draining: bool = False
    is_last_round: bool = False
    is_full: bool = False
    is_down: bool = False
    has_room: bool = True
