"""The rows of earlier runs, for a command that does its work without them, too."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Self

from bulk_invite.domain.errors import BulkInviteError
from bulk_invite.domain.rows import Invitation
from bulk_invite.domain.same_receiver import Recorded
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.wiring.checkpoint import database_of, no_checkpoint, open_reader, warn_if_stale
from bulk_invite.runs.wiring.temporary_folder import temporary_folder

if TYPE_CHECKING:
    from bulk_invite.checkpoint.reader import CheckpointReader


class EarlierRows:
    """The rows of a checkpoint, read while a run may be writing to it. Use it as a context manager.

    name: of the checkpoint, "" until it is open. problem: why rows are not compared, or no longer; None also
    if there is no checkpoint and none is named.
    """

    def __init__(self, settings: Settings, *, is_required: bool) -> None:
        """is_required: a checkpoint that exists and cannot be used raises its error."""
        self._settings = settings
        self._is_required = is_required
        self._reader: CheckpointReader | None = None
        self._stack = ExitStack()
        self.name = ""
        self.problem: BulkInviteError | None = None

    def __enter__(self) -> Self:
        is_default = self._settings.checkpoint == Settings.model_fields["checkpoint"].default
        if is_default and not os.path.lexists(self._settings.checkpoint):
            return self
        with ExitStack() as undo:
            undo.callback(self._stack.close)
            with self._tolerated():
                if self._exists():
                    self._reader = self._opened()
            undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def recorded(self, batch: Sequence[Invitation]) -> Mapping[str, Recorded]:
        """What is known of rows, by token. Raises BulkInviteError if the checkpoint is required."""
        if self._reader is not None and batch:
            with self._tolerated():
                return self._reader.recorded(batch, self._settings.campaign)
        return {}

    @contextmanager
    def _tolerated(self) -> Iterator[None]:
        try:
            yield
        except BulkInviteError as error:
            if self._is_required:
                raise
            self._reader = None
            self.problem = error

    def _exists(self) -> bool:
        database = database_of(self._settings)
        if not database.exists():
            # No fault, even of a required one: the first run creates it.
            self.problem = no_checkpoint(database.name)
            return False
        return True

    def _opened(self) -> CheckpointReader:
        from bulk_invite.checkpoint.reader import CheckpointReader  # noqa: PLC0415
        from bulk_invite.checkpoint.storage.base import require_catalog  # noqa: PLC0415

        reader = self._stack.enter_context(open_reader(self._settings))
        require_catalog(database_of(self._settings), reader.catalog, self._settings.catalog)
        warn_if_stale(reader)
        indexed = reader
        if not reader.compares_fast:
            copy = self._stack.enter_context(temporary_folder()) / "copy.db"
            reader.copy_to_compare(copy)
            indexed = self._stack.enter_context(CheckpointReader(copy))
        self.name = reader.name
        return indexed
