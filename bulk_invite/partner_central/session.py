"""The SDK's session, where whatever calls AWS checks TLS: the clients, and what looks for credentials."""

from __future__ import annotations

from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.credentials import AioContainerProvider, AioInstanceMetadataProvider
from aiobotocore.session import AioSession
from aiobotocore.utils import AioContainerMetadataFetcher, _RefCountedSession
from botocore.utils import get_environ_proxies

from bulk_invite.partner_central.transport import CheckedSession


class Session(AioSession):  # type: ignore[misc]  # aiobotocore has no types
    """Credential providers make their clients here, too: for roles, web identities and Identity Center."""

    def create_client(self, *arguments: Any, config: Any = None, **options: Any) -> Any:
        own = AioConfig() if config is None else AioConfig().merge(config)
        wanted = getattr(config, "http_session_cls", None)
        # Merging forgets the class.
        is_checked = isinstance(wanted, type) and issubclass(wanted, CheckedSession)
        own.http_session_cls = wanted if is_checked else CheckedSession
        # Another mode asks the instance for its region, by a line of its own that is not checked.
        own.defaults_mode = "legacy"
        if own.proxies_config is None:  # the SDK reads it from the profile, and leaves it there
            own.proxies_config = self.get_config_variable("proxies_config")
        return super().create_client(*arguments, config=own, **options)

    def _create_credential_resolver(self) -> Any:
        """Containers and instances are asked for credentials without a client."""
        resolver = super()._create_credential_resolver()
        for provider in resolver.providers:
            if isinstance(provider, AioContainerProvider):
                timeout = AioContainerMetadataFetcher.TIMEOUT_SECONDS
                provider._fetcher = AioContainerMetadataFetcher(_MetadataSession(timeout=timeout))  # noqa: SLF001
            elif isinstance(provider, AioInstanceMetadataProvider):
                fetcher = provider._role_fetcher  # noqa: SLF001 - nor is there a public way in here
                fetcher._session = _MetadataSession(  # noqa: SLF001
                    timeout=fetcher._timeout,  # noqa: SLF001
                    proxies=get_environ_proxies(fetcher._base_url),  # noqa: SLF001
                )
        return resolver


class _MetadataSession(CheckedSession, _RefCountedSession):  # type: ignore[misc]  # likewise
    """The same for those who share one."""
