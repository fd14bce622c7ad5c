"""The manual: one Markdown file per topic, shipped with the program."""

from __future__ import annotations

from importlib.metadata import metadata
from importlib.resources import files
from typing import Final

OVERVIEW: Final = "overview"
"""The topic that is README.md itself."""

TOPICS: Final[dict[str, str]] = {
    OVERVIEW: "what it is, promises, states of a row, exit codes",
    "rows": "row format, warnings, tokens, keys and labels, files as sources",
    "results": "results folder, `status`, `export`, `report`, JSON output",
    "postgresql": "a table as the source, write-back, a shared checkpoint",
    "serve": "send new rows as they arrive",
    "options": "every option, its default and meaning",
    "pacing": "how fast it sends, daily quota, parking",
    "unknown-outcomes": "rows in doubt, look-ups, restored checkpoints",
    "operations": "a backfill from rehearsal to report, credentials, `doctor`",
    "deploy": "a server: systemd, cron, upgrades",
    "monitoring": "live page and API, probes, webhook, metrics, traces, alerts",
    "troubleshooting": "error messages, row errors, log events: what to do",
    "rehearsal": "the local Partner Central, faults, simulation of the pacing",
}
"""What each topic is about, in the order of the list. README.md has the same."""


def text_of(topic: str) -> str:
    """The Markdown of one of TOPICS. The overview is read from the metadata of the installed package."""
    if topic == OVERVIEW:
        return metadata("bulk-invite").json["description"]  # type: ignore[return-value] # one text, not a list
    return (files(__name__) / f"{topic}.md").read_text(encoding="utf-8")
