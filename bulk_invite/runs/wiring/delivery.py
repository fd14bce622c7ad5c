"""The parts of a run joined, as the settings ask for them."""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import structlog
from anyio.to_thread import run_sync

from bulk_invite.checkpoint.writer import CheckpointWriter
from bulk_invite.delivery.lookup.resolver import Resolver
from bulk_invite.delivery.sending.circuit_breaker import STREAK
from bulk_invite.delivery.sending.deliverer import Deliverer, Surroundings
from bulk_invite.delivery.sending.permits import Patience
from bulk_invite.delivery.tracking.committer import Committer
from bulk_invite.delivery.tracking.stop_switch import StopSwitch
from bulk_invite.delivery.tracking.tally import Tally
from bulk_invite.delivery.worker_pool import InFlight
from bulk_invite.domain.clock import Clock
from bulk_invite.domain.denials import PermissionGuard
from bulk_invite.domain.observer import Observer
from bulk_invite.pacing.governor import Governor
from bulk_invite.pacing.pacer import Pacer
from bulk_invite.partner_central import PartnerCentral
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.wiring.pacing import make_governor
from bulk_invite.runs.wiring.partner_central import WAITS, endpoint_of, make_look_up
from bulk_invite.runs.wiring.token_check import MaybeKeyed, bind

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Lasting:
    """What outlives a round: the checkpoint, the line to the service, the clock and the pacing."""

    settings: Settings
    writer: CheckpointWriter
    partner_central: PartnerCentral
    clock: Clock
    governor: Governor
    pacer: Pacer


async def make_lasting(
    settings: Settings, writer: CheckpointWriter, partner_central: PartnerCentral, clock: Clock
) -> Lasting:
    # The calls of a whole day are counted there.
    governor = await run_sync(make_governor, settings, writer, clock.steady())
    pacer = Pacer(governor, burst=settings.burst, clock=clock)
    return Lasting(settings, writer, partner_central, clock, governor, pacer)


def make_committer(lasting: Lasting, observer: Observer) -> Committer:
    settings = lasting.settings
    return Committer(
        lasting.writer,
        campaign=settings.campaign,
        retry_failed=settings.retry_failed,
        elapsed=lasting.clock.steady,
        observer=observer,
    )


async def make_deliverer(
    lasting: Lasting, committer: Committer, tally: Tally, stop: StopSwitch, in_flight: InFlight
) -> Deliverer:
    proven = await run_sync(lasting.writer.has_created)
    settings, clock, partner_central = lasting.settings, lasting.clock, lasting.partner_central
    return Deliverer(
        partner_central,
        committer,
        lasting.pacer,
        Resolver(
            make_look_up(settings, partner_central, committer.rows_of, clock),
            stop,
            partial(_count_missed, lasting),
        ),
        tally,
        stop,
        guard=PermissionGuard(proven=proven),
        patience=Patience(
            settings.max_attempts,
            settings.token_lifetime,
            settings.call_timeout,
            WAITS,
            streak=lambda: min(STREAK, in_flight.limit),
        ),
        surroundings=Surroundings(clock.wall, clock.steady, random.random, endpoint_of(settings)),
    )


def _count_missed(lasting: Lasting) -> None:
    """Count a call that has turned up, unless all that are missing are counted since the start."""
    uncertain_period = lasting.writer.uncertain_period
    if uncertain_period is not None and not uncertain_period.is_counted:
        lasting.pacer.missed()


async def bind_tokens(lasting: Lasting, sources: Sequence[MaybeKeyed], stop: Callable[[], bool]) -> None:
    """See `binding.bind_tokens`. stop: asked while a database is away."""
    for source in sources:
        await run_sync(bind, lasting.writer, source, lasting.settings, stop)


def tell_start(event: str, lasting: Lasting) -> None:
    """By what and to whom is sent."""
    settings = lasting.settings
    _log.info(
        event,
        checkpoint=lasting.writer.name,
        catalog=settings.catalog,
        endpoint=endpoint_of(settings),
        rate=settings.rate,
        starts_at=round(lasting.governor.rate, 3),
        daily_quota=settings.daily_quota,
        counted=lasting.pacer.view().counted,
    )


def collect_less() -> None:
    """Keep the garbage collector from walking all that importing has left, again and again.

    A call makes hundreds of objects and hardly a cycle: collecting as often as by default costs it a tenth.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
