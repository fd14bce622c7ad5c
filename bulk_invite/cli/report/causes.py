"""Rows without an invitation, by cause: how many, where they are, and what to do about them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import Final

from bulk_invite.checkpoint.audit.result import MOST_LISTED, Open, Proof
from bulk_invite.domain.records import NamedRow
from bulk_invite.domain.remedies import remedy_of
from bulk_invite.domain.verdicts import NEED_ATTENTION, State

_WHOLE_ROW: Final = ("", "$")


@dataclass(frozen=True, slots=True)
class Cause:
    """Rows in a state with the same error. first: the first of them, by position.

    code: of several, separated by commas, or "". path: of the member, "" for the row as a whole.
    """

    state: State
    code: str
    path: str
    rows: int
    remedy: str
    first: tuple[NamedRow, ...] = ()

    @property
    def unlisted(self) -> int:
        return self.rows - len(self.first)


def needing_attention(proof: Proof) -> list[Cause]:
    """Causes for which the operator has to act, most rows first. A row counts once for each of its errors."""
    return [
        Cause(
            each.state,
            each.code,
            "" if each.path in _WHOLE_ROW else each.path,
            each.rows,
            remedy_of(each.state, each.code),
            proof.first_rows.get((each.state, each.code, each.path), ()),
        )
        for each in proof.problems
        if each.state in NEED_ATTENTION
    ]


def still_open(proof: Proof) -> list[Cause]:
    """Causes of open rows, most rows first. All deferred rows have one, whatever deferred them."""
    deferred = [each for each in proof.open if each.state is State.DEFERRED]
    others = [_of_open(proof, [each]) for each in proof.open if each.state is not State.DEFERRED]
    causes = [_of_open(proof, deferred), *others] if deferred else others
    return sorted(causes, key=lambda each: -each.rows)


def _of_open(proof: Proof, reasons: list[Open]) -> Cause:
    state, code = reasons[0].state, ", ".join(each.code for each in reasons)
    listed = chain.from_iterable(proof.first_rows.get((state, each.code, ""), ()) for each in reasons)
    first = sorted(listed, key=lambda each: (each.position.source, each.position.line, each.position.key))
    rows = sum(each.rows for each in reasons)
    return Cause(state, code, "", rows, remedy_of(state, code), tuple(first[:MOST_LISTED]))
