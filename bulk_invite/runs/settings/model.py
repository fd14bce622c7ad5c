"""All settings of a run, put together from their sections; nothing else repeats a default.

`loading` decides where a value comes from; `options` lists the settings as an operator writes them.
"""

from __future__ import annotations

from typing import Final, Literal

from bulk_invite.domain.errors import EXIT_ATTENTION
from bulk_invite.domain.member_path import KEY, LABEL, MemberPath, is_path
from bulk_invite.runs.settings.operating import Following, Monitoring, Output
from bulk_invite.runs.settings.option_field import Section
from bulk_invite.runs.settings.sending import (
    Checkpoint,
    Database,
    Identity,
    Pacing,
    Target,
    UnknownOutcomes,
)

SECTIONS: Final[tuple[type[Section], ...]] = (
    *(Target, Checkpoint, Identity, Database, Pacing, UnknownOutcomes),
    *(Output, Monitoring, Following),
)
"""In the order of the help."""


class Settings(
    Target, Checkpoint, Identity, Database, Pacing, UnknownOutcomes, Output, Monitoring, Following
):
    """The settings of a run. Only the program layer sees them."""

    @property
    def is_watched(self) -> bool:
        """Whether others can see how a run is."""
        return self.listen is not None or self.health_file is not None

    @property
    def shown_progress(self) -> Literal["auto", "on", "off"]:
        return "off" if self.quiet else self.progress

    def exit_code(self, code: int) -> int:
        """The exit code of the process for that of a command that finished."""
        return 0 if code == EXIT_ATTENTION and self.exit_zero_on_rejected else code

    @property
    def tokens_from_keys(self) -> bool:
        return self.token_from == "key"  # noqa: S105 - no password

    @property
    def key_column(self) -> str:
        """The column of a database with the keys, or ""."""
        return self.key if self.key and not is_path(self.key) else ""

    @property
    def key_path(self) -> MemberPath:
        """Where rows of files have their keys."""
        return MemberPath.parse(self.key) if self.key and is_path(self.key) else KEY

    @property
    def label_column(self) -> str:
        """The column of a database with the labels, or ""."""
        return self.label if self.label and not is_path(self.label) else ""

    @property
    def label_path(self) -> MemberPath:
        """Where rows have their labels, unless a column has them."""
        return MemberPath.parse(self.label) if self.label and is_path(self.label) else LABEL
