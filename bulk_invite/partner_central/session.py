"""The SDK's session, with TLS verification for every call to AWS: by clients and by credential providers."""

from __future__ import annotations

from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.credentials import AioContainerProvider, AioInstanceMetadataProvider
from aiobotocore.session import AioSession
from aiobotocore.utils import AioContainerMetadataFetcher, _RefCountedSession
from botocore.utils import get_environ_proxies

from bulk_invite.partner_central.transport import CheckedSession


class Session(AioSession):  # type: ignore[misc]  # aiobotocore has no types
    """Credential providers create their clients here, too: for roles, web identities and Identity Center."""

    def create_client(self, *arguments: Any, config: Any = None, **options: Any) -> Any:
        own = AioConfig() if config is None else AioConfig().merge(config)
        wanted = getattr(config, "http_session_cls", None)
        # Merging drops the class.
        is_checked = isinstance(wanted, type) and issubclass(wanted, CheckedSession)
        own.http_session_cls = wanted if is_checked else CheckedSession
        # Other modes ask the instance for its region, over a connection that is not verified.
        own.defaults_mode = "legacy"
        if own.proxies_config is None:  # the SDK reads it from the profile but does not apply it
            own.proxies_config = self.get_config_variable("proxies_config")
        return super().create_client(*arguments, config=own, **options)

    def _create_credential_resolver(self) -> Any:
        """Container and instance providers do not use a client."""
        resolver = super()._create_credential_resolver()
        for provider in resolver.providers:
            if isinstance(provider, AioContainerProvider):
                timeout = AioContainerMetadataFetcher.TIMEOUT_SECONDS
                provider._fetcher = AioContainerMetadataFetcher(_MetadataSession(timeout=timeout))  # noqa: SLF001
            elif isinstance(provider, AioInstanceMetadataProvider):
                fetcher = provider._role_fetcher  # noqa: SLF001 - there is no public access either
                fetcher._session = _MetadataSession(  # noqa: SLF001
                    timeout=fetcher._timeout,  # noqa: SLF001
                    proxies=get_environ_proxies(fetcher._base_url),  # noqa: SLF001
                )
        return resolver


class _MetadataSession(CheckedSession, _RefCountedSession):  # type: ignore[misc]  # likewise
    """The same for a shared one."""
