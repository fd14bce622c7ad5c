"""A report as one self-contained HTML page: no scripts, images or external resources."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Final

from bulk_invite.checkpoint.audit.result import Proof
from bulk_invite.cli.report.html import Markup, element, join, prose
from bulk_invite.cli.report.sections import SECTIONS
from bulk_invite.cli.report.wording import moment, verdict
from bulk_invite.domain.verdicts import NEED_ATTENTION

GENERATOR: Final = "bulk-invite report"
"""Marks a page as one of ours, which may be replaced."""

_LIMITS: Final = (
    "This report is based on the checkpoint alone. The audit proves that the sender followed its protocol: "
    "an intent before each call, one token per row, no call after an Id is known, no Id twice. It cannot "
    "prove what the service stores: to verify that, compare the Ids of the created rows "
    "(`bulk-invite export`)."
)

_STYLE: Final = Markup((Path(__file__).parent / "page.css").read_text(encoding="utf-8"))
_STYLE_HASH: Final = b64encode(sha256(_STYLE.encode()).digest()).decode()
_POLICY: Final = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'"


def page(proof: Proof) -> str:
    title = f"Invitation report: {proof.checkpoint}"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="generator", content=GENERATOR),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", _STYLE),
    )
    sections = [
        element("section", element("h2", name, id=anchor), build(proof), aria_labelledby=anchor)
        for anchor, name, build in SECTIONS
    ]
    body = element("body", _header(title, proof), element("main", sections), _footer(proof))
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def _header(title: str, proof: Proof) -> Markup:
    needs_work = proof.rows_open or any(proof.states.get(state) for state in NEED_ATTENTION)
    mood = "bad" if not proof.adds_up else "open" if needs_work else "good"
    parts = [element("h1", title), element("p", verdict(proof), class_=f"verdict {mood}")]
    parts += [element("p", note, class_="note") for note in proof.notes]
    if proof.active:
        parts.append(element("p", "A sender was running when this report was written.", class_="note"))
    return element("header", join(parts))


def _footer(proof: Proof) -> Markup:
    written = f"Written {moment(proof.at)} UTC by bulk-invite {version('bulk-invite')}."
    return element("footer", element("p", prose(_LIMITS)), element("p", written))
