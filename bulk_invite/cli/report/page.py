"""A report as one self-contained HTML page: no scripts, images or external resources."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Final

from bulk_invite.checkpoint.audit.result import Proof
from bulk_invite.cli.report.html import Markup, breakable, element, join, prose
from bulk_invite.cli.report.sections import SECTIONS
from bulk_invite.cli.report.wording import Standing, day, moment, standing, verdict

GENERATOR: Final = "bulk-invite report"
"""Marks a page as one of ours, which may be replaced."""

_LIMITS: Final = (
    "This report is based on the checkpoint alone. The audit proves that the sender followed its protocol: "
    "an intent before each call, one token per row, no call after an Id is known, no Id twice. It cannot "
    "prove what the service stores: to verify that, compare the Ids of the created rows "
    "(`bulk-invite export`)."
)

_MOODS: Final = {
    Standing.COMPLETE: "good",
    Standing.NONE_INVITED: "bad",
    Standing.NOT_PROVEN: "bad",
}
"""Colors of the verdict; amber for all others."""

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
    stands = standing(proof)
    said = [element("strong", stands.value), " ", verdict(proof)]
    parts = [
        element("h1", breakable(title)),
        element("p", join(said), class_=f"verdict {_MOODS.get(stands, 'open')}"),
        element("p", _scope(proof), class_="scope"),
    ]
    parts += [element("p", note, class_="note") for note in proof.notes]
    if proof.active:
        parts.append(element("p", "A sender was running when this report was written.", class_="note"))
    return element("header", join(parts))


def _scope(proof: Proof) -> str:
    """Whose invitations they are, of which campaign, and when they were sent."""
    account = proof.owner.account if proof.owner is not None else ""
    names = [each.name for each in proof.campaigns if each.name]
    first, last = proof.course.first_started, proof.course.last_event
    parts = [f"Account {account or 'unknown'}", f"catalog {proof.catalog}"]
    if names and proof.campaigns_in_all == 1:
        parts.append(f"campaign {names[0]}")
    elif proof.campaigns_in_all > 1:
        parts.append(f"{proof.campaigns_in_all:,} campaigns")
    if first is not None and last is not None:
        parts.append(day(first) if day(first) == day(last) else f"{day(first)} to {day(last)}")
    return ", ".join(parts) + "."


def _footer(proof: Proof) -> Markup:
    written = f"Written {moment(proof.at)} UTC by bulk-invite {version('bulk-invite')}."
    return element("footer", element("p", prose(_LIMITS)), element("p", written))
