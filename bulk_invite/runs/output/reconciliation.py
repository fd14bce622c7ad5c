"""The result of `reconcile`."""

from __future__ import annotations

from collections.abc import Mapping

from bulk_invite.domain.errors import BulkInviteError
from bulk_invite.domain.texts import plural
from bulk_invite.domain.verdicts import State
from bulk_invite.monitoring.figures import rounded
from bulk_invite.runs.output import standard_output
from bulk_invite.runs.output.next_steps import export_command
from bulk_invite.runs.output.summary import show_text


def show_reconciliation(
    states: Mapping[State, int],
    in_doubt: int,
    elapsed: float,
    *,
    as_json: bool,
    checkpoint: str = "",
    error: BulkInviteError | None = None,
) -> None:
    """Print the states found by look-ups.

    in_doubt: rows still in doubt in the checkpoint. checkpoint: the option that names it, or "".
    """
    names = (State.CREATED, State.PENDING, State.DEFERRED, State.FAILED)
    counts: dict[str, object] = {state.value: states.get(state, 0) for state in names}
    values = rounded({**counts, "in_doubt": in_doubt, "elapsed_s": elapsed})
    if as_json:
        standard_output.write_object(values, error, complete=not in_doubt)
        return
    resolved = sum(states.get(state, 0) for state in names)
    said = [f"{plural(resolved, 'row', 'rows')} resolved; {in_doubt:,} still in doubt."]
    if in_doubt:
        said.append(f"To see why rows are in doubt: {export_command(State.IN_DOUBT, checkpoint)}")
    if pending := states.get(State.PENDING, 0):
        have = plural(pending, "row has", "rows have")
        said.append(f"{have} no invitation yet: send them with bulk-invite send.")
    show_text(said, values)
