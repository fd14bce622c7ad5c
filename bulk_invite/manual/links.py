"""What a link of the manual, which is one between files of the repository, leads to for a reader."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from bulk_invite.manual import OVERVIEW, TOPICS, text_of


@dataclass(frozen=True, slots=True)
class Place:
    """A topic, and the anchor of a heading in it; "" for its beginning."""

    topic: str
    anchor: str = ""


def place_of(link: str, topic: str) -> Place | None:
    """The place that a link of `topic` leads to; None if it is not in the manual."""
    path, _, anchor = link.partition("#")
    if not path:
        return Place(topic, anchor)
    name = OVERVIEW if path == "../../README.md" else PurePosixPath(path).stem
    return Place(name, anchor) if name in TOPICS and "://" not in path else None


def file_of(link: str) -> str | None:
    """The file of the repository that a link leads to; None for an address of the web."""
    path = link.partition("#")[0]
    return None if "://" in path else path.removeprefix("../../")


def picture(link: str, description: str) -> str:
    """What a reader gets where a picture cannot be shown."""
    return f"Picture ({file_of(link) or link} in the repository): {description}."


def anchor_of(heading: str) -> str:
    """The fragment by which a link names a heading, as GitHub makes it."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def heading_at(place: Place) -> str:
    """The heading that a place has; "" if it is the beginning of its topic."""
    headings = re.findall(r"^#+ (.+)$", text_of(place.topic), re.MULTILINE)
    return next((each for each in headings if anchor_of(each) == place.anchor), "")
