"""What an exception of the SDK before the first byte says to an operator: which setting, and its mend.

The only place that translates them. Nearly all are told by their kind and by where they came up, not by their
text: that may repeat a key, what a credential process wrote, or what an endpoint answered.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from dataclasses import replace
from traceback import walk_tb
from typing import Final

from botocore import exceptions as sdk
from botocore.credentials import CredentialProvider, Credentials

from bulk_invite.domain.classify import CREDENTIALS_NOT_RENEWED, CREDENTIALS_REFUSED, classify
from bulk_invite.domain.sender_fault import Fault, Recovery
from bulk_invite.domain.verdicts import Denied, Doubtful, NoAnswer, Throttled, Unreachable
from bulk_invite.partner_central.aws_settings import CONFIGURATION, Setup, setting_in
from bulk_invite.partner_central.credential_sources import (
    WORDS,
    of_container,
    of_environment,
    of_instance,
    of_login,
    of_process,
    of_role,
    of_web_identity,
)
from bulk_invite.partner_central.responses import plain, refusal, silence

NONE_FOUND: Final = Fault(
    "There are no AWS credentials to send with: none were found.",
    "Set AWS_PROFILE or --profile, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run where a role is "
    "attached.",
)

_OF_PLACE: Final[Mapping[str, Callable[[BaseException, Setup], Fault | None]]] = {
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


def _place_of(error: BaseException) -> str:
    """The SDK's word for where it was getting credentials from when this came up; "" for nowhere.

    No exception of it says that; whose code it went through does, and the innermost knows best.
    """
    place = ""
    for frame, _ in walk_tb(error.__traceback__):
        match frame.f_locals.get("self"):
            case CredentialProvider(METHOD=str(method)) | Credentials(method=str(method)):
                place = method
            case _:
                pass
    return place


def unready(error: BaseException, setup: Setup, place: str = "") -> NoAnswer:
    """What comes of it where credentials were to be renewed. place: where they come from."""
    fault = fault_of(error, setup, place)
    code = CREDENTIALS_NOT_RENEWED if fault.is_transient else CREDENTIALS_REFUSED
    return NoAnswer((type(error).__name__, code), started=False, fault=fault)


def kept_back(error: BaseException, setup: Setup) -> NoAnswer:
    """What comes of it where it kept a call from leaving."""
    answer = replace(silence(error), started=False)
    if type(error) is not sdk.HTTPClientError and isinstance(classify(answer), Unreachable):
        return answer
    return replace(answer, fault=fault_of(error, setup))


def fault_of(error: BaseException, setup: Setup, place: str = "") -> Fault:
    """place: where credentials come from, if it was not underway to get some when it came up."""
    where = _place_of(error) or place
    of_place = _OF_PLACE.get(where, _nothing)
    return (
        of_place(error, setup)
        or _of_files(error, setup)
        or _of_service(error, where)
        or _of_setting(error, setup)
        or _unheard_of(error, where)
    )


def _nothing(_error: BaseException, _setup: Setup) -> Fault | None:
    return None


def _of_files(error: BaseException, setup: Setup) -> Fault | None:
    """The SDK's own files."""
    match error:
        case sdk.ProfileNotFound() if not error.kwargs.get("profile"):
            return Fault(
                f"{setup.empty_profile} is empty, and the SDK takes that for the name of a profile.",
                "Let it name one, or unset it.",
                Recovery.RESTART,
            )
        case sdk.ProfileNotFound():
            return Fault(
                f"The profile {setup.profile_name} does not exist.",
                f"Look at AWS_PROFILE or --profile, and at what stands in {CONFIGURATION}.",
            )
        case sdk.ConfigParseError():
            return Fault(
                f"The AWS file {error.kwargs.get('path')} cannot be read: it is not in the form of one.",
                "Mend it, or name another one by AWS_CONFIG_FILE or AWS_SHARED_CREDENTIALS_FILE.",
            )
        case sdk.PartialCredentialsError():
            return Fault(
                f"The profile {setup.profile_name} has a key without {error.kwargs.get('cred_var')}.",
                f"Add it to the profile in {CONFIGURATION}.",
            )
        case sdk.InvalidConfigError() if (
            setting_in(str(error)) is None
        ):  # names of profiles and settings, and values that are no secrets
            said = str(error).rstrip(".")
            return Fault(f"The AWS configuration cannot be used: {said}.", f"Mend it in {CONFIGURATION}.")
        case _:
            return None


def _of_service(error: BaseException, place: str) -> Fault | None:
    """What a service said that hands credentials out, or that it says nothing."""
    whom = WORDS.get(place, "AWS")
    if isinstance(error, sdk.ClientError):
        answer = refusal(error.response)
        if isinstance(classify(answer), Throttled | Doubtful):
            return _not_now(f"There are no credentials from {whom} at the moment: {answer.code}.")
        mend = f"Look at the role, at who may take it, and at {CONFIGURATION}; or log in anew."
        if isinstance(classify(answer), Denied):
            mend = f"Let the role's trust policy allow it. {mend}"
        return Fault(
            f"There are no credentials from {whom}: {error.operation_name} says {answer.code}.", mend
        )
    if isinstance(error, sdk.HTTPClientError) and type(error) is sdk.HTTPClientError:
        return _of_transport(error.kwargs.get("error"), whom)
    if isinstance(classify(silence(error)), Unreachable | Doubtful):
        return _not_now(f"There is no connection to {whom} for credentials: {silence(error).code}.")
    return None


def _not_now(what: str) -> Fault:
    return Fault(
        what, "Check that this machine reaches it, by which proxy, and that it runs.", Recovery.TRANSIENT
    )


def _of_transport(inner: object, whom: str) -> Fault | None:
    """What the SDK puts under one name: a connection that could not even be tried."""
    if isinstance(inner, ssl.SSLError | OSError):
        reason = inner.strerror or type(inner).__name__
        return Fault(
            f"A file that TLS needs for a connection to {whom} cannot be read: {plain(reason) or reason}.",
            "Look at AWS_CA_BUNDLE, and at ca_bundle, proxy_ca_bundle and proxy_client_cert of the profile.",
        )
    return None


def _of_setting(error: BaseException, setup: Setup) -> Fault | None:
    setting = _SETTINGS.get(type(error))  # type: ignore[arg-type]  # others are in it not at all
    if setting is None and isinstance(error, sdk.InvalidConfigError | sdk.InvalidChecksumConfigError):
        setting = setting_in(str(error))
    if setting is None and isinstance(error, ValueError | TypeError):
        setting = setup.unreadable_setting()
    if setting is None:
        return None
    told, heal = setup.named(setting)
    return Fault(f"The value of {told} is not one that the AWS SDK takes.", "Mend it, or take it out.", heal)


def _unheard_of(error: BaseException, place: str) -> Fault:
    names = " in ".join(reversed(silence(error).exceptions))
    where = f", over {WORDS.get(place, place)}" if place else ""
    return Fault(
        f"The AWS SDK cannot go on before it sends anything: {names}{where}.",
        f"Check the AWS settings of the environment and of {CONFIGURATION}; `bulk-invite doctor` looks at "
        "them.",
    )
