"""Set up the connection to Partner Central: session, credentials, service model and client.

The SDK's own retries are off, because one permit must be one call; the shipped service model takes precedence
over botocore's, which lacks LeadInvitation.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import aioboto3
import orjson
from aiobotocore.config import AioConfig
from botocore.exceptions import BotoCoreError
from botocore.loaders import JSONFileLoader, Loader, create_loader, instance_cache
from botocore.utils import get_environ_proxies

from bulk_invite.domain.errors import BulkInviteError
from bulk_invite.partner_central.aws_settings import AwsSettings
from bulk_invite.partner_central.client import PartnerCentral
from bulk_invite.partner_central.credential_sources import PROVIDER_NAMES
from bulk_invite.partner_central.credentials import Search
from bulk_invite.partner_central.masking import vocabulary_of
from bulk_invite.partner_central.preflight import (
    fault_of_files,
    fault_of_keys,
    fault_of_proxy,
    require,
    require_authorities,
)
from bulk_invite.partner_central.prepared_call import create_call
from bulk_invite.partner_central.sdk_errors import fault_of, none_found
from bulk_invite.partner_central.session import Session
from bulk_invite.partner_central.slow_waits import reported
from bulk_invite.partner_central.transport import PartnerCentralSession
from bulk_invite.validation import service_model

SERVICE: Final = "partnercentral-selling"
STS: Final = "sts"

_CONNECT_TIMEOUT: Final = 5.0
"""Seconds to connect to the endpoint; less than a call's deadline, so that a dead endpoint differs from
doubt."""

_SPARE_CONNECTIONS: Final = 3
"""Connections in addition to the calls in flight: one is for lookups, and a call that has to wait for a
connection is already signed and ages."""

_USER_AGENT: Final = f"bulk-invite/{version('bulk-invite')} aiobotocore/{version('aiobotocore')}"

_TEMPORARY_KEY: Final = "ASIA"
"""Prefixes of temporary access key ids (AWS: "Unique identifiers" in the IAM user guide)."""

_NOBODY: Final = {"aws_access_key_id": "nobody", "aws_secret_access_key": "nobody"}
"""Without these, the SDK would search all credential providers only to find the endpoint."""

_STS_CONFIG: Final = AioConfig(
    connect_timeout=3, read_timeout=3, retries={"total_max_attempts": 3, "mode": "standard"}
)


@dataclass(frozen=True, slots=True)
class Connection:
    """How to reach the service. model: another service-2.json. deadline: seconds for one call in total.

    catalog: where invitations are looked up.
    """

    region: str
    profile: str | None
    endpoint_url: str | None
    catalog: str
    model: Path | None
    in_flight: int
    deadline: float


@asynccontextmanager
async def connect(connection: Connection) -> AsyncIterator[PartnerCentral]:
    """Open the session and its clients; nothing is sent to the service yet.

    May wait for a credential provider. Raises SenderError and SettingError for anything wrong with
    credentials and AWS settings.
    """
    inner = Session()
    async with AsyncExitStack() as stack:
        with _faults_told(connection, inner):
            session = stack.enter_context(_session(connection, inner))
            line = await _opened(connection, inner, session, stack)
        yield line


@asynccontextmanager
async def unsigned(connection: Connection) -> AsyncIterator[tuple[PartnerCentralSession, str]]:
    """The HTTP session and URL of calls; nothing is sent, and no credentials are read.

    It always uses the shipped service model, whatever `connection` says. Raises SenderError and SettingError.
    """
    inner = Session()
    async with AsyncExitStack() as stack:
        with _faults_told(connection, inner):
            session = stack.enter_context(_session(replace(connection, model=None), inner))
            client = await stack.enter_async_context(
                session.client(
                    SERVICE, endpoint_url=connection.endpoint_url, config=_config(connection), **_NOBODY
                )
            )
            # The endpoint that the client reports is not the one that the service's rules yield.
            members = {"Catalog": connection.catalog, "ParticipantType": "SENDER"}
            url = await client.generate_presigned_url("list_engagement_invitations", Params=members)
            require(fault_of_proxy(url, get_environ_proxies(url), _setup(connection, inner)))
        yield client._endpoint.http_session, url  # noqa: SLF001 - there is no public access


@contextmanager
def _faults_told(connection: Connection, session: Session) -> Iterator[None]:
    try:
        yield
    except BulkInviteError:
        raise
    except Exception as error:
        # Whatever the SDK raises here is a fault of the sender: nothing has left.
        raise fault_of(error, _setup(connection, session)).error() from error


@contextmanager
def _session(connection: Connection, inner: Session) -> Iterator[aioboto3.Session]:
    session = aioboto3.Session(
        botocore_session=inner, profile_name=connection.profile, region_name=connection.region
    )
    require_authorities(inner, _setup(connection, inner))
    with _loader_folder(connection.model) as folder:
        inner.register_component("data_loader", loader(folder, inner.get_config_variable("data_path")))
        yield session


async def _opened(
    connection: Connection, inner: Session, session: aioboto3.Session, stack: AsyncExitStack
) -> PartnerCentral:
    setup = _setup(connection, inner)
    credentials = await _found(inner, setup, connection.endpoint_url)
    client = await stack.enter_async_context(
        session.client(SERVICE, endpoint_url=connection.endpoint_url, config=_config(connection))
    )
    _take_retries_away(client)
    sts = await stack.enter_async_context(
        session.client(STS, endpoint_url=connection.endpoint_url, config=_STS_CONFIG)
    )
    for url in (client.meta.endpoint_url, sts.meta.endpoint_url):
        require(fault_of_proxy(url, get_environ_proxies(url), setup))
    place = str(credentials.method)
    with reported(lambda: f"credentials from {PROVIDER_NAMES.get(place, place)}"):
        frozen = await credentials.get_frozen_credentials()
    require(fault_of_keys(frozen, place))
    return PartnerCentral(
        client,
        await create_call(client, inner.get_component("response_parser_factory")),
        sts,
        credentials,
        _key_hash(frozen.access_key),
        catalog=connection.catalog,
        deadline=connection.deadline,
        has_one_endpoint=connection.endpoint_url is not None,
        setup=setup,
        vocabulary=vocabulary_of(service_model.load(connection.model)),
    )


async def _found(session: Session, setup: AwsSettings, endpoint_url: str | None) -> Any:
    """Find credentials, without resolving their keys yet."""
    place = "env"

    def looks_at(method: str) -> None:
        nonlocal place
        place = method

    search = Search(session.get_component("credential_provider"), session, looks_at)
    session.register_component("credential_provider", search)
    with reported(lambda: f"credentials from {PROVIDER_NAMES.get(place, place)}"):
        credentials = await session.get_credentials()
    if credentials is None:
        require(fault_of_files(setup) or none_found(endpoint_url))
    return credentials


def _key_hash(key: str) -> str:
    # A temporary key changes daily: as an identity it would lock its owner out.
    return "" if key.startswith(_TEMPORARY_KEY) else sha256(key.encode()).hexdigest()


def _setup(connection: Connection, session: Session) -> AwsSettings:
    """The AWS settings, including those of the profile if it can be read."""
    members: Mapping[str, object] = {}
    with suppress(BotoCoreError):
        members = session.get_scoped_config()
    return AwsSettings(connection.profile, os.environ, members)


@lru_cache(maxsize=1)
def loader(folder: Path, data_path: str | None = None) -> Loader:
    """A loader that reads service models from a folder in botocore's layout, then from botocore's own places.

    It caches what it has read for later connections. data_path: botocore's variable of that name.
    """
    others = create_loader(data_path).search_paths
    return _Loader([str(folder), *others], include_default_search_paths=False)


class _JsonFiles(JSONFileLoader):  # type: ignore[misc]  # botocore has no types
    """Reads them with orjson: the standard library takes 15 ms for the list of all endpoints alone."""

    def load_file(self, file_path: str) -> Any:
        for suffix, opened in ((".json", open), (".json.gz", gzip.open)):
            with suppress(FileNotFoundError), opened(file_path + suffix, "rb") as file:
                return orjson.loads(file.read())
        return None


class _Loader(Loader):  # type: ignore[misc]  # likewise
    """Accepts every folder as a service: checking some four hundred of them delays the start."""

    FILE_LOADER_CLASS = _JsonFiles

    @instance_cache  # type: ignore[untyped-decorator]  # likewise
    def list_available_services(self, type_name: str) -> list[str]:
        del type_name
        folders = (Path(path) for path in self.search_paths)
        return sorted({each.name for folder in folders if folder.is_dir() for each in folder.iterdir()})


@contextmanager
def _loader_folder(model: Path | None) -> Iterator[Path]:
    """The folder in botocore's layout with the service model to use."""
    if model is None:
        yield service_model.FOLDER
        return
    with TemporaryDirectory(prefix="bulk-invite-") as folder:
        copy = Path(folder) / service_model.SHIPPED.relative_to(service_model.FOLDER)
        copy.parent.mkdir(parents=True)
        copy.write_bytes(model.read_bytes())
        yield Path(folder)


def _take_retries_away(client: Any) -> None:
    """Even with a single attempt, the SDK evaluates every answer for a retry: skip that."""
    service = client.meta.service_model.service_id.hyphenize()
    client.meta.events.unregister(f"needs-retry.{service}", unique_id=f"retry-config-{service}")


def _config(connection: Connection) -> AioConfig:
    return AioConfig(
        # Set both: the SDK defaults to five attempts, in a mode that the environment can change.
        retries={"total_max_attempts": 1, "mode": "standard"},
        max_pool_connections=connection.in_flight + _SPARE_CONNECTIONS,
        connect_timeout=min(_CONNECT_TIMEOUT, connection.deadline / 2),
        read_timeout=connection.deadline,
        # Rows were already validated against the same model, more strictly.
        parameter_validation=False,
        tcp_keepalive=True,
        http_session_cls=PartnerCentralSession,
        # The SDK builds it twice for every call, a tenth of the call's cost.
        user_agent=_USER_AGENT,
    )
