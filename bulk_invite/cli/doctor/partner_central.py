"""The endpoint, the credentials and their permissions, checked without creating an invitation."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from typing import Final

from bulk_invite.cli.doctor.check import Found, failed, ok, skipped, warning
from bulk_invite.domain.classify import classify
from bulk_invite.domain.clock import utc_text
from bulk_invite.domain.durations import DAY, HOUR, clock_text
from bulk_invite.domain.findings import Page
from bulk_invite.domain.records import Owner
from bulk_invite.domain.verdicts import Answer, Denied, NoAnswer, SenderRefused, Throttled, Unreachable
from bulk_invite.partner_central import PartnerCentral, Provenance, Reached, connect, reach
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.wiring.partner_central import connection_of

_CERTIFICATE_ENDS_SOON: Final = 14 * DAY

_RENEW: Final = "Check or renew the access key and its secret; also see the clock check."

_CLOCK_IS_OFF: Final = 60.0
_CLOCK_IS_WRONG: Final = 240.0
"""Seconds; AWS rejects a signature that is off by 300."""

_SET_CLOCK: Final = (
    "Synchronize the clock with NTP (chronyd, systemd-timesyncd): AWS rejects calls that are 5 minutes off."
)

_SOON: Final = HOUR
"""Minimum remaining lifetime, in seconds, of credentials that are not renewed automatically."""

_LOOK_UPS: Final = "partnercentral:ListEngagementInvitations and partnercentral:GetEngagementInvitation"

_PROVIDERS: Final = {
    "env": "the environment (AWS_ACCESS_KEY_ID)",
    "shared-credentials-file": "the credentials file",
    "config-file": "the AWS configuration file",
    "assume-role": "a role named by the profile",
    "assume-role-with-web-identity": "a web identity role",
    "iam-role": "the instance role",
    "container-role": "the container role",
    "sso": "an SSO login",
    "login": "a login",
    "custom-process": "a process named by the profile",
}


class ServiceChecks:
    """The checks of the service, which share what they learn. step_timeout: seconds for one step."""

    def __init__(self, settings: Settings, stack: AsyncExitStack, step_timeout: float) -> None:
        self._settings = settings
        self._stack = stack
        self._step_timeout = step_timeout
        self._reached: Reached | None = None
        self._service: PartnerCentral | None = None
        self.owner: Owner | None = None

    async def endpoint(self) -> Found:
        connection = connection_of(self._settings)
        reached = self._reached = await reach(connection, self._step_timeout)
        via = f" through the proxy {reached.proxy}" if reached.proxy else ""
        tls = f", {reached.protocol}" if reached.protocol else ", no TLS"
        text = f"{reached.url} ({reached.address}) answers{via} in {reached.round_trip * 1000:.0f} ms{tls}"
        if reached.certificate_ends is None:
            return ok(text)
        left = reached.certificate_ends - time.time()
        text = f"{text}, certificate valid for {left / DAY:.0f} days"
        if left < _CERTIFICATE_ENDS_SOON:
            return warning(text, "Have the certificate renewed before it expires.")
        return ok(text)

    async def clock(self) -> Found:
        ahead = self._reached.ahead if self._reached is not None else None
        if ahead is None:
            return warning("The endpoint sends no Date header, so the clock cannot be compared", _SET_CLOCK)
        off = abs(ahead)
        text = f"The local clock is {off:.0f} s {'behind' if ahead > 0 else 'ahead'}"
        if off < 1:
            text = "The local clock is accurate to the second"
        if off < _CLOCK_IS_OFF:
            return ok(text)
        return (warning if off < _CLOCK_IS_WRONG else failed)(text, _SET_CLOCK)

    async def credentials(self) -> Found:
        service = self._service = await self._stack.enter_async_context(
            connect(connection_of(self._settings))
        )
        return lifetime_of(service.provenance, time.time())

    async def account(self) -> Found:
        service = self._connected()
        answer = await service.account()
        if isinstance(answer, str):
            self.owner = service.owner(answer)
            return ok(f"Account {answer}")
        if (fault := fault_of(answer)) is not None:
            return fault
        verdict = classify(answer)
        if isinstance(verdict, SenderRefused):
            return failed(f"The credentials are not accepted: {verdict.code}", _RENEW)
        if isinstance(verdict, Unreachable) and self._settings.endpoint_url:
            return failed(f"The endpoint does not answer: {verdict.code}", "Check --endpoint-url.")
        self.owner = service.owner("")
        return warning(
            f"STS did not return the account: {answer.code}",
            "Give this machine access to STS. Otherwise the checkpoint is bound to the access key.",
        )

    async def listing(self) -> Found:
        answer = await self._connected().list_one()
        if isinstance(answer, Page):
            return ok(
                "ListEngagementInvitations is allowed (GetEngagementInvitation, needed too, was not tested)"
            )
        if (fault := fault_of(answer)) is not None:
            return fault
        match verdict := classify(answer):
            case Denied():
                return warning(
                    "ListEngagementInvitations is denied: rows in doubt cannot be looked up",
                    f"Allow {_LOOK_UPS} for catalog {self._settings.catalog}.",
                )
            case SenderRefused():
                return failed(f"The credentials are not accepted: {verdict.code}", _RENEW)
            case Throttled():
                return warning(f"The call was throttled: {answer.code}", "Try again in a minute.")
            case _:
                return failed(
                    f"The service gave an unexpected answer: {answer.code}",
                    "Check the endpoint and any proxy in front of it.",
                )

    async def sending(self) -> Found:
        return skipped(
            "CreateEngagementInvitation was not tested, because a test would send an invitation",
            "Run send --limit 1 to see whether partnercentral:CreateEngagementInvitation is allowed.",
        )

    def _connected(self) -> PartnerCentral:
        if self._service is None:
            raise AssertionError("this check needs the credentials check")
        return self._service


def fault_of(answer: Answer) -> Found | None:
    """The fault that kept a call from being sent, worded as in a run; None if there was none."""
    if isinstance(answer, NoAnswer) and answer.fault is not None:
        return failed(answer.fault.problem, answer.fault.remedy)
    return None


def lifetime_of(provenance: Provenance, now: float) -> Found:
    text = f"From {_PROVIDERS.get(provenance.source, provenance.source)}"
    if not provenance.temporary:
        return ok(f"{text}, not temporary")
    if provenance.expires is None:
        return ok(f"{text}, temporary, expiry unknown")
    left = provenance.expires - now
    text = f"{text}, valid until {utc_text(provenance.expires)} ({clock_text(max(0.0, left))} left)"
    if provenance.renews and provenance.source != "env":
        return ok(f"{text}, renewed automatically")
    if left < _SOON:
        return warning(text, "Renew them before a run that takes longer.")
    return ok(text)
