"""A topic of the manual for a terminal: names stay whole, links are commands, and commands can be copied."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar

from markdown_it.token import Token
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import CodeBlock, Markdown, MarkdownElement, TableElement
from rich.measure import Measurement
from rich.padding import Padding
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from bulk_invite.cli.options.code_lines import commented, fitted, typed_fitted
from bulk_invite.manual.links import file_of, heading_at, picture, place_of


def page(text: str, topic: str) -> Markdown:
    """The Markdown of a topic, to be printed without cropping."""
    made = _Page(text, hyperlinks=False)
    for token in made.parsed:
        if token.children:
            token.children = list(_readable(token.children, topic))
    return made


class _Table(TableElement):
    """A table if it fits line by line; otherwise a list with an entry for each row."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        (table,) = super().__rich_console__(console, options)
        assert isinstance(table, Table)  # noqa: S101 - what rich makes of it
        if Measurement.get(console, options.update(max_width=10_000), table).maximum <= options.max_width:
            yield table
        else:
            yield from self._entries()

    def _entries(self) -> Iterator[Text | Padding]:
        heads = [cell.content for cell in self.header.row.cells] if self.header and self.header.row else []
        for row in self.body.rows if self.body else []:
            first, *others = (cell.content for cell in row.cells)
            term = first.copy()
            term.stylize("bold")
            yield term
            for head, value in zip(heads[1:], others, strict=True):
                named = Text.assemble((f"{head.plain}: ", "dim"), value) if len(others) > 1 else value
                yield Padding(named, (0, 0, 0, 4))
            yield Text()


class _Code(CodeBlock):
    """Code that is not wrapped: the terminal shows a long line on several, but it is copied as one."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        code, width = str(self.text).rstrip(), options.max_width - 2
        if self.lexer_name == "sh":
            code = fitted(code, width)
        elif self.lexer_name == "console":
            code = typed_fitted(code, width)
        elif self.lexer_name == "toml":
            code = commented(code, width)
        syntax = Syntax("", self.lexer_name, theme=self.theme, background_color="default")
        text = Text("\n").join(Text.assemble(" ", line) for line in syntax.highlight(code).split("\n"))
        # What is too wide would be cut off in an item of a list.
        text.no_wrap, text.overflow = (
            (True, "ignore") if options.max_width == console.width else (False, "fold")
        )
        yield Text()
        yield text


class _Page(Markdown):
    elements: ClassVar[dict[str, type[MarkdownElement]]] = {
        **Markdown.elements,
        "table_open": _Table,
        "fence": _Code,
    }


def _readable(children: Iterable[Token], topic: str) -> Iterator[Token]:
    """Text with what each link leads to, and the description of a picture, in words."""
    link, linked = "", list[Token]()
    for token in children:
        match token.type:
            case "link_open":
                link, linked = str(token.attrGet("href")), []
            case "link_close":
                yield from _with_target(linked, link, topic)
                link = ""
            case "image":
                yield _text(picture(str(token.attrGet("src")), token.content))
            case _ if link:
                linked.append(token)
            case _:
                yield token


def _with_target(linked: list[Token], link: str, topic: str) -> Iterator[Token]:
    said = "".join(token.content for token in linked)
    place, file = place_of(link, topic), file_of(link)
    if place is None:
        yield from linked
        if said != (file or link):
            yield _text(f" ({file} in the repository)" if file else f" ({link})")
        return
    heading = heading_at(place)
    if place.topic == topic:
        yield from linked
        if said.lower() != heading.lower():
            yield _text(f' (see "{heading}")')
        return
    command, under = _code(f"manual {place.topic}"), f', "{heading}"' if heading else ""
    if said == place.topic and not heading:
        yield command
    else:
        yield from linked
        yield _text(" (")
        yield command
        yield _text(f"{under})")


def _text(content: str) -> Token:
    return Token("text", "", 0, content=content)


def _code(content: str) -> Token:
    return Token("code_inline", "code", 0, content=content)
