"""A real browser for the live page, which must never load from elsewhere, or complain."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import pytest
from faults.needs import need
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request, expect, sync_playwright

_ARGUMENTS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_PATIENCE: Final = 30_000
"""Milliseconds: a machine that is busy is slow."""

CONTRASTS: Final = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = (color) => {
    const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = color.map((c) => linear(c / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = rgba(getComputedStyle(at).backgroundColor);
      if (color[3] === 255) return color;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const texts = [...element.childNodes].filter((node) => node.nodeType === 3);
    const text = texts.map((node) => node.data.trim()).join("");
    const { width, height } = element.getBoundingClientRect();
    if (!text || width <= 1 || height <= 1) continue;
    if (element.closest("fieldset:disabled, .skip, .unseen")) continue;
    const style = getComputedStyle(element);
    const ink = rgba(element.closest("svg") ? style.fill : style.color);
    const [low, high] = [light(ink), light(behind(element))].sort((a, b) => a - b);
    found.push([text, (high + 0.05) / (low + 0.05)]);
  }
  return found;
}"""
"""Every visible text, with its contrast to the background (WCAG 2: at least 4.5)."""


SPLIT_WORDS: Final = """(places) => {
  const split = [];
  for (const place of places) {
    const texts = document.createTreeWalker(place, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
      for (const word of texts.currentNode.data.matchAll(/\\S+/g)) {
        const range = document.createRange();
        range.setStart(texts.currentNode, word.index);
        range.setEnd(texts.currentNode, word.index + word[0].length);
        if (new Set([...range.getClientRects()].map((line) => line.top)).size > 1) split.push(word[0]);
      }
    }
  }
  return split;
}"""
"""Words broken over lines; a <wbr> ends a word."""


@dataclass
class Tab:
    """A page, and its effects: complaints in its console, and addresses that it loads from.

    expected: parts of complaints that a test provokes; hosts: where it may load from.
    """

    page: Page
    hosts: set[str] = field(default_factory=set)
    expected: list[str] = field(default_factory=list)
    _complaints: list[str] = field(default_factory=list)
    _strangers: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("request", self._asked)
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self._complaints.append(str(error)))

    def open(self, url: str) -> None:
        self.hosts.add(urlsplit(url).netloc)
        self.page.goto(url)

    def may_lose_the_connection(self) -> None:
        # Each request has its own connection: one may be in flight when the server is killed.
        lost = ("CONNECTION_REFUSED", "CONNECTION_RESET", "EMPTY_RESPONSE", "INCOMPLETE_CHUNKED_ENCODING")
        self.expected += [f"net::ERR_{each}" for each in lost]

    def check(self) -> None:
        """Fail for what the page should not have done since the last look."""
        complaints, self._complaints = self._complaints, []
        expected, self.expected = self.expected, []
        assert [each for each in complaints if not any(part in each for part in expected)] == []
        assert self._strangers == []

    def _asked(self, request: Request) -> None:
        if urlsplit(request.url).netloc not in self.hosts:
            self._strangers.append(request.url)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self._complaints.append(message.text)


@contextmanager
def chromium() -> Iterator[BrowserContext]:
    """One browser; loading a page in a new context for each test would cost seconds of work."""
    path = shutil.which("chromium")
    need("chromium (Debian: chromium)", there=path is not None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[*_ARGUMENTS])
        try:
            context = browser.new_context(timezone_id="Europe/Berlin")
            context.set_default_timeout(_PATIENCE)
            expect.set_options(timeout=_PATIENCE)
            yield context
        finally:
            browser.close()
    # Playwright runs a loop in this thread, under which no other test could run its own.
    with pytest.raises(RuntimeError, match="no running event loop"):
        asyncio.get_running_loop()
