"""The endpoint and what it lets us do, asked in ways that invite nobody."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from typing import Final

from bulk_invite.cli.doctor.check import Found, failed, ok, skipped, warning
from bulk_invite.domain.classify import classify
from bulk_invite.domain.clock import utc_text
from bulk_invite.domain.durations import DAY, HOUR
from bulk_invite.domain.findings import Page
from bulk_invite.domain.records import Owner
from bulk_invite.domain.verdicts import Answer, Denied, NoAnswer, SenderRefused, Throttled, Unreachable
from bulk_invite.partner_central import PartnerCentral, Provenance, Reached, connect, reach
from bulk_invite.runs.output.progress import clock_text
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.wiring.partner_central import connection_of

_CERTIFICATE_ENDS_SOON: Final = 14 * DAY

_RENEW: Final = "Check the key and its secret, or renew them; and see what was found of the clock."

_CLOCK_IS_OFF: Final = 60.0
_CLOCK_IS_WRONG: Final = 240.0
"""Seconds; a signature is refused where it is off by 300."""

_SET_CLOCK: Final = "Set the clock by NTP (chronyd, systemd-timesyncd): from 5 minutes on calls are refused."

_SOON: Final = HOUR
"""Seconds that credentials should last if nobody renews them."""

_LOOK_UPS: Final = "partnercentral:ListEngagementInvitations and partnercentral:GetEngagementInvitation"

_PLACES: Final = {
    "env": "the environment (AWS_ACCESS_KEY_ID)",
    "shared-credentials-file": "the credentials file",
    "config-file": "the AWS configuration file",
    "assume-role": "a role that the profile names",
    "assume-role-with-web-identity": "a role by web identity",
    "iam-role": "the role of this instance",
    "container-role": "the role of this container",
    "sso": "a login (SSO)",
    "login": "a login",
    "custom-process": "a process that the profile names",
}


class Service:
    """The checks of the service; they hand on what they learned. patience: seconds for one step."""

    def __init__(self, settings: Settings, stack: AsyncExitStack, patience: float) -> None:
        self._settings = settings
        self._stack = stack
        self._patience = patience
        self._reached: Reached | None = None
        self._line: PartnerCentral | None = None
        self.owner: Owner | None = None

    async def endpoint(self) -> Found:
        connection = connection_of(self._settings)
        reached = self._reached = await reach(connection, self._patience)
        way = f" by the proxy {reached.proxy}" if reached.proxy else ""
        tls = f", {reached.protocol}" if reached.protocol else ", no TLS"
        told = f"{reached.url} ({reached.address}) answers{way} in {reached.round_trip * 1000:.0f} ms{tls}"
        if reached.certificate_ends is None:
            return ok(told)
        left = reached.certificate_ends - time.time()
        told = f"{told}, its certificate is good for {left / DAY:.0f} days"
        if left < _CERTIFICATE_ENDS_SOON:
            return warning(told, "Whoever runs it has to renew it before that.")
        return ok(told)

    async def clock(self) -> Found:
        ahead = self._reached.ahead if self._reached is not None else None
        if ahead is None:
            return warning("The endpoint does not tell the time", _SET_CLOCK)
        off = abs(ahead)
        told = f"The clock here is {off:.0f} s {'behind' if ahead > 0 else 'ahead'}"
        if off < 1:
            told = "The clock here is right to the second"
        if off < _CLOCK_IS_OFF:
            return ok(told)
        return (warning if off < _CLOCK_IS_WRONG else failed)(told, _SET_CLOCK)

    async def credentials(self) -> Found:
        line = self._line = await self._stack.enter_async_context(connect(connection_of(self._settings)))
        return lasting(line.provenance, time.time())

    async def account(self) -> Found:
        line = self._line_of()
        answer = await line.account()
        if isinstance(answer, str):
            self.owner = line.owner(answer)
            return ok(f"Account {answer}")
        if (fault := fault_of(answer)) is not None:
            return fault
        verdict = classify(answer)
        if isinstance(verdict, SenderRefused):
            return failed(f"The credentials are not accepted: {verdict.code}", _RENEW)
        if isinstance(verdict, Unreachable) and self._settings.endpoint_url:
            return failed(f"The endpoint does not answer: {verdict.code}", "Check --endpoint-url.")
        self.owner = line.owner("")
        return warning(
            f"STS does not tell the account: {answer.code}",
            "Let this machine reach STS; else the checkpoint belongs to the access key, not to the account.",
        )

    async def listing(self) -> Found:
        answer = await self._line_of().list_one()
        if isinstance(answer, Page):
            return ok(
                "ListEngagementInvitations is allowed (GetEngagementInvitation is needed too; not asked)"
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
                return warning(f"It could not be told: {answer.code}", "Ask again in a minute.")
            case _:
                return failed(
                    f"The service does not answer as it should: {answer.code}",
                    "Look at the endpoint and any proxy before it.",
                )

    async def sending(self) -> Found:
        return skipped(
            "CreateEngagementInvitation was not asked: it cannot be without inviting somebody",
            "send --limit 1 shows whether partnercentral:CreateEngagementInvitation is allowed.",
        )

    def _line_of(self) -> PartnerCentral:
        if self._line is None:
            raise AssertionError("this check needs the one of the credentials")
        return self._line


def fault_of(answer: Answer) -> Found | None:
    """What kept a question from leaving, in the words that a run has for it."""
    if isinstance(answer, NoAnswer) and answer.fault is not None:
        return failed(answer.fault.problem, answer.fault.remedy)
    return None


def lasting(provenance: Provenance, now: float) -> Found:
    told = f"From {_PLACES.get(provenance.source, provenance.source)}"
    if not provenance.temporary:
        return ok(f"{told}, not temporary")
    if provenance.expires is None:
        return ok(f"{told}, temporary: nobody here knows until when")
    left = provenance.expires - now
    told = f"{told}, until {utc_text(provenance.expires)} ({clock_text(max(0.0, left))} left)"
    if provenance.renews and provenance.source != "env":
        return ok(f"{told}, then renewed")
    if left < _SOON:
        return warning(told, "Renew them before a run that takes longer than that.")
    return ok(told)
