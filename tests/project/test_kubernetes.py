"""The Kubernetes files against the schemas of Kubernetes, the image, and the program; there is no cluster."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any, Final

import kubernetes_validate
import pytest
from aiohttp import web
from deployed import (
    KUBERNETES,
    Object,
    configuration_file,
    container,
    documents,
    image_settings,
    last,
    manifests,
    pod,
    port,
    set_for,
)

from bulk_invite.domain.errors import EXIT_STOPPED, BulkInviteError, TooManyFailuresError, UsageError
from bulk_invite.monitoring.http.api import api_routes
from bulk_invite.monitoring.http.probes import health_routes
from bulk_invite.runs.settings.loading import CONFIG, load
from bulk_invite.runs.settings.options import OPTIONS

_OLDEST: Final = "1.31"
"""Of Kubernetes: the first in which all that is used is there to stay."""

_VERSIONS: Final = (_OLDEST, kubernetes_validate.latest_version())

_ROWS_THAT_HAVE_NONE: Final = 1
_KILLED: Final = 137


def _check(manifest: Object, version: str) -> None:
    kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.parametrize("version", _VERSIONS)
def test_the_files_match_the_schemas_of_kubernetes(version: str) -> None:
    assert len(manifests()) == 9
    for manifest in manifests().values():
        _check(manifest, version)


@pytest.mark.parametrize(
    "where",
    [
        ("spec", "backoffLimit"),
        ("spec", "template", "spec", "terminationGracePeriodSeconds"),
        ("spec", "template", "spec", "containers", 0, "securityContext", "readOnlyRootFilesystem"),
        ("spec", "template", "spec", "containers", 0, "livenessProbe", "httpGet", "path"),
    ],
    ids=lambda where: str(where[-1]),
)
def test_a_misspelled_member_is_noticed(where: tuple[Any, ...]) -> None:
    manifest = deepcopy(manifests()["Job", "bulk-invite-backfill"])
    parent: Any = manifest
    for step in where[:-1]:
        parent = parent[step]
    parent[f"{where[-1]}s"] = parent.pop(where[-1])
    with pytest.raises(kubernetes_validate.ValidationError):
        _check(manifest, _OLDEST)


def test_the_kustomization_names_files_and_the_image() -> None:
    (kustomization,) = documents(KUBERNETES / "kustomization.yaml")
    for file in kustomization["resources"]:
        assert (KUBERNETES / file).exists()
    (image,) = kustomization["images"]
    assert container("Deployment")["image"] == f"{image['name']}:{image['newTag']}"


def test_the_two_pods_differ_only_in_their_command() -> None:
    job, deployment = pod("Job"), pod("Deployment")
    for each in (job, deployment):
        del each["metadata"]["labels"]["app.kubernetes.io/component"]
        del each["spec"]["containers"][0]["args"]
    assert job["spec"].pop("restartPolicy") == "Never"
    assert job == deployment


def test_every_referenced_object_exists() -> None:
    found = manifests()
    spec, its = pod("Deployment")["spec"], container("Deployment")
    assert ("ServiceAccount", spec["serviceAccountName"]) in found
    volumes = {each["name"]: each for each in spec["volumes"]}
    assert ("PersistentVolumeClaim", volumes["state"]["persistentVolumeClaim"]["claimName"]) in found
    secret = found["Secret", volumes["secrets"]["secret"]["secretName"]]["stringData"]
    assert {each["key"] for each in volumes["secrets"]["secret"]["items"]} <= set(secret)
    for each in (variable["valueFrom"]["secretKeyRef"] for variable in its["env"] if "valueFrom" in variable):
        assert each["key"] in found["Secret", each["name"]]["stringData"]
    where = {each["name"]: Path(each["mountPath"]) for each in its["volumeMounts"]}
    assert set(where) == set(volumes)
    assert where["state"] == Path(last("VOLUME"))
    variables = set_for("Deployment")
    files = found["ConfigMap", volumes["config"]["configMap"]["name"]]["data"]
    assert [str(where["config"] / name) for name in files] == [variables["BULK_INVITE_CONFIG"]]
    items = [str(where["secrets"] / each["path"]) for each in volumes["secrets"]["secret"]["items"]]
    assert items == [variables["BULK_INVITE_CONTROL_TOKEN_FILE"]]


def test_every_label_selector_matches_a_pod() -> None:
    found = manifests()
    labels = pod("Deployment")["metadata"]["labels"].items()
    budget = found["PodDisruptionBudget", "bulk-invite-follow"]["spec"]["selector"]["matchLabels"]
    of_deployment = found["Deployment", "bulk-invite-follow"]["spec"]["selector"]["matchLabels"]
    for chosen in (budget, of_deployment):
        assert chosen.items() <= labels
        assert not chosen.items() <= pod("Job")["metadata"]["labels"].items()
    for chosen in (
        found["Service", "bulk-invite"]["spec"]["selector"],
        found["NetworkPolicy", "bulk-invite"]["spec"]["podSelector"]["matchLabels"],
    ):
        assert chosen.items() <= labels & pod("Job")["metadata"]["labels"].items()


def test_the_pods_run_the_image_as_built() -> None:
    spec, its = pod("Job")["spec"], container("Job")
    user, group = map(int, last("USER").split(":"))
    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": user,
        "runAsGroup": group,
        "fsGroup": group,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert its["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "command" not in its  # the image's entry point gets the signals
    (secrets,) = (each["secret"] for each in spec["volumes"] if "secret" in each)
    assert secrets["defaultMode"] == 0o440  # readable by the group, and no other user


def test_ports_and_pages_are_those_of_the_program() -> None:
    template, its = pod("Job"), container("Job")
    (named,) = its["ports"]
    assert named["containerPort"] == port()
    annotations = template["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(port())
    (served,) = manifests()["Service", "bulk-invite"]["spec"]["ports"]
    assert (served["port"], served["targetPort"]) == (port(), named["name"])
    probes = {name: its[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert {name: each["path"] for name, each in probes.items()} == {
        "startupProbe": "/livez",
        "livenessProbe": "/livez",
        "readinessProbe": "/readyz",
    }
    assert {each["port"] for each in probes.values()} == {named["name"]}
    pages = _paths(health_routes(lambda: pytest.fail("only looked at")))
    assert {each["path"] for each in probes.values()} == pages
    unused: Any = None
    assert annotations["prometheus.io/path"] in _paths(api_routes(unused, unused))


def _paths(routes: list[web.RouteDef]) -> set[str]:
    return {route.path for route in routes}


def test_a_stop_has_time_to_drain(tmp_path: Path) -> None:
    settings = load({}, configuration_file(tmp_path), image_settings())
    for kind in ("Job", "Deployment"):
        assert pod(kind)["spec"]["terminationGracePeriodSeconds"] > settings.call_timeout + 10


def test_every_setting_exists_and_none_reaches_the_live_catalog_by_accident(tmp_path: Path) -> None:
    known = {each.variable for each in OPTIONS.values()}
    assert len(set_for("Job")) > 4
    for kind in ("Job", "Deployment"):
        assert set_for(kind).keys() <= known | {CONFIG}
    settings = load({}, configuration_file(tmp_path), image_settings())
    assert (settings.catalog, settings.yes) == ("Sandbox", False)
    assert Path(settings.checkpoint).parent == Path(last("VOLUME"))


def test_a_failed_pod_is_replaced_if_that_helps() -> None:
    spec = manifests()["Job", "bulk-invite-backfill"]["spec"]
    by_code = [rule for rule in spec["podFailurePolicy"]["rules"] if "onExitCodes" in rule]
    assert {rule["onExitCodes"]["operator"] for rule in by_code} == {"In"}
    first = {code: rule["action"] for rule in reversed(by_code) for code in rule["onExitCodes"]["values"]}
    assert first == {
        _ROWS_THAT_HAVE_NONE: "FailJob",
        UsageError.exit_code: "FailJob",
        TooManyFailuresError.exit_code: "FailJob",
        EXIT_STOPPED: "Ignore",
    }
    assert not {BulkInviteError.exit_code, _KILLED} & set(first)  # these count against the limit
    assert spec["backoffLimit"] > 5
    assert "activeDeadlineSeconds" not in spec
