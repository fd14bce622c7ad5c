"""Translate exceptions of the SDK before the first byte: which setting is wrong, and the remedy.

The only place that does so. Nearly all are identified by their type and origin, not by their text: that may
repeat a key, the output of a credential process, or an endpoint's answer.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from dataclasses import replace
from traceback import walk_tb
from typing import Final
from urllib.parse import urlsplit

from botocore import exceptions as sdk
from botocore.credentials import CredentialProvider, Credentials

from bulk_invite.domain.classify import CREDENTIALS_NOT_RENEWED, CREDENTIALS_REFUSED, classify
from bulk_invite.domain.sender_fault import Fault, Recovery
from bulk_invite.domain.urls import is_loopback
from bulk_invite.domain.verdicts import Denied, Doubtful, NoAnswer, Throttled, Unreachable
from bulk_invite.partner_central.aws_settings import CONFIGURATION, AwsSettings, setting_in
from bulk_invite.partner_central.credential_sources import (
    PROVIDER_NAMES,
    of_container,
    of_environment,
    of_instance,
    of_login,
    of_process,
    of_role,
    of_web_identity,
)
from bulk_invite.partner_central.responses import plain, refusal, silence

_OF_PLACE: Final[Mapping[str, Callable[[BaseException, AwsSettings], Fault | None]]] = {
    "env": of_environment,
    "custom-process": of_process,
    "assume-role": of_role,
    "assume-role-with-web-identity": of_web_identity,
    "container-role": of_container,
    "iam-role": of_instance,
    "sso": of_login,
}

_SETTINGS: Final[Mapping[type[Exception], str]] = {
    sdk.InvalidIMDSEndpointError: "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    sdk.InvalidIMDSEndpointModeError: "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
    sdk.InvalidMaxRetryAttemptsError: "AWS_MAX_ATTEMPTS",
    sdk.InvalidRetryModeError: "AWS_RETRY_MODE",
    sdk.InvalidSTSRegionalEndpointsConfigError: "AWS_STS_REGIONAL_ENDPOINTS",
    sdk.InvalidRegionError: "--region",
    sdk.NoRegionError: "--region",
    sdk.UnknownRegionError: "--region",
}


def none_found(endpoint_url: str | None) -> Fault:
    """The fault of a search for credentials that has found none."""
    remedy = (
        "Set AWS_PROFILE or --profile, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run with an "
        "attached role."
    )
    if endpoint_url and is_loopback(urlsplit(endpoint_url).hostname or ""):
        remedy += " An emulator accepts any: `export AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local`."
    return Fault("There are no AWS credentials.", remedy)


def _place_of(error: BaseException) -> str:
    """The SDK's name of the provider that it was using when this was raised; "" for none.

    No exception says so; the code that it passed through does, and the innermost frame is the most precise.
    """
    place = ""
    for frame, _ in walk_tb(error.__traceback__):
        match frame.f_locals.get("self"):
            case CredentialProvider(METHOD=str(method)) | Credentials(method=str(method)):
                place = method
            case _:
                pass
    return place


def unready(error: BaseException, setup: AwsSettings, place: str = "") -> NoAnswer:
    """The answer for an exception while renewing credentials. place: their provider."""
    fault = fault_of(error, setup, place)
    code = CREDENTIALS_NOT_RENEWED if fault.is_transient else CREDENTIALS_REFUSED
    return NoAnswer((type(error).__name__, code), started=False, fault=fault)


def unsent_answer(error: BaseException, setup: AwsSettings) -> NoAnswer:
    """The answer for an exception that kept a call from leaving."""
    answer = replace(silence(error), started=False)
    if type(error) is not sdk.HTTPClientError and isinstance(classify(answer), Unreachable):
        return answer
    return replace(answer, fault=fault_of(error, setup))


def fault_of(error: BaseException, setup: AwsSettings, place: str = "") -> Fault:
    """place: the provider of the credentials, unless it was raised while getting new ones."""
    where = _place_of(error) or place
    of_place = _OF_PLACE.get(where, _nothing)
    return (
        of_place(error, setup)
        or _of_files(error, setup)
        or _of_service(error, where)
        or _of_setting(error, setup)
        or _unrecognized(error, where)
    )


def _nothing(_error: BaseException, _setup: AwsSettings) -> Fault | None:
    return None


def _of_files(error: BaseException, setup: AwsSettings) -> Fault | None:
    """Faults in the SDK's own files."""
    match error:
        case sdk.ProfileNotFound() if not error.kwargs.get("profile"):
            return Fault(
                f"{setup.empty_profile} is empty, which the SDK takes for the name of a profile.",
                "Set it to a profile, or unset it.",
                Recovery.RESTART,
            )
        case sdk.ProfileNotFound():
            return Fault(
                f"The profile {setup.profile_name} does not exist.",
                f"Check AWS_PROFILE or --profile, and {CONFIGURATION}.",
            )
        case sdk.ConfigParseError():
            return Fault(
                f"The AWS file {error.kwargs.get('path')} cannot be parsed.",
                "Correct it, or name another one with AWS_CONFIG_FILE or AWS_SHARED_CREDENTIALS_FILE.",
            )
        case sdk.PartialCredentialsError():
            return Fault(
                f"The profile {setup.profile_name} has a key without {error.kwargs.get('cred_var')}.",
                f"Add it to the profile in {CONFIGURATION}.",
            )
        case sdk.InvalidConfigError() if (
            setting_in(str(error)) is None
        ):  # names of profiles and settings, and values that are not secret
            said = str(error).rstrip(".")
            return Fault(f"The AWS configuration is invalid: {said}.", f"Correct it in {CONFIGURATION}.")
        case _:
            return None


