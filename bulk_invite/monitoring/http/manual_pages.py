"""The manual as pages of the control server: the same topics as `bulk-invite manual`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from html import escape
from itertools import pairwise
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from aiohttp import web
from anyio.to_thread import run_sync

from bulk_invite.manual import OVERVIEW, TOPICS, text_of

if TYPE_CHECKING:
    from markdown_it.token import Token

_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title} - bulk_invite</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="{root}favicon.svg" type="image/svg+xml">
<link rel="stylesheet" href="{root}page.css">
<link rel="stylesheet" href="{root}manual.css">
</head>
<body>
<nav><a href="{root}.">Live page</a> <a href="{root}manual">Manual</a></nav>
<main>
{body}
</main>
</body>
</html>
"""


def manual_routes() -> list[web.RouteDef]:
    async def contents(_: web.Request) -> web.Response:
        return _page(_contents(), title="Manual", root="")

    def route(topic: str) -> web.RouteDef:
        async def page(_: web.Request) -> web.Response:
            # Some milliseconds, once a topic.
            return _page(await run_sync(_rendered, topic), title=topic, root="../")

        return web.get(f"/manual/{topic}", page)

    return [web.get("/manual", contents), *map(route, TOPICS)]


def _page(body: str, *, title: str, root: str) -> web.Response:
    """root: the path from the page to the live page, relative, so that both may be behind a proxy."""
    text = _PAGE.format(title=escape(title), root=root, body=body)
    return web.Response(text=text, content_type="text/html")


def _contents() -> str:
    lines = "\n".join(
        f'<dt><a href="manual/{topic}">{topic}</a></dt><dd>{escape(about.replace("`", ""))}</dd>'
        for topic, about in TOPICS.items()
    )
    return f"<h1>Manual</h1>\n<dl>\n{lines}\n</dl>"


@cache
def _rendered(topic: str) -> str:
    return as_html(text_of(topic))


def as_html(text: str) -> str:
    """The Markdown of a topic as HTML, with its headings as link targets. HTML in it is escaped."""
    # For these pages only: a run without a reader does not wait for the import.
    from markdown_it import MarkdownIt  # noqa: PLC0415

    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = markdown.parse(text)
    for token, following in pairwise(tokens):
        if token.type == "heading_open":
            token.attrSet("id", _anchor(following.content))
        token.attrs.pop("style", None)  # of columns; the content security policy forbids it
        following.children = list(_served(following.children)) if following.children else None
    return str(markdown.renderer.render(tokens, markdown.options, {}))


def _served(children: Iterable[Token]) -> Iterator[Token]:
    """Without links to files that are not served: their text and the description of a picture stay."""
    target: str | None = None
    for token in children:
        if token.type == "link_open":
            target = _target(str(token.attrGet("href")))
            token.attrSet("href", target or "")
        if token.type == "image":
            yield from token.children or ()
        elif target is not None or token.type not in {"link_open", "link_close"}:
            yield token


def _anchor(heading: str) -> str:
    """The fragment by which a link names a heading, as GitHub makes it."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def _target(link: str) -> str | None:
    """What a link between files of the repository is between pages; None where there is no page."""
    path, number_sign, fragment = link.partition("#")
    if not path or "://" in path:
        return link
    topic = OVERVIEW if path == "../../README.md" else PurePosixPath(path).stem
    return f"{topic}{number_sign}{fragment}" if topic in TOPICS else None
