"""The environment: correctly spelled settings only, and a control token that is private to its owner."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path

import pytest
from command import CREDENTIALS, run
from structlog.testing import capture_logs

from bulk_invite.domain.errors import UsageError
from bulk_invite.runs.live_status.control_token import control_token
from bulk_invite.runs.settings.loading import load
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.settings.options import OPTIONS, Option

TOKEN = "0123456789abcdef0123"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("BULK_INVITE_RATTE", "BULK_INVITE_RATE"),
        ("BULK_INVITE_DAILYQUOTA", "BULK_INVITE_DAILY_QUOTA"),
        ("BULK_INVITE_CATLOG", "BULK_INVITE_CATALOG"),
        ("BULK_INVITE_CONFG", "BULK_INVITE_CONFIG"),
        ("BULK_INVITE_CONTROL_TOKENS", "BULK_INVITE_CONTROL_TOKEN"),
        ("bulk_invite_rate", "BULK_INVITE_RATE"),
        ("BULK_INVITE_JSON_OUTPUT", None),
        ("BULK_INVITE_", None),
    ],
)
def test_an_unknown_variable_is_refused_with_a_suggestion(name: str, meant: str | None) -> None:
    with pytest.raises(UsageError) as raised:
        load({}, None, {name: "1", "BULK_INVITE_RATE": "2"})
    assert f"Unknown environment variables: {name}." in str(raised.value)
    assert meant is None or f"Did you mean {meant}?" in str(raised.value)
    assert raised.value.exit_code == 2


def test_variables_of_other_programs_are_ignored() -> None:
    """Kubernetes announces its Services so, and the tests have a variable of their own."""
    service = "BULK_INVITE_SERVICE_HOST BULK_INVITE_SERVICE_PORT BULK_INVITE_SERVICE_PORT_CONTROL"
    port = "BULK_INVITE_PORT_8081_TCP BULK_INVITE_PORT_8081_TCP_ADDR BULK_INVITE_PORT_8081_TCP_PROTO"
    other = "BULK_INVITE_FOLLOW_PORT BULK_INVITE_FOLLOW_SERVICE_HOST BULK_INVITE_TEST_POSTGRES BULK_INVITER"
    others = f"{service} {port} BULK_INVITE_PORT {other} _BULK_INVITE_COMPLETE".split()
    assert load({}, None, dict.fromkeys(others, "tcp://10.0.0.1:8081")) == Settings.model_validate({})


def test_a_misspelled_key_of_the_file_is_refused_with_a_suggestion(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text("ratte = 2\n")
    with pytest.raises(
        UsageError,
        match=r"unknown keys: 'ratte'\. Did you mean rate\? All keys: bulk-invite manual options\.$",
    ):
        load({}, tmp_path / "own.toml", {})


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("limit", "-1", "must be more than 0."),
        ("limit", "many", "must be a whole number."),
        ("max_in_flight", "0", "must be 1 or more."),
        ("max_in_flight", "99999", "or less."),
        ("max_rate", "fast", "must be a number."),
        ("catalog", "aws", "must be Sandbox or AWS; did you mean AWS?"),
        ("catalog", "live", "must be Sandbox or AWS."),
        ("log_level", "debg", "must be debug, info, warning or error; did you mean debug?"),
        ("burst", "0.5", "must be 1 or more."),
        ("daily_quota", "9" * 5000, "expected a number of calls, such as 10000, or none."),
        ("limit", "9" * 5000, "must be a smaller number."),
        ("campaign", "a\nb", "expected at most 255 characters and no control characters."),
        ("campaign", "a" * 256, "expected at most 255 characters and no control characters."),
        ("checkpoint_schema", "X", "expected lower-case letters, digits and underscores, "),
        ("notify_channel", "", "expected 1 to 63 characters."),
        ("table", "", "must not be empty."),
        ("tracing", "perhaps", "must be true or false."),
        ("columns", "[1]", 'expected a JSON object, such as {"Invitation.Message": "text"}.'),
        ("columns", "{Invitation.Message: text}", "expected a JSON object, "),
        ("columns", '{"a": 1}', "expected a text for every name, "),
        ("constants", "3", "expected a JSON object, "),
    ],
)
def test_a_wrong_value_is_reported_in_our_words(name: str, value: str, says: str) -> None:
    with pytest.raises(UsageError) as raised:
        load({name: value}, None, {})
    flag = name.replace("_", "-")
    assert str(raised.value).startswith(f"Invalid value for --{flag} on the command line: ")
    assert says in str(raised.value)
    assert not _OF_A_LIBRARY.search(str(raised.value))


_OF_A_LIBRARY = re.compile(
    r"Input|Value error|should be|is not one of|dictionary|pars(e|ing)|pattern|valid (integer|number|string)|"
    r"instance|<class|validation error|sys\.|string|[Ii]nteger|None|bool\b"
)
"""Words of pydantic and Python."""

_WRONG_TEXTS = (
    "",
    "abc",
    "-1",
    "0",
    "1.5",
    "nan",
    "inf",
    "true",
    "[]",
    '{"a": 1}',
    "ftp://x",
    "a\0b",
    "9" * 5000,
)
_WRONG_VALUES = (
    "true",
    "-1",
    "0",
    "1.5",
    "nan",
    "[]",
    "[1]",
    "{}",
    "{ a = { b = 1 } }",
    "1979-05-27",
    '"\\u0000"',
)
"""In the environment or on the command line, and in the file."""


@pytest.mark.parametrize("option", OPTIONS.values(), ids=lambda option: option.flag)
def test_no_wrong_value_is_reported_in_the_words_of_a_library(tmp_path: Path, option: Option) -> None:
    file = tmp_path / "own.toml"
    found: list[str] = []
    for text, value in zip_longest(_WRONG_TEXTS, _WRONG_VALUES, fillvalue="-1"):
        file.write_text(f"{option.key} = {value}\n")
        found += (
            said.replace(text or ":", "", 1)
            for said in (
                refusal("on the command line", option, flags={option.name: text}),
                refusal(
                    f"in the environment ({option.variable})", option, environment={option.variable: text}
                ),
                refusal(f"in {file}", option, config=file),
            )
            if said
        )
    assert len(found) > 3
    assert [said for said in found if _OF_A_LIBRARY.search(said) or len(said) > 300] == []


def refusal(
    where: str,
    option: Option,
    *,
    flags: Mapping[str, str] | None = None,
    config: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> str:
    """What is said of the one wrong value, without its place; "" if it is accepted."""
    try:
        load(flags or {}, config, environment or {})
    except UsageError as error:
        before, _, said = str(error).partition(f"Invalid value for {option.flag} {where}: ")
        assert (before, "Invalid value" in said, "See bulk-invite " in said) == ("", False, True)
        return said
    return ""


@pytest.mark.parametrize("command", [("send", "nowhere.ndjson"), ("validate", "nowhere.ndjson"), ("doctor",)])
def test_every_command_that_takes_settings_refuses_unknown_variables(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    ran = run(*command, cwd=tmp_path, env={**CREDENTIALS, "BULK_INVITE_RATTE": "2"})
    assert (ran.code, ran.stdout) == (2, "")
    assert ran.said.endswith("BULK_INVITE_RATTE. Did you mean BULK_INVITE_RATE? Otherwise unset it.")


def token_file(path: Path, mode: int) -> Settings:
    path.write_text(f"{TOKEN}\n")
    path.chmod(mode)
    return Settings.model_validate({"control_token_file": path})


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o440, 0o640, 0o660])
def test_a_token_readable_by_owner_and_group_is_accepted(tmp_path: Path, mode: int) -> None:
    with capture_logs() as logs:
        assert control_token(token_file(tmp_path / "token", mode)) == TOKEN
    assert logs == []


@pytest.mark.parametrize("mode", [0o644, 0o604])
def test_a_world_readable_token_causes_a_warning(tmp_path: Path, mode: int) -> None:
    with capture_logs() as logs:
        assert control_token(token_file(tmp_path / "to ken", mode)) == TOKEN
    (warning,) = logs
    assert (warning["event"], warning["log_level"]) == ("control.token_readable", "warning")
    assert f"chmod 600 '{tmp_path}/to ken'" in warning["next"]
    assert TOKEN not in str(warning)


@pytest.mark.parametrize("mode", [0o602, 0o666])
def test_a_world_writable_token_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(UsageError) as raised:
        control_token(token_file(tmp_path / "to ken", mode))
    assert f"chmod 600 '{tmp_path}/to ken'" in str(raised.value)
    assert TOKEN not in str(raised.value)


def test_a_link_counts_as_its_target(tmp_path: Path) -> None:
    """Kubernetes mounts a secret's keys as links."""
    settings = token_file(tmp_path / "data", 0o440)
    (tmp_path / "token").symlink_to("data")
    settings = settings.model_copy(update={"control_token_file": tmp_path / "token"})
    assert control_token(settings) == TOKEN
    (tmp_path / "data").chmod(0o666)
    with pytest.raises(UsageError, match="other users"):
        control_token(settings)


def test_a_world_readable_mounted_secret_gets_a_feasible_remedy(tmp_path: Path) -> None:
    """As Kubernetes and Docker mount them: read-only, with a mode that cannot be changed from within."""
    mounted = (
        'mount -t tmpfs none "$0" && echo "$1" > "$0/token" && mount -o remount,ro "$0" && exec "$2" -c "$3"'
    )
    asked = f"""
from bulk_invite.runs.live_status.control_token import control_token
from bulk_invite.runs.settings.model import Settings
print(control_token(Settings.model_validate({{"control_token_file": "{tmp_path}/token"}})))
"""
    shell = ("unshare", "--mount", "sh", "-c", mounted, tmp_path, TOKEN, sys.executable, asked)
    ran = subprocess.run(shell, check=False, capture_output=True, text=True, timeout=30)
    if "Operation not permitted" in ran.stderr or "Permission denied" in ran.stderr:
        pytest.skip("nothing can be mounted here")
    assert ran.stdout.splitlines()[-1] == TOKEN
    assert "control.token_readable" in ran.stdout
    assert "0440" in ran.stdout
