"""Partner Central as the settings name it, for every command that calls it."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import anyio
import structlog

from bulk_invite.checkpoint.writer import CheckpointWriter
from bulk_invite.delivery.lookup.group_lookup import GroupLookup, Known
from bulk_invite.delivery.lookup.queries import InvitationReader, Queries
from bulk_invite.delivery.sending.permits import Waits
from bulk_invite.delivery.tracking.stop_switch import StopSwitch
from bulk_invite.delivery.worker_pool import MAX_IN_FLIGHT
from bulk_invite.domain.backoff import UNREACHABLE, Backoff
from bulk_invite.domain.clock import Clock
from bulk_invite.domain.confirmed import require_confirmed
from bulk_invite.domain.errors import CheckpointHeldError
from bulk_invite.domain.records import Owner
from bulk_invite.domain.urls import origin
from bulk_invite.domain.verdicts import Unreachable
from bulk_invite.partner_central import Connection, PartnerCentral, connect
from bulk_invite.runs.settings.model import Settings

_log = structlog.get_logger()

_LOOK: Final = 5.0
"""Seconds between two attempts to claim an account that another checkpoint is sending for."""

WAITS: Final = Waits(
    doubtful=Backoff(base=0.2, cap=20.0),
    throttled=Backoff(base=0.1, cap=5.0),
    unreachable=UNREACHABLE,
)


def endpoint_of(settings: Settings) -> str:
    """The endpoint as it is shown to the operator: the path of a URL may hold a key."""
    return origin(settings.endpoint_url) if settings.endpoint_url else f"Partner Central, {settings.region}"


def connection_of(settings: Settings) -> Connection:
    return Connection(
        region=settings.region,
        profile=settings.profile,
        endpoint_url=settings.endpoint_url,
        catalog=settings.catalog,
        model=settings.service_model,
        in_flight=MAX_IN_FLIGHT,  # it may be raised during the run
        deadline=settings.call_timeout,
    )


@asynccontextmanager
async def connected(settings: Settings, stop: StopSwitch) -> AsyncIterator[PartnerCentral | None]:
    """The connection to the service; None where the run was stopped before it was made.

    Raises SenderError and SettingError.
    """
    async with AsyncExitStack() as stack:
        line: PartnerCentral | None = None
        with stop.until_drain():
            line = await stack.enter_async_context(connect(connection_of(settings)))
        yield line


async def identify(settings: Settings) -> Owner | Unreachable:
    """The owner of the credentials, over a connection of its own. Raises SenderError and SettingError."""
    async with connect(connection_of(settings)) as partner_central:
        return await partner_central.identify()


def make_group_lookup(
    settings: Settings, reader: InvitationReader, known: Known, clock: Clock
) -> GroupLookup:
    queries = Queries(reader, WAITS.doubtful, random.random)
    return GroupLookup(queries, known, settling_time=settings.settling_time, clock=clock.wall)


async def claim(
    writer: CheckpointWriter,
    partner_central: PartnerCentral,
    endpoint: str,
    unreachable: Callable[[str], None] = lambda _: None,
    *,
    confirmed: Owner | None = None,
    stands_by: Callable[[], None] | None = None,
) -> None:
    """Identify the account and bind the checkpoint to it, waiting for an endpoint that is down.

    unreachable: gets the reason of each failed attempt. confirmed: see `require_confirmed`. stands_by: called
    while another sender of the account has another checkpoint in the same database; None: do not wait for it.
    Raises SenderError for refused credentials, NotConfirmedError, CheckpointError for a checkpoint of another
    account.
    """
    tries = 0
    while isinstance(owner := await partner_central.identify(), Unreachable):
        tries += 1
        unreachable(owner.code)
        delay = WAITS.unreachable.delay(tries, random.random)
        _log.warning("endpoint.unreachable", endpoint=endpoint, reason=owner.code, next_try_s=round(delay, 1))
        await anyio.sleep(delay)
    require_confirmed(confirmed, owner)
    while True:
        try:
            return await anyio.to_thread.run_sync(writer.claim, owner)
        except CheckpointHeldError as error:
            if stands_by is None:
                raise
            stands_by()
            _log.info("checkpoint.standing_by", reason=str(error))
        await anyio.sleep(_LOOK)
