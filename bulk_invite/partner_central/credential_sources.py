"""The credential providers, and what can be wrong with each of them. Pure."""

from __future__ import annotations

import json
import re
from typing import Final

from botocore import exceptions as sdk
from dateutil.parser import ParserError  # type: ignore[import-untyped]  # the SDK parses times with it

from bulk_invite.domain.sender_fault import Fault, Recovery
from bulk_invite.partner_central.aws_settings import CONFIGURATION, AwsSettings

_NOT_TEXT: Final = (json.JSONDecodeError, UnicodeDecodeError, AttributeError, TypeError, KeyError)
"""Exceptions from parsing data that is not the expected JSON."""

PROVIDER_NAMES: Final = {
    "env": "the environment",
    "custom-process": "credential_process",
    "assume-role": "the role that the profile names (STS)",
    "assume-role-with-web-identity": "the role by web identity (STS)",
    "container-role": "the endpoint of the container's credentials",
    "iam-role": "the metadata service of this instance (IMDS)",
    "sso": "IAM Identity Center (SSO)",
    "shared-credentials-file": "the credentials file",
    "config-file": "the AWS configuration file",
}
"""Display names of the providers, by the SDK's name."""

_STATUS: Final = re.compile(r"Received non 200 response (\d{3}) from container metadata")
_PARAMETER: Final = re.compile(r"parameter (\w{1,40})")
_HAND_OUT: Final = "AccessKeyId, SecretAccessKey, Token and Expiration (a time as 2026-01-31T12:00:00Z)"
_LOG_IN: Final = "Log in again (`aws sso login`, with --profile), then run the same command."


class ProcessFailedError(Exception):
    """A credential process exited with a nonzero code; its output may contain secrets."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class MfaAskedError(Exception):
    """A role requires an MFA code, which only a person has."""


def of_environment(error: BaseException, _setup: AwsSettings) -> Fault | None:
    match error:
        case sdk.PartialCredentialsError():
            return Fault(
                f"AWS_ACCESS_KEY_ID is set, but {error.kwargs.get('cred_var')} is not.",
                "Set both, or neither if credentials come from elsewhere.",
                Recovery.RESTART,
            )
        case ParserError():
            return Fault(
                "AWS_CREDENTIAL_EXPIRATION is not a valid time.",
                "Write it as 2026-01-31T12:00:00Z, or unset it.",
                Recovery.RESTART,
            )
        case RuntimeError():
            return Fault(
                "The credentials in the environment have expired (AWS_CREDENTIAL_EXPIRATION).",
                "Get new credentials, and restart with them.",
                Recovery.RESTART,
            )
        case _:
            return None


def of_process(error: BaseException, setup: AwsSettings) -> Fault | None:  # noqa: PLR0911 - one arm for each kind
    tool = f"The credential_process of the profile {setup.profile_name}"
    by_hand = "Run it by hand to see its output."
    match error:
        case ProcessFailedError(code=code):
            how = f"exited with code {code}" if code >= 0 else f"was killed by signal {-code}"
            return Fault(f"{tool} {how}.", by_hand, Recovery.TRANSIENT)
        case ValueError() if (
            type(error) is ValueError
        ):  # from parsing its command; JSON errors have their own types
            return Fault(f"{tool} has an unbalanced quote.", f"Correct it in {CONFIGURATION}.")
        case OSError():
            return Fault(
                f"{tool} cannot be run: {error.strerror or type(error).__name__}.",
                f"Give its full path in {CONFIGURATION}, and make it executable (chmod +x).",
                Recovery.TRANSIENT,
            )
        case ParserError():
            return Fault(
                f"{tool} returns an invalid Expiration.", "It must have the form 2026-01-31T12:00:00Z."
            )
        case RuntimeError():
            return Fault(f"{tool} returns credentials that have expired.", by_hand, Recovery.TRANSIENT)
        case sdk.CredentialRetrievalError():
            return Fault(
                f"{tool} returns unexpected output.",
                "It must be JSON with Version 1, AccessKeyId and SecretAccessKey (and SessionToken and "
                "Expiration).",
                Recovery.TRANSIENT,
            )
        case _ if isinstance(error, _NOT_TEXT):
            return Fault(f"{tool} does not print a JSON object.", by_hand, Recovery.TRANSIENT)
        case _:
            return None


def of_web_identity(error: BaseException, setup: AwsSettings) -> Fault | None:
    setting_name, _ = setup.described("AWS_WEB_IDENTITY_TOKEN_FILE")
    match error:
        case OSError(filename=str(file)):
            return Fault(
                f"The token file {file} cannot be read: {error.strerror}.",
                f"Check {setting_name}: it must name a file that this user may read.",
                Recovery.TRANSIENT,
            )
        case UnicodeDecodeError():
            return Fault(
                f"The file that {setting_name} names contains no token: it is not text.",
                f"Set {setting_name} to the file with the token.",
                Recovery.TRANSIENT,
            )
        case sdk.ParamValidationError() if "WebIdentityToken" in _parameters(error):
            return Fault(
                f"The file that {setting_name} names contains no token.",
                "Have its owner write a new token to it.",
                Recovery.TRANSIENT,
            )
        case sdk.ParamValidationError():
            return _parameter_fault(error, "AWS_ROLE_ARN or AWS_ROLE_SESSION_NAME")
        case sdk.InvalidConfigError():
            return Fault(
                f"{setting_name} is set, but there is no role to assume.",
                "Set AWS_ROLE_ARN, or role_arn in the profile.",
            )
        case _:
            return None


def of_role(error: BaseException, setup: AwsSettings) -> Fault | None:
    match error:
        case MfaAskedError() | sdk.RefreshWithMFAUnsupportedError():
            return Fault(
                f"The profile {setup.profile_name} requires an MFA code (mfa_serial), which this program "
                "cannot ask for.",
                "Get session credentials by hand (`aws sts assume-role` with --token-code, or `aws "
                "configure export-credentials`), and use those.",
            )
        case sdk.ParamValidationError():
            return _parameter_fault(error, f"role_arn and related settings in {CONFIGURATION}")
        case sdk.InfiniteLoopConfigError():
            return Fault(
                f"The profiles that {setup.profile_name} refers to form a loop of source_profile.",
                f"Give one of them its own keys, in {CONFIGURATION}.",
            )
        case _:
            return None


def of_container(error: BaseException, setup: AwsSettings) -> Fault | None:  # noqa: PLR0911 - likewise
    """The answers are the platform's; the address and the token are the environment's."""
    variables = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
    address = next((each for each in reversed(variables) if each in setup.environment), variables[0])
    match error:
        case sdk.CredentialRetrievalError() | sdk.MetadataRetrievalError():
            return _of_answer(str(error), address)
        case OSError(filename=str(file)):
            return Fault(
                f"The token file {file} cannot be read: {error.strerror}.",
                "Check AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE.",
                Recovery.TRANSIENT,
            )
        case RuntimeError():
            return Fault(
                f"The provider at {address} returns credentials that have expired.",
                "Check that provider.",
                Recovery.TRANSIENT,
            )
        case _ if isinstance(error, (*_NOT_TEXT, ParserError)):
            return Fault(
                f"The provider at {address} returns no credentials.",
                f"It must return a JSON object with {_HAND_OUT}.",
                Recovery.TRANSIENT,
            )
        case ValueError() if "header" in str(error):
            return Fault(
                "The token in AWS_CONTAINER_AUTHORIZATION_TOKEN (or its _FILE) contains a line break.",
                "Remove the line break.",
                setup.described("AWS_CONTAINER_AUTHORIZATION_TOKEN")[1],
            )
        case ValueError() | sdk.HTTPClientError():
            return Fault(
                f"{address} is not a valid address for credentials.",
                "It must be http:// with a host on this machine or one reserved by AWS (169.254.170.2 or "
                ".23), and a port up to 65535.",
                Recovery.RESTART,
            )
        case _:
            return None


def _of_answer(said: str, address: str) -> Fault:
    """said: the SDK's message; it contains the whole answer."""
    look = f"Check the provider at {address}."
    if (status := _STATUS.search(said)) is not None:
        is_no = status[1].startswith("4") and status[1] != "429"
        recovery = Recovery.MANUAL if is_no else Recovery.TRANSIENT
        return Fault(f"The provider at {address} returns no credentials: {status[1]}.", look, recovery)
    if "Unable to parse JSON" in said:
        return Fault(f"The provider at {address} returns no credentials: not JSON.", look, Recovery.TRANSIENT)
    return Fault(f"There is no answer from {address}.", look, Recovery.TRANSIENT)


