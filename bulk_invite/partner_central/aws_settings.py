"""The AWS settings of a process: its environment and a profile. Pure values; nothing is read here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES as SDK_SETTINGS

from bulk_invite.domain.sender_fault import Recovery

CONFIGURATION: Final = "the AWS configuration (AWS_CONFIG_FILE, AWS_SHARED_CREDENTIALS_FILE)"


@dataclass(frozen=True, slots=True)
class AwsSettings:
    """profile: None for the default one. members: its content, as far as it could be read."""

    profile: str | None
    environment: Mapping[str, str]
    members: Mapping[str, object] = field(default_factory=dict)

    @property
    def profile_name(self) -> str:
        return self.profile or self.environment.get("AWS_PROFILE") or "default"

    @property
    def empty_profile(self) -> str:
        """The variable that names the profile if that name is empty."""
        variables = ("AWS_DEFAULT_PROFILE", "AWS_PROFILE")
        return next((each for each in variables if self.environment.get(each) == ""), "--profile")

    def described(self, variable: str, member: str = "") -> tuple[str, Recovery]:
        """Describe a setting, and how an error in it can be cleared.

        member: its name in a profile, unless that is the variable's name without AWS_.
        """
        if variable in self.environment:
            return variable, Recovery.RESTART
        member = member or variable.removeprefix("AWS_").lower()
        if variable.startswith("--") or not self.members.get(member):
            return variable, Recovery.RESTART if variable.startswith("--") else Recovery.MANUAL
        return f"{member} of the profile {self.profile_name}", Recovery.MANUAL

    def unreadable_setting(self) -> str | None:
        """The variable of an SDK setting that must be a number and is not."""
        for member, variable, _, convert in SDK_SETTINGS.values():
            if convert is not int:
                continue
            value = self.environment.get(variable, self.members.get(member))
            if isinstance(value, str) and not value.strip().lstrip("+-").isdecimal():
                return str(variable)
        return None


def setting_in(text: str) -> str | None:
    """The variable of an SDK setting that a message names by its profile member."""
    for member, variables, *_ in SDK_SETTINGS.values():
        if isinstance(member, str) and isinstance(variables, str) and re.search(rf"\b{member}\b", text):
            return variables
    return None
