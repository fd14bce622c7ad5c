"""Credentials that are renewed before a call: while it runs, that would use up its time.

A failure then would look like a row in doubt; here nothing has left, and every exception is a named fault.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import structlog

from bulk_invite.domain.classify import CREDENTIALS_REFUSED
from bulk_invite.domain.sender_fault import Fault
from bulk_invite.domain.verdicts import NoAnswer
from bulk_invite.partner_central.aws_settings import AwsSettings
from bulk_invite.partner_central.credential_sources import PROVIDER_NAMES
from bulk_invite.partner_central.preflight import fault_of_keys
from bulk_invite.partner_central.request_form import Credentials
from bulk_invite.partner_central.sdk_errors import unready
from bulk_invite.partner_central.slow_waits import reported

_log = structlog.get_logger()


class Renewal:
    """credentials: the SDK's, which renew themselves when they are asked for."""

    def __init__(self, credentials: Any, setup: AwsSettings) -> None:
        self._credentials = credentials
        self._setup = setup
        self._waiting = False
        self._taken: object = None
        self._logged_fault = ""

    @property
    def is_idle(self) -> bool:
        """Whether the credentials are checked, and not about to expire."""
        return self._taken is not None and not self._are_expiring()

    async def renewed(self) -> Credentials | NoAnswer:
        """The credentials to sign with now, or the fault that kept them from being renewed."""
        try:
            with self._reported() if self._may_wait() else nullcontext():
                frozen: Credentials = await self._credentials.get_frozen_credentials()
        except Exception as error:  # noqa: BLE001 - nothing has left; every exception is reported as a fault
            answer = unready(error, self._setup, self._place)
            self._log_fault(answer.fault)
            return answer
        if frozen != self._taken:
            self._taken = None
            if (fault := fault_of_keys(frozen, self._place)) is not None:
                return NoAnswer((CREDENTIALS_REFUSED,), started=False, fault=fault)
            self._taken, self._logged_fault = frozen, ""
        return frozen

    def _log_fault(self, fault: Fault | None) -> None:
        """Log a transient fault, once; other faults end the run and are reported then."""
        if fault is not None and fault.is_transient and fault.problem != self._logged_fault:
            self._logged_fault = fault.problem
            _log.warning("sender.not_ready", reason=fault.problem, next=fault.remedy)

    @property
    def _place(self) -> str:
        """The SDK's name of the provider of the credentials."""
        return str(self._credentials.method)

    def _may_wait(self) -> bool:
        """Whether a wait for new credentials begins that no other call reports."""
        return not self._waiting and self._are_expiring()

    def _are_expiring(self) -> bool:
        # Credentials that never expire lack it.
        refresh_needed = getattr(self._credentials, "refresh_needed", None)
        return refresh_needed is not None and bool(refresh_needed())

    @contextmanager
    def _reported(self) -> Iterator[None]:
        """Report a slow wait for the first of all calls that wait for the same."""
        self._waiting = True
        try:
            with reported(lambda: f"credentials from {PROVIDER_NAMES.get(self._place, self._place)}"):
                yield
        finally:
            self._waiting = False
