"""One sentence about a set of rows: how many invitations exist, what needs attention, what is open."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bulk_invite.domain.verdicts import NEED_ATTENTION, OPEN, State


def headline(
    states: Mapping[State, int], earlier: int = 0, *, unread: str = "", has_details: bool = True
) -> str:
    """The sentence for these rows. earlier: rows beyond `states` that earlier runs created.

    unread: a clause about rows that were not read. has_details: name the states of rows without one.

    Duplicates get no invitation of their own, so they are not counted.
    """
    if not earlier and not any(states.values()):
        return "No row was read."
    rows = sum(states.values()) - states.get(State.DUPLICATE, 0) + earlier
    created = states.get(State.CREATED, 0)
    parts = [f"{created + earlier:,} of {rows:,} invitations created{_when(created, earlier)}"]
    if not rows:
        parts = ["Every row is a duplicate of another one"]
    if attention := _count(states, NEED_ATTENTION):
        verb = "needs" if attention == 1 else "need"
        parts.append(f"{attention:,} {verb} attention{_by_state(states, NEED_ATTENTION, shown=has_details)}")
    if still_open := _count(states, OPEN):
        parts.append(f"{still_open:,} still open{_by_state(states, OPEN, shown=has_details)}")
    if unread:
        parts.append(unread)
    if len(parts) == 1:
        parts.append("nothing needs attention")
    return "; ".join(parts) + "."


def state_name(state: State) -> str:
    """A state in prose: `in doubt`."""
    return state.value.replace("_", " ")


def _when(created: int, earlier: int) -> str:
    if not earlier:
        return ""
    return f" ({created:,} in this run)" if created else " (all before this run)"


def _count(states: Mapping[State, int], of: Iterable[State]) -> int:
    return sum(states.get(state, 0) for state in of)


def _by_state(states: Mapping[State, int], of: Iterable[State], *, shown: bool) -> str:
    """` (96 failed, 76 rejected)`, without states that have no rows."""
    counted = ", ".join(f"{states[state]:,} {state_name(state)}" for state in of if states.get(state))
    return f" ({counted})" if shown else ""