def of_instance(error: BaseException, _setup: AwsSettings) -> Fault | None:
    """The metadata service of an instance either exists or not; the SDK reports only its successes."""
    if isinstance(
        error, (*_NOT_TEXT, sdk.CredentialRetrievalError, sdk.MetadataRetrievalError, RuntimeError)
    ):
        return Fault(
            "The metadata service of this instance returns no credentials.",
            "Check that a role is attached to the instance, and check AWS_EC2_METADATA_SERVICE_ENDPOINT.",
            Recovery.TRANSIENT,
        )
    return None


def of_login(error: BaseException, setup: AwsSettings) -> Fault | None:
    profile = setup.profile_name
    match error:
        case sdk.UnauthorizedSSOTokenError() | sdk.TokenRetrievalError() | RuntimeError():
            return Fault(f"The login (SSO) of the profile {profile} has expired.", _LOG_IN)
        case sdk.SSOTokenLoadError():
            return Fault(f"There is no login (SSO) for the profile {profile}.", _LOG_IN)
        case _ if isinstance(error, (*_NOT_TEXT, ParserError)):
            return Fault(f"The stored login (SSO) of the profile {profile} is damaged.", _LOG_IN)
        case _:
            return None


def _parameters(error: sdk.ParamValidationError) -> list[str]:
    """Their names; the message contains values, too."""
    return _PARAMETER.findall(str(error))


def _parameter_fault(error: sdk.ParamValidationError, where: str) -> Fault:
    names = ", ".join(dict.fromkeys(_parameters(error))) or "something"
    return Fault(f"The STS request for the role is invalid: malformed {names}.", f"Check {where}.")
