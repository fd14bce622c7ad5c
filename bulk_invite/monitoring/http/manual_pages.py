"""The manual as pages of the control server: the same topics as `bulk-invite manual`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from aiohttp import web
from anyio.to_thread import run_sync

from bulk_invite.manual import TOPICS, text_of
from bulk_invite.manual.links import anchor_of, file_of, picture, place_of
from bulk_invite.monitoring.http.answers import ErrorPage, refused

if TYPE_CHECKING:
    from markdown_it.token import Token

_HTML: Final = "text/html"

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
        return web.Response(text=_page(_contents(), title="Manual", root=""), content_type=_HTML)

    async def unknown(request: web.Request) -> web.Response:
        if _HTML not in request.headers.get("Accept", ""):
            return refused(404)
        root = "../" * request.raw_path.partition("?")[0].removeprefix("/").count("/")
        body = f"<h1>No such topic</h1>\n<p>The manual has these topics:</p>\n{_topics(root)}"
        return ErrorPage(status=404, text=_page(body, title="No such topic", root=root), content_type=_HTML)

    def route(topic: str) -> web.RouteDef:
        async def page(_: web.Request) -> web.Response:
            # Some milliseconds, once a topic.
            text = _page(await run_sync(_rendered, topic), title=topic, root="../")
            return web.Response(text=text, content_type=_HTML)

        return web.get(f"/manual/{topic}", page)

    return [web.get("/manual", contents), *map(route, TOPICS), web.get("/manual/{unknown:.*}", unknown)]


def _page(body: str, *, title: str, root: str) -> str:
    """root: the path from the page to the live page, relative, so that both may be behind a proxy."""
    return _PAGE.format(title=escape(title), root=root, body=body)


def _contents() -> str:
    return f"<h1>Manual</h1>\n{_topics('')}"


def _topics(root: str) -> str:
    lines = "\n".join(
        f'<dt><a href="{root}manual/{topic}">{topic}</a></dt><dd>{escape(about.replace("`", ""))}</dd>'
        for topic, about in TOPICS.items()
    )
    return f"<dl>\n{lines}\n</dl>"


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
            token.attrSet("id", anchor_of(following.content))
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
            token.type, token.tag = "text", ""
            token.content = picture(str(token.attrGet("src")), token.content)
            yield token
        elif target is not None or token.type not in {"link_open", "link_close"}:
            yield token


def _target(link: str) -> str | None:
    """What a link between files of the repository is between pages; None where there is no page."""
    if link.startswith("#") or file_of(link) is None:
        return link
    place = place_of(link, "")
    return None if place is None else f"{place.topic}{f'#{place.anchor}' if place.anchor else ''}"
