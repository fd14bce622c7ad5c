"""Tables and definition lists of a page, with captions, scopes and right-aligned numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bulk_invite.cli.report.html import Markup, element, join

Cell = str | int | Markup


def table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[Cell]], *, more: str = "") -> Markup:
    """A table, in a box that scrolls sideways if a name is too long; the first column holds the row headers.

    more: a note below the table, such as how many rows were left out.
    """
    shown = [list(row) for row in rows]
    numbers = [bool(shown) and all(_is_number(row[at]) for row in shown) for at in range(len(heads))]
    head = [
        element("th", name, scope="col", role="columnheader", class_="number" if is_number else "text")
        for name, is_number in zip(heads, numbers, strict=True)
    ]
    # With roles: a narrow screen shows the rows as blocks, which are a table to a screen reader all the same.
    inner = element(
        "table",
        element("caption", caption),
        element("thead", element("tr", head, role="row"), role="rowgroup"),
        element("tbody", [_row(heads, row) for row in shown], role="rowgroup"),
        role="table",
    )
    box = element("div", inner, class_="box", tabindex=0, role="region", aria_label=caption)
    return join([box, element("p", more, class_="more")]) if more else box


def facts(pairs: Iterable[tuple[str, Cell]]) -> Markup:
    """A definition list: names and their values."""
    return element(
        "dl", [element("div", element("dt", name), element("dd", _shown(value))) for name, value in pairs]
    )


def _row(heads: Sequence[str], row: Sequence[Cell]) -> Markup:
    cells = [_cell(name, value) for name, value in zip(heads[1:], row[1:], strict=True)]
    return element("tr", element("th", _shown(row[0]), scope="row", role="rowheader"), cells, role="row")


def _cell(name: str, value: Cell) -> Markup:
    """A cell that says its column, for narrow screens."""
    kind = "number" if _is_number(value) else "text"
    return element("td", element("span", _shown(value)), class_=kind, role="cell", data_label=name)


def _is_number(value: Cell) -> bool:
    return isinstance(value, int) or value.endswith("%")


def _shown(value: Cell) -> str:
    return f"{value:,}" if isinstance(value, int) else value