def _of_service(error: BaseException, place: str) -> Fault | None:
    """A refusal by a service that provides credentials, or its silence."""
    whom = PROVIDER_NAMES.get(place, "AWS")
    if isinstance(error, sdk.ClientError):
        answer = refusal(error.response)
        if isinstance(classify(answer), Throttled | Doubtful):
            return _not_now(f"There are no credentials from {whom} at the moment: {answer.code}.")
        remedy = f"Check the role, its trust policy, and {CONFIGURATION}; or log in again."
        if isinstance(classify(answer), Denied):
            remedy = f"Allow it in the role's trust policy. {remedy}"
        return Fault(
            f"There are no credentials from {whom}: {error.operation_name} returned {answer.code}.", remedy
        )
    if isinstance(error, sdk.HTTPClientError) and type(error) is sdk.HTTPClientError:
        return _of_transport(error.kwargs.get("error"), whom)
    if isinstance(classify(silence(error)), Unreachable | Doubtful):
        return _not_now(f"There is no connection to {whom} for credentials: {silence(error).code}.")
    return None


def _not_now(what: str) -> Fault:
    return Fault(
        what,
        "Check that it is running, and that this machine reaches it, directly or through its proxy.",
        Recovery.TRANSIENT,
    )


def _of_transport(inner: object, whom: str) -> Fault | None:
    """The SDK's umbrella exception: a connection that could not even be attempted."""
    if isinstance(inner, ssl.SSLError | OSError):
        reason = inner.strerror or type(inner).__name__
        return Fault(
            f"A file that TLS needs for a connection to {whom} cannot be read: {plain(reason) or reason}.",
            "Check AWS_CA_BUNDLE, and ca_bundle, proxy_ca_bundle and proxy_client_cert of the profile.",
        )
    return None


def _of_setting(error: BaseException, setup: AwsSettings) -> Fault | None:
    setting = _SETTINGS.get(type(error))  # type: ignore[arg-type]  # others are not in it at all
    if setting is None and isinstance(error, sdk.InvalidConfigError | sdk.InvalidChecksumConfigError):
        setting = setting_in(str(error))
    if setting is None and isinstance(error, ValueError | TypeError):
        setting = setup.unreadable_setting()
    if setting is None:
        return None
    setting_name, recovery = setup.described(setting)
    return Fault(
        f"The AWS SDK does not accept the value of {setting_name}.", "Correct it, or remove it.", recovery
    )


def _unrecognized(error: BaseException, place: str) -> Fault:
    names = " in ".join(reversed(silence(error).exceptions))
    where = f", from {PROVIDER_NAMES.get(place, place)}" if place else ""
    return Fault(
        f"The AWS SDK failed before sending anything: {names}{where}.",
        f"Check the AWS settings in the environment and in {CONFIGURATION}; `bulk-invite doctor` checks "
        "them, too.",
    )
