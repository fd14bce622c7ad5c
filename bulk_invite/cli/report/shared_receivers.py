"""What a report says of partners that several rows invite to the same engagement. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from bulk_invite.checkpoint.audit.result import Proof, SharedReceiver, TwinRow
from bulk_invite.cli.report.html import Markup, breakable, element, join
from bulk_invite.domain.texts import plural
from bulk_invite.domain.verdicts import State
from bulk_invite.runs.output.headline import state_name

TITLE: Final = "Same engagement and account"


def facts_of(proof: Proof) -> Iterator[str]:
    """Sentences about all of them."""
    if again := proof.invited_again:
        partners = plural(again, "partner has", "partners have")
        yield f"{partners} more than one invitation to the same engagement. None of them can be taken back."
    if waiting := proof.shared_in_all - proof.invited_again:
        partners = plural(waiting, "partner has", "partners have")
        yield (
            f"{partners} several rows for the same engagement, not all of them created: send with "
            "--on-same-receiver skip to leave out those that were not called."
        )


def rows_of(shared: SharedReceiver) -> str:
    """`april.ndjson:1 (wave 3), may.ndjson:1 (deferred)`."""
    more = shared.rows - len(shared.first)
    return ", ".join(map(_named, shared.first)) + (f" and {more:,} more" if more else "")


def left_out(proof: Proof, shown: int) -> str:
    """A line about receivers that are not listed, or ""."""
    left = proof.shared_in_all - shown
    return f"and {left:,} more" if left > 0 else ""


def shared_section(proof: Proof) -> Markup:
    if not proof.shared:
        return element("p", "Nothing: no two rows to send are known to have the same engagement and account.")
    parts = [element("p", fact) for fact in facts_of(proof)]
    parts.append(element("ul", [element("li", breakable(rows_of(each))) for each in proof.shared]))
    if left := left_out(proof, len(proof.shared)):
        parts.append(element("p", left, class_="more"))
    return join(parts)


def _named(twin: TwinRow) -> str:
    state = "" if twin.state is State.CREATED else state_name(twin.state)
    notes = ", ".join(filter(None, (twin.row.label, state)))
    return f"{twin.row.position}" + (f" ({notes})" if notes else "")
