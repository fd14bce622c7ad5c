"""Where credentials come from, and what can be wrong with each of these places. Pure."""

from __future__ import annotations

import json
import re
from typing import Final

from botocore import exceptions as sdk
from dateutil.parser import ParserError  # type: ignore[import-untyped]  # the SDK reads times by it

from bulk_invite.domain.sender_fault import Fault, Recovery
from bulk_invite.partner_central.aws_settings import CONFIGURATION, Setup

_NOT_TEXT: Final = (json.JSONDecodeError, UnicodeDecodeError, AttributeError, TypeError, KeyError)
"""What comes of taking something for JSON with certain members that is not."""

WORDS: Final = {
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
"""Places as they are told, by the SDK's word for them."""

_STATUS: Final = re.compile(r"Received non 200 response (\d{3}) from container metadata")
_PARAMETER: Final = re.compile(r"parameter (\w{1,40})")
_HAND_OUT: Final = "AccessKeyId, SecretAccessKey, Token and Expiration (a time as 2026-01-31T12:00:00Z)"
_LOG_IN: Final = "Log in anew (`aws sso login`, with --profile), then run the same command again."


class ProcessFailedError(Exception):
    """A credential process ended with a code that is not 0; what it wrote may hold secrets."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class MfaAskedError(Exception):
    """A role asks for a code that only a person has."""


def of_environment(error: BaseException, _setup: Setup) -> Fault | None:
    match error:
        case sdk.PartialCredentialsError():
            return Fault(
                f"AWS_ACCESS_KEY_ID is set, and {error.kwargs.get('cred_var')} is not.",
                "Set both, or none of them where credentials come from elsewhere.",
                Recovery.RESTART,
            )
        case ParserError():
            return Fault(
                "AWS_CREDENTIAL_EXPIRATION is no time.",
                "Write it as 2026-01-31T12:00:00Z, or take it out.",
                Recovery.RESTART,
            )
        case RuntimeError():
            return Fault(
                "The credentials of the environment have expired (AWS_CREDENTIAL_EXPIRATION).",
                "Get new ones, and start again with them.",
                Recovery.RESTART,
            )
        case _:
            return None


def of_process(error: BaseException, setup: Setup) -> Fault | None:  # noqa: PLR0911 - one arm for each kind
    tool = f"The credential_process of the profile {setup.profile_name}"
    by_hand = "Run it by hand to see what it says."
    match error:
        case ProcessFailedError(code=code):
            how = f"ended with code {code}" if code >= 0 else f"was ended by signal {-code}"
            return Fault(f"{tool} {how}.", by_hand, Recovery.TRANSIENT)
        case ValueError() if (
            type(error) is ValueError
        ):  # of taking its command apart; JSON has kinds of its own
            return Fault(f"{tool} has a quote without its other half.", f"Mend it in {CONFIGURATION}.")
        case OSError():
            return Fault(
                f"{tool} cannot be run: {error.strerror or type(error).__name__}.",
                f"Give its whole path in {CONFIGURATION}, and let it be executed (chmod +x).",
                Recovery.TRANSIENT,
            )
        case ParserError():
            return Fault(
                f"{tool} names an Expiration that is no time.", "It has to be as 2026-01-31T12:00:00Z."
            )
        case RuntimeError():
            return Fault(f"{tool} hands out credentials that have expired.", by_hand, Recovery.TRANSIENT)
        case sdk.CredentialRetrievalError():
            return Fault(
                f"{tool} does not print what it should.",
                "It has to be JSON with Version 1, AccessKeyId and SecretAccessKey (and SessionToken and "
                "Expiration).",
                Recovery.TRANSIENT,
            )
        case _ if isinstance(error, _NOT_TEXT):
            return Fault(f"{tool} prints no JSON object.", by_hand, Recovery.TRANSIENT)
        case _:
            return None


def of_web_identity(error: BaseException, setup: Setup) -> Fault | None:
    told, _ = setup.named("AWS_WEB_IDENTITY_TOKEN_FILE")
    match error:
        case OSError(filename=str(file)):
            return Fault(
                f"The token file {file} cannot be read: {error.strerror}.",
                f"Look at {told}: it has to be a file that this user may read.",
                Recovery.TRANSIENT,
            )
        case UnicodeDecodeError():
            return Fault(
                f"There is no token in the file that {told} names: it is not text.",
                f"Let {told} name the file with the token.",
                Recovery.TRANSIENT,
            )
        case sdk.ParamValidationError() if "WebIdentityToken" in _parameters(error):
            return Fault(
                f"There is no token in the file that {told} names.",
                "Let whoever renews it write it anew.",
                Recovery.TRANSIENT,
            )
        case sdk.ParamValidationError():
            return _parameter_fault(error, "AWS_ROLE_ARN or AWS_ROLE_SESSION_NAME")
        case sdk.InvalidConfigError():
            return Fault(
                f"{told} is set, and no role to take with it.",
                "Set AWS_ROLE_ARN, or role_arn in the profile.",
            )
        case _:
            return None


def of_role(error: BaseException, setup: Setup) -> Fault | None:
    match error:
        case MfaAskedError() | sdk.RefreshWithMFAUnsupportedError():
            return Fault(
                f"The profile {setup.profile_name} asks for a code of MFA (mfa_serial), and nobody is "
                "asked for it here.",
                "Get credentials for a session by hand (`aws sts assume-role` with --token-code, or `aws "
                "configure export-credentials`), and use those.",
            )
        case sdk.ParamValidationError():
            return _parameter_fault(error, f"role_arn and what goes with it in {CONFIGURATION}")
        case sdk.InfiniteLoopConfigError():
            return Fault(
                f"The profiles that {setup.profile_name} goes by name each other as their source_profile.",
                f"Let one of them have keys of its own, in {CONFIGURATION}.",
            )
        case _:
            return None


def of_container(error: BaseException, setup: Setup) -> Fault | None:  # noqa: PLR0911 - likewise
    """What answers there belongs to the platform; what it is asked by belongs to the environment."""
    variables = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
    address = next((each for each in reversed(variables) if each in setup.environment), variables[0])
    match error:
        case sdk.CredentialRetrievalError() | sdk.MetadataRetrievalError():
            return _of_answer(str(error), address)
        case OSError(filename=str(file)):
            return Fault(
                f"The token file {file} cannot be read: {error.strerror}.",
                "Look at AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE.",
                Recovery.TRANSIENT,
            )
        case RuntimeError():
            return Fault(
                f"What answers at {address} hands out credentials that have expired.",
                "Look at whatever hands them out.",
                Recovery.TRANSIENT,
            )
        case _ if isinstance(error, (*_NOT_TEXT, ParserError)):
            return Fault(
                f"What answers at {address} hands out no credentials.",
                f"It has to be a JSON object with {_HAND_OUT}.",
                Recovery.TRANSIENT,
            )
        case ValueError() if "header" in str(error):
            return Fault(
                "The token of AWS_CONTAINER_AUTHORIZATION_TOKEN (or of its _FILE) has a line end in it.",
                "Take the line end out.",
                setup.named("AWS_CONTAINER_AUTHORIZATION_TOKEN")[1],
            )
        case ValueError() | sdk.HTTPClientError():
            return Fault(
                f"{address} is no address that credentials can come from.",
                "It has to be http://, of this machine or one that AWS uses for it (169.254.170.2 or .23), "
                "with a port up to 65535.",
                Recovery.RESTART,
            )
        case _:
            return None


def _of_answer(said: str, address: str) -> Fault:
    """said: by the SDK; it holds all of an answer."""
    look = f"Look at whatever hands out credentials there, and at {address}."
    if (status := _STATUS.search(said)) is not None:
        is_no = status[1].startswith("4") and status[1] != "429"
        heal = Recovery.MANUAL if is_no else Recovery.TRANSIENT
        return Fault(f"What answers at {address} hands out no credentials: {status[1]}.", look, heal)
    if "Unable to parse JSON" in said:
        return Fault(
            f"What answers at {address} hands out no credentials: no JSON.", look, Recovery.TRANSIENT
        )
    return Fault(f"There is no answer from {address}.", look, Recovery.TRANSIENT)


def of_instance(error: BaseException, _setup: Setup) -> Fault | None:
    """The metadata service of an instance is there or not; of its answers only good ones are told."""
    if isinstance(
        error, (*_NOT_TEXT, sdk.CredentialRetrievalError, sdk.MetadataRetrievalError, RuntimeError)
    ):
        return Fault(
            "The metadata service of this instance hands out no credentials.",
            "Look whether a role is attached to the instance, and at AWS_EC2_METADATA_SERVICE_ENDPOINT.",
            Recovery.TRANSIENT,
        )
    return None


def of_login(error: BaseException, setup: Setup) -> Fault | None:
    profile = setup.profile_name
    match error:
        case sdk.UnauthorizedSSOTokenError() | sdk.TokenRetrievalError() | RuntimeError():
            return Fault(f"The login (SSO) of the profile {profile} has expired.", _LOG_IN)
        case sdk.SSOTokenLoadError():
            return Fault(f"Nobody has logged in (SSO) for the profile {profile}.", _LOG_IN)
        case _ if isinstance(error, (*_NOT_TEXT, ParserError)):
            return Fault(f"The login (SSO) that is kept for the profile {profile} is damaged.", _LOG_IN)
        case _:
            return None


def _parameters(error: sdk.ParamValidationError) -> list[str]:
    """Their names; the text has values, too."""
    return _PARAMETER.findall(str(error))


def _parameter_fault(error: sdk.ParamValidationError, where: str) -> Fault:
    names = ", ".join(dict.fromkeys(_parameters(error))) or "something"
    return Fault(f"STS cannot be asked for the role: {names} is not of its form.", f"Look at {where}.")
