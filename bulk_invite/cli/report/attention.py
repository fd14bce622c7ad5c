"""The sections of a report page on rows without an invitation: by cause, with the remedy and the rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bulk_invite.checkpoint.audit.result import Proof
from bulk_invite.cli.report.causes import Cause, needing_attention, still_open
from bulk_invite.cli.report.html import Markup, breakable, element, join, prose
from bulk_invite.cli.report.row_lists import RowList, row_lists
from bulk_invite.domain.texts import plural
from bulk_invite.runs.output.headline import state_name
from bulk_invite.runs.output.next_steps import export_command
from bulk_invite.runs.wiring.checkpoint import checkpoint_option

_LISTED_AGAIN: Final = "A row with several errors is listed under each of them."


def attention_section(proof: Proof) -> Markup:
    causes = needing_attention(proof)
    if not causes:
        return element("p", "Nothing: no row failed or was rejected.")
    note = element("p", _LISTED_AGAIN, class_="more")
    is_listed_again = sum(cause.rows for cause in causes) > proof.needing_attention
    return join([*([note] if is_listed_again else []), _list(proof, causes)])


def open_section(proof: Proof) -> Markup:
    causes = still_open(proof)
    return _list(proof, causes) if causes else element("p", "Nothing: no row is open.")


def _list(proof: Proof, causes: Sequence[Cause]) -> Markup:
    items = [element("li", _cause(cause, proof.checkpoint)) for cause in causes]
    return element("ul", items, class_="causes", role="list")


def _cause(cause: Cause, checkpoint: str) -> Markup:
    parts = [element("h3", _title(cause)), element("p", prose(cause.remedy), class_="remedy")]
    parts += [element("p", _rows(each), class_="rows") for each in row_lists(cause.first)]
    if cause.first and cause.unlisted:
        command = export_command(cause.state, checkpoint_option(checkpoint))
        more = f"and {cause.unlisted:,} more: `{command}` lists them all."
        parts.append(element("p", prose(more), class_="more"))
    return join(parts)


def _title(cause: Cause) -> Markup:
    rows = f"{plural(cause.rows, 'row', 'rows')} {state_name(cause.state)}"
    code = [": ", element("code", breakable(cause.code))] if cause.code else []
    path = [" at ", element("code", breakable(cause.path))] if cause.path else []
    return join([rows, *code, *path])


def _rows(listed: RowList) -> Markup:
    texts = [element("span", breakable(text)) for text in listed.texts]
    separated = [part for text in texts for part in (", ", text)][1:]
    return join([breakable(listed.source), f", {listed.unit} ", *separated])
