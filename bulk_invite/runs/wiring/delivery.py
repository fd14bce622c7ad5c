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
from bulk_invite.delivery.intake.source import FollowedSource, Source
from bulk_invite.delivery.lookup.row_lookup import RowLookup
from bulk_invite.delivery.sending.circuit_breaker import STREAK
from bulk_invite.delivery.sending.deliverer import Deliverer, Environment
from bulk_invite.delivery.sending.permits import Patience
from bulk_invite.delivery.tracking.committer import Committer
from bulk_invite.delivery.tracking.stop_switch import StopSwitch
from bulk_invite.delivery.tracking.tally import Tally
from bulk_invite.delivery.worker_pool import InFlight
from bulk_invite.domain.clock import Clock
from bulk_invite.domain.denials import PermissionGuard
from bulk_invite.domain.engagement_retries import EngagementRetries
from bulk_invite.domain.full_engagements import FullEngagements
from bulk_invite.domain.observer import Observer
from bulk_invite.domain.records import Owner
from bulk_invite.monitoring.health import Health
from bulk_invite.pacing.governor import Governor
from bulk_invite.pacing.pacer import Pacer
from bulk_invite.pacing.parking import Why
from bulk_invite.partner_central import PartnerCentral
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.wiring.pacing import make_governor
from bulk_invite.runs.wiring.partner_central import WAITS, claim, endpoint_of, make_group_lookup
from bulk_invite.runs.wiring.token_check import bind

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Resources:
    """What outlives a round: checkpoint, connection to the service, clock, pacing, full engagements."""

    settings: Settings
    writer: CheckpointWriter
    partner_central: PartnerCentral
    clock: Clock
    governor: Governor
    pacer: Pacer
    engagements: FullEngagements


async def make_resources(
    settings: Settings,
    writer: CheckpointWriter,
    partner_central: PartnerCentral,
    clock: Clock,
    *,
    retry_interval: float | None = None,
) -> Resources:
    """retry_interval: of a service, seconds until a full engagement is asked again for the first time."""
    # Counting the calls of a whole day takes a while.
    governor = await run_sync(make_governor, settings, writer, clock.steady())
    pacer = Pacer(governor, burst=settings.burst, clock=clock)
    retries = None
    if retry_interval is not None:
        retries = EngagementRetries(retry_interval, clock.steady, lambda: pacer.view().day)
    engagements = FullEngagements(parked=pacer.view().parked is Why.ACCOUNT_FULL, retries=retries)
    return Resources(settings, writer, partner_central, clock, governor, pacer, engagements)


def make_committer(resources: Resources, observer: Observer) -> Committer:
    settings = resources.settings
    return Committer(
        resources.writer,
        campaign=settings.campaign,
        retry_failed=settings.retry_failed,
        elapsed=resources.clock.steady,
        observer=observer,
    )


async def make_deliverer(
    resources: Resources, committer: Committer, tally: Tally, stop: StopSwitch, in_flight: InFlight
) -> Deliverer:
    proven = await run_sync(resources.writer.has_created)
    resources.engagements.begin_round()
    settings, clock, partner_central = resources.settings, resources.clock, resources.partner_central
    return Deliverer(
        partner_central,
        committer,
        resources.pacer,
        RowLookup(
            make_group_lookup(settings, partner_central, committer.rows_of, clock),
            stop,
            partial(_count_missed, resources),
        ),
        tally,
        stop,
        engagements=resources.engagements,
        guard=PermissionGuard(proven=proven),
        patience=Patience(
            settings.max_attempts,
            settings.token_lifetime,
            settings.call_timeout,
            WAITS,
            streak=lambda: min(STREAK, in_flight.limit),
        ),
        environment=Environment(clock.wall, clock.steady, random.random, endpoint_of(settings)),
    )


def _count_missed(resources: Resources) -> None:
    """Count a call that was found, unless the missing calls have been counted since the start."""
    uncertain_period = resources.writer.uncertain_period
    if uncertain_period is not None and not uncertain_period.is_counted:
        resources.pacer.missed()


async def bind_tokens(
    resources: Resources, sources: Sequence[Source | FollowedSource], stop: Callable[[], bool]
) -> None:
    """See `token_check.bind`. stop: polled while a database is away."""
    await run_sync(bind, resources.writer, sources, resources.settings, stop)


async def claim_checkpoint(
    resources: Resources, health: Health, stands_by: Callable[[], None], confirmed: Owner | None
) -> None:
    """Bind the checkpoint to the account, waiting for an endpoint that is down. See `claim`."""
    settings = resources.settings
    await claim(
        resources.writer,
        resources.partner_central,
        endpoint_of(settings),
        health.endpoint.fails,
        confirmed=confirmed,
        stands_by=stands_by if settings.wait_for_lock else None,
    )


def log_start(event: str, resources: Resources) -> None:
    """Log what is sent, from which checkpoint, to which endpoint, and how fast."""
    settings = resources.settings
    _log.info(
        event,
        checkpoint=resources.writer.name,
        catalog=settings.catalog,
        endpoint=endpoint_of(settings),
        rate=settings.rate,
        starts_at=round(resources.governor.rate, 3),
        daily_quota=settings.daily_quota,
        counted=resources.pacer.view().counted,
    )


def tune_garbage_collector() -> None:
    """Never run the garbage collector on the objects that imports have left.

    They are not collected before: that would find 90 objects among 100,000, in a twentieth of the start.
    """
    gc.freeze()
