"""The manual as the control server shows it: the same topics, valid links, no scripts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from urllib.error import HTTPError
from urllib.parse import urljoin, urlsplit
from urllib.request import Request, urlopen

import pytest
from documents import topic
from page_server import PageServer, page_server

from bulk_invite.manual import TOPICS
from bulk_invite.monitoring.http.manual_pages import as_html
from bulk_invite.monitoring.http.pages import POLICY


@pytest.fixture(scope="module")
def server() -> Iterator[PageServer]:
    with page_server() as running:
        yield running


def _get(url: str) -> tuple[str, dict[str, str]]:
    with urlopen(url) as answer:
        assert answer.status == 200
        return answer.read().decode(), dict(answer.headers)


def test_the_contents_have_every_topic_and_the_live_page_links_there(server: PageServer) -> None:
    contents, _ = _get(urljoin(server.url, "manual"))
    assert re.findall(r'<dt><a href="manual/([^"]+)">', contents) == list(TOPICS)
    live, _ = _get(server.url)
    linked = set(re.findall(r'href="manual/?([^"]*)"', live))
    assert {"", "pacing", "troubleshooting"} <= linked <= {"", *TOPICS}


@pytest.mark.parametrize("name", TOPICS)
def test_every_link_of_a_topic_leads_to_a_page_or_heading(server: PageServer, name: str) -> None:
    url = urljoin(server.url, f"manual/{name}")
    page, headers = _get(url)
    assert headers["Content-Security-Policy"] == POLICY
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert "style=" not in page
    assert "<script" not in page
    assert "<img" not in page
    assert page.count("<h1") == 1
    for target in map(unescape, re.findall(r'href="([^"]+)"', page)):
        place = urlsplit(urljoin(url, target))
        assert place.netloc == urlsplit(server.url).netloc, target
        found, _ = _get(place._replace(fragment="").geturl())
        assert not place.fragment or f'id="{place.fragment}"' in found, target


def test_html_in_a_topic_is_shown_as_text(server: PageServer) -> None:
    assert "<NAME>" in topic("options")
    page, _ = _get(urljoin(server.url, "manual/options"))
    assert "&lt;NAME&gt;" in page
    links = "[z](javascript:x) [w](data:text/html,x)"
    html = as_html(f"# T\n<script>x</script> <b>y</b> {links}\n\n<img src=x onerror=y>\n")
    assert not re.search(r"<(script|b|img|a)\b", html)


@pytest.mark.parametrize(
    "path", ["manual/none", "manual/..%2findex.html", "manual/rows.md", "manual/", "manual/a/b"]
)
def test_for_another_topic_a_browser_gets_a_page_with_all_topics_and_a_program_json(
    server: PageServer, path: str
) -> None:
    url = urljoin(server.url, path)
    browser = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    for headers, content_type in ((browser, "text/html; charset=utf-8"), ({}, "application/json")):
        with pytest.raises(HTTPError) as refused:
            urlopen(Request(url, headers=headers))
        with refused.value as answer:
            assert (answer.code, answer.headers["Content-Type"]) == (404, content_type)
            assert answer.headers["Content-Security-Policy"] == POLICY
            text = answer.read().decode()
        if headers:
            links = {urljoin(url, link) for link in re.findall(r'<dt><a href="([^"]+)">', text)}
            assert links == {urljoin(server.url, f"manual/{name}") for name in TOPICS}
            _get(urljoin(url, re.findall(r'<link rel="stylesheet" href="([^"]+)">', text)[0]))
        else:
            assert text == '{"error":"Not found."}'


def test_a_picture_is_described(server: PageServer) -> None:
    page, _ = _get(urljoin(server.url, "manual/rehearsal"))
    assert "Picture (config/steps.svg in the repository): Rates over time" in page
