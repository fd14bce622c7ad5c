"""The content of the wheel, and so of the image: the manual, and third-party licenses."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator

import pytest
from documents import MANUAL, README, ROOT
from hatchling.builders.wheel import WheelBuilder

_MODEL = "bulk_invite/validation/service_model"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    folder = tmp_path_factory.mktemp("wheel")
    (built,) = WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])
    with zipfile.ZipFile(built) as opened:
        yield opened


def test_the_wheel_has_every_topic_of_the_manual(wheel: zipfile.ZipFile) -> None:
    for file in MANUAL.glob("*.md"):
        assert wheel.read(f"bulk_invite/manual/{file.name}") == file.read_bytes()


def test_the_wheel_has_the_completion_scripts(wheel: zipfile.ZipFile) -> None:
    for shell in ("bash", "zsh", "fish"):
        assert f"bulk_invite/cli/completion/bulk-invite.{shell}" in wheel.namelist()


def test_the_description_of_the_wheel_is_the_readme(wheel: zipfile.ZipFile) -> None:
    (metadata,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    assert README in wheel.read(metadata).decode()


def test_the_wheel_has_the_license_and_notice_of_the_service_model(wheel: zipfile.ZipFile) -> None:
    assert f"{_MODEL}/partnercentral-selling/2022-07-26/service-2.json" in wheel.namelist()
    license_, notice = (wheel.read(f"{_MODEL}/{name}").decode() for name in ("LICENSE", "NOTICE"))
    for part in ("Apache License", "Version 2.0, January 2004", "END OF TERMS AND CONDITIONS"):
        assert part in license_
    assert "derived from the data of\nbotocore" in notice
    assert "Copyright 2012-2022 Amazon.com, Inc. or its affiliates. All Rights Reserved." in notice


def test_the_image_is_built_from_the_wheel() -> None:
    """The files of the package are let in whole, so what the wheel has the image has."""
    let_in = (ROOT / ".dockerignore").read_text().splitlines()
    assert "!bulk_invite" in let_in
    left_out = [line for line in let_in[1:] if not line.startswith("!")]
    assert left_out == ["**/__pycache__"]
    assert "pip install --no-deps /wheel/*.whl" in (ROOT / "Dockerfile").read_text()
