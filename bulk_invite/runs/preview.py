"""Before a confirmation: whether this sender could begin, from which account, and what it would send."""

from __future__ import annotations

import asyncio
from functools import partial
from signal import Signals

import anyio

from bulk_invite.domain.errors import CheckpointHeldError
from bulk_invite.domain.records import Owner
from bulk_invite.runs.dry_run import DryRun
from bulk_invite.runs.read_ahead import GRACE, read_ahead
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.wiring.checkpoint import database_of, open_reader_of_any
from bulk_invite.runs.wiring.daemon_threads import in_daemon_thread
from bulk_invite.runs.wiring.partner_central import identify
from bulk_invite.runs.wiring.signals import until_signal


class Preview:
    """`look` once. owner: of the credentials, None if the endpoint is down."""

    def __init__(self, settings: Settings, reading: DryRun | None) -> None:
        """reading: of the sources; None if they cannot be read ahead."""
        self.owner: Owner | None = None
        self._settings = settings
        self._reading = reading

    def look(self) -> Signals | None:
        """Identify the account and read the sources; return the signal that has ended it, if one has.

        Raises CheckpointError if another sender or account has the checkpoint, SenderError if the credentials
        are refused, and what reading raises.
        """
        if self._reading is not None:
            return read_ahead(self._reading, self._settings, self._identify)
        run = partial(until_signal, self._identify, lambda: None, GRACE)
        return anyio.run(run, backend_options={"use_uvloop": True})

    async def _identify(self) -> None:
        await asyncio.wrap_future(in_daemon_thread(self._require_free))
        owner = await identify(self._settings)
        if isinstance(owner, Owner):  # else the endpoint is down, which the run waits for
            self.owner = owner
            await asyncio.wrap_future(in_daemon_thread(partial(self._require_ours, owner)))

    def _require_free(self) -> None:
        database = database_of(self._settings)
        if not self._settings.wait_for_lock and database.has_sender():
            raise CheckpointHeldError(database.name, database.holder())

    def _require_ours(self, owner: Owner) -> None:
        if (reader := open_reader_of_any(self._settings)) is not None:
            with reader:
                reader.require_owner(owner)
