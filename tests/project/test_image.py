"""The Dockerfile without an engine: copied files, variables, and base image."""

from __future__ import annotations

import re
import signal
import socket
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import partial
from pathlib import Path

import pytest
from command import Ran, run, running, together
from deployed import ROOT, health_check, image_environment, image_settings, instructions, last, port
from packaging.requirements import Requirement
from rows import make_rows, write_rows

from bulk_invite.runs.settings.loading import load
from bulk_invite.runs.settings.model import Settings
from bulk_invite.runs.settings.value_types import host_and_port

_DEFAULTS = Settings.model_validate({})
_PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def _locked(name: str) -> dict[str, str]:
    """Version by package; a pin without a hash is left out."""
    pins = re.findall(
        r"^([a-z0-9._-]+)==(\S+)[^\n]*\\\n    --hash=sha256:[0-9a-f]{64}",
        (ROOT / "config" / name).read_text(),
        re.MULTILINE,
    )
    return dict(pins)


@pytest.mark.parametrize(
    ("lock", "wanted"),
    [
        ("requirements.lock", _PROJECT["project"]["dependencies"]),
        ("requirements.lock", _PROJECT["project"]["optional-dependencies"]["tracing"]),
        ("build.lock", _PROJECT["build-system"]["requires"]),
    ],
    ids=["dependencies", "tracing", "build"],
)
def test_the_locks_have_every_dependency_of_the_project(lock: str, wanted: list[str]) -> None:
    locked = _locked(lock)
    for each in map(Requirement, wanted):
        version = locked.get(each.name.lower())
        assert version is not None, each
        assert each.specifier.contains(version), (each, version)


@pytest.mark.parametrize("lock", ["requirements.lock", "build.lock"])
def test_the_locks_pin_everything_by_hash_and_name_no_index(lock: str) -> None:
    text = (ROOT / "config" / lock).read_text()
    named = re.findall(r"^[a-z0-9._-]+(?=\W)", text, re.MULTILINE)
    assert len(named) > 4
    assert named == list(_locked(lock))
    assert "://" not in text


def test_the_image_copies_exactly_what_dockerignore_admits() -> None:
    let_in = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = [
        word
        for name, value in instructions()
        if name == "COPY" and not value.startswith("--from")
        for word in value.split()[:-1]
    ]
    assert len(copied) > 4
    for source in copied:
        assert (ROOT / source).exists()
        assert any(fnmatch(source, pattern) for pattern in let_in), source
    for pattern in let_in:
        assert any(fnmatch(source, pattern) for source in copied), pattern


def test_the_base_image_can_be_pinned_by_a_digest() -> None:
    """One argument before the first stage, and no stage from anything else."""
    names = [name for name, _ in instructions()]
    argument, _, default = last("ARG").partition("=")
    assert names.index("ARG") < names.index("FROM")
    assert names.count("ARG") == 1
    stages = [value.partition(" AS ")[0] for name, value in instructions() if name == "FROM"]
    assert stages == [f"${{{argument}}}"] * 2
    assert re.fullmatch(r"python:3\.\d+-slim-[a-z]+", default)
    compose = (ROOT / "config" / "compose.yaml").read_text()
    assert f'args: {{{argument}: "${{{argument}:-{default}}}"}}' in compose
    assert f"--build-arg {argument}={default}@sha256:" in (ROOT / "config" / "README.md").read_text()


@pytest.mark.parametrize("file", ["config/README.md", "Dockerfile"])
def test_the_documented_command_gives_no_privileges(file: str) -> None:
    text = (ROOT / file).read_text().replace("\\\n#", "").replace("\\\n", "")
    commands = re.findall(r"docker run .*", text)
    commands = [each for each in commands if "bulk-invite" in each]
    assert commands
    for command in commands:
        for each in ("--read-only", "--cap-drop ALL", "--security-opt no-new-privileges"):
            assert each in command


def test_the_image_runs_as_a_user_other_than_root_that_can_write_to_the_volume() -> None:
    user, group = map(int, last("USER").split(":"))
    assert user > 0
    assert group > 0
    made = last("RUN")
    assert f"useradd --uid {user} --gid {group}" in made
    assert f"install -d -o {user} -g {group} -m 0700 {last('VOLUME')}" in made
    volume = last("VOLUME")
    there = image_environment()
    assert {last("WORKDIR"), there["HOME"], there["TMPDIR"]} == {volume}
    assert not Path(_DEFAULTS.checkpoint).is_absolute()  # so it is in the working directory
    assert Path(there["BULK_INVITE_HEALTH_FILE"]).parent == Path(volume)


def test_every_variable_of_the_image_is_a_setting() -> None:
    settings = load({}, None, image_settings())
    changed = {name for name, value in _DEFAULTS if getattr(settings, name) != value}
    assert changed == {"health_file", "listen", "log_format"}
    assert len(image_settings()) == len(changed)
    assert settings.log_format == "json"
    assert host_and_port(settings.listen or "") == ("0.0.0.0", port())


def test_the_program_gets_the_signals_and_is_installed_by_hash() -> None:
    assert sum(value.count("--require-hashes") for name, value in instructions() if name == "RUN") == 2
    assert last("ENTRYPOINT") == '["bulk-invite"]'
    assert last("STOPSIGNAL") == "SIGTERM"


@pytest.fixture
def here(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The image's environment, with its health file in our folder and a port on which a server listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield {
            **image_settings(),
            "BULK_INVITE_HEALTH_FILE": str(tmp_path / "health.json"),
            "BULK_INVITE_LISTEN": f"127.0.0.1:{taken.getsockname()[1]}",
        }


def test_the_environment_of_the_image_disturbs_no_other_command(here: dict[str, str], tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.ndjson", make_rows(3))
    nothing_is_there = 4

    def code(*words: str | Path) -> Ran:
        return run(*words, cwd=tmp_path, env=here)

    validated, dry, status, unhealthy = together(
        partial(code, "validate", rows),
        partial(code, "send", rows, "--dry-run", "--json"),
        partial(code, "status"),
        partial(code, *health_check()[1:]),
    )
    assert validated.code == 0, validated.stderr
    assert dry.code == 0, dry.stderr
    assert dry.json["rows"] == 3
    assert status.code == nothing_is_there
    assert "no checkpoint" in status.said
    assert unhealthy.code == 1
    assert here["BULK_INVITE_HEALTH_FILE"] in unhealthy.stdout
    with running("emulator", "--port", "0", "--json", cwd=tmp_path, env=here) as emulator:
        assert emulator.process.stdout is not None
        assert "url" in emulator.process.stdout.readline()
        emulator.signal(signal.SIGTERM)
        assert emulator.ended().code == 0
    assert [file.name for file in tmp_path.iterdir()] == [rows.name]
