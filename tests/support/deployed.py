"""The image and the Kubernetes files, as far as tests look into them; nothing is built or applied."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).resolve().parents[2]
DOCKERFILE: Final = (ROOT / "Dockerfile").read_text()
KUBERNETES: Final = ROOT / "config" / "kubernetes"

Object = dict[str, Any]


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions and their arguments, in order; continued lines are joined."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE).replace("\\\n", " ")
    found = []
    for line in filter(None, text.splitlines()):
        name, _, value = line.partition(" ")
        found.append((name, " ".join(value.split())))
    return found


def last(name: str) -> str:
    """The argument of the image's only or last instruction of that name."""
    return [value for each, value in instructions() if each == name][-1]


def health_check() -> list[str]:
    """The command of HEALTHCHECK."""
    words: list[str] = json.loads(last("HEALTHCHECK").partition(" CMD ")[2])
    return words


def image_environment() -> dict[str, str]:
    """The variables of a container, without PATH."""
    pairs = dict(word.split("=", 1) for word in shlex.split(last("ENV")))
    return {name: value for name, value in pairs.items() if name != "PATH"}


def image_settings() -> dict[str, str]:
    """The part of it that is for this program."""
    return {name: value for name, value in image_environment().items() if name.startswith("BULK_INVITE_")}


def port() -> int:
    return int(last("EXPOSE"))


def documents(file: Path) -> list[Object]:
    return [each for each in yaml.safe_load_all(file.read_text()) if each]


def manifests() -> dict[tuple[str, str], Object]:
    """The objects applied to a cluster, by kind and name."""
    files = (file for file in KUBERNETES.glob("*.yaml") if file.name != "kustomization.yaml")
    return {
        (each["kind"], each["metadata"]["name"]): each for file in sorted(files) for each in documents(file)
    }


def pod(kind: str) -> Object:
    """The template of the Job's or the Deployment's pods."""
    ((_, found),) = ((name, each) for (its, name), each in manifests().items() if its == kind)
    template: Object = found["spec"]["template"]
    return template


def container(kind: str) -> Object:
    (only,) = pod(kind)["spec"]["containers"]
    assert isinstance(only, dict)
    return only


def set_for(kind: str) -> dict[str, str]:
    """The variables in the container of a Job or Deployment; secrets are left out."""
    own = {each["name"]: each["value"] for each in container(kind)["env"] if "value" in each}
    return {**image_settings(), **own}


def configuration_file(folder: Path) -> Path:
    """The configuration file that the containers have, in `folder`."""
    text: str = manifests()["ConfigMap", "bulk-invite"]["data"]["bulk-invite.toml"]
    file = folder / "bulk-invite.toml"
    file.write_text(text)
    return file
