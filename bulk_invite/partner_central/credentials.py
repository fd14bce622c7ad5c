"""Search for credentials like the SDK, but report what it waits for, and never use the terminal."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NoReturn, TextIO

import anyio
from aiobotocore.credentials import (
    AioAssumeRoleProvider,
    AioAssumeRoleWithWebIdentityProvider,
    AioCredentialResolver,
    AioProcessProvider,
    AioProfileProviderBuilder,
)
from botocore.utils import FileWebIdentityTokenLoader

from bulk_invite.partner_central.credential_sources import MfaAskedError, ProcessFailedError
from bulk_invite.partner_central.preflight import require_no_pipe

_REAPED: Final = 2.0
"""Seconds for the system to reap a killed process."""


class Search(AioCredentialResolver):  # type: ignore[misc]  # aiobotocore has no types
    """Tries one provider after another, like `found`. looks_at: called with the SDK's name of each.

    Child processes are not left behind. MFA codes are not requested, and no pipe is read: that would block
    the event loop.
    """

    def __init__(self, found: AioCredentialResolver, session: Any, looks_at: Callable[[str], None]) -> None:
        super().__init__(found.providers)
        self._looks_at = looks_at
        for provider in self.providers:
            if isinstance(provider, AioProcessProvider):
                provider._popen = _start  # noqa: SLF001 - there is no public access
            elif isinstance(provider, AioAssumeRoleProvider):
                provider._prompter = _refuse  # noqa: SLF001
                provider._profile_provider_builder = _Builder(session, cache=provider.cache)  # noqa: SLF001
            elif isinstance(provider, AioAssumeRoleWithWebIdentityProvider):
                provider._token_loader_cls = _TokenFile  # noqa: SLF001

    async def load_credentials(self) -> Any:
        for provider in self.providers:
            self._looks_at(provider.METHOD)
            credentials = await provider.load()
            if credentials is not None:
                return credentials
        return None


class _Builder(AioProfileProviderBuilder):  # type: ignore[misc]  # likewise
    """For the providers that a source_profile may name."""

    def _create_process_provider(self, profile_name: str) -> AioProcessProvider:
        provider = super()._create_process_provider(profile_name)
        provider._popen = _start  # noqa: SLF001
        return provider

    def _create_web_identity_provider(
        self, profile_name: str, *options: Any
    ) -> AioAssumeRoleWithWebIdentityProvider:
        provider = super()._create_web_identity_provider(profile_name, *options)
        provider._token_loader_cls = _TokenFile  # noqa: SLF001
        return provider


class _TokenFile(FileWebIdentityTokenLoader):  # type: ignore[misc]  # likewise
    """A token that is read without waiting, or not at all."""

    def __init__(self, path: str) -> None:
        super().__init__(path, _open=_open)


def _open(path: str) -> TextIO:
    """Raises OSError."""
    require_no_pipe(path)
    return Path(path).open()


def _refuse(_prompt: str) -> NoReturn:
    raise MfaAskedError


async def _start(*command: str, **pipes: Any) -> _Process:
    """Start a credential process, with no access to our terminal or to rows on standard input."""
    if not command:
        raise FileNotFoundError(0, "the command is empty")
    process = await asyncio.create_subprocess_exec(
        *command, stdin=subprocess.DEVNULL, start_new_session=True, **pipes
    )
    return _Process(process)


class _Process:
    """The part of a process that the SDK uses."""

    returncode = 0
    """The SDK sees only successes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def communicate(self) -> tuple[bytes, bytes]:
        """Return its output. Raises ProcessFailedError. Cancellation kills it and its children."""
        try:
            written = await self._process.communicate()
        except BaseException:
            await self._end()
            raise
        if self._process.returncode:
            raise ProcessFailedError(self._process.returncode)
        return written

    async def _end(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with anyio.move_on_after(_REAPED, shield=True):
            await self._process.wait()
