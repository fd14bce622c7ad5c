"""Alert rules, dashboard and manual speak of metrics that there are, and say what promtool accepts."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from documents import table, topic
from fakes import REFUSED, THROTTLED
from faults.needs import need
from observed import CREATED, ObservedRow, moment
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from bulk_invite.monitoring.metrics.prometheus import Metrics

ROOT = Path(__file__).resolve().parents[2]
PROMETHEUS = ROOT / "config" / "prometheus"
ALERTS = (PROMETHEUS / "alerts.yaml").read_text()
DASHBOARD: dict[str, Any] = json.loads((ROOT / "config" / "grafana" / "dashboard.json").read_text())

_VARIABLES = {"$__rate_interval": "5m", "$job": ".*", "$instance": ".*"}
_WRITTEN_BY_PROMETHEUS = {"up": {"job", "instance"}}
_FROM_SCRAPING = {"job", "instance"}


def exposition() -> str:
    """One in which every metric has samples."""
    metrics = Metrics(lambda: moment(source_lag={"rows.ndjson": 1.5}))
    ObservedRow(metrics, "a").attempts(THROTTLED, CREATED)
    ObservedRow(metrics, "b").attempts(REFUSED)
    return metrics.exposition()[0].decode()


def families() -> list[Metric]:
    return [
        each for each in text_string_to_metric_families(exposition()) if each.name.startswith("bulk_invite_")
    ]


def labels_by_name() -> dict[str, set[str]]:
    """Labels of everything that can be asked for, by its name."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(exposition()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def panels() -> list[dict[str, Any]]:
    shown: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
    return shown


def expressions_of_dashboard() -> list[str]:
    """With values for Grafana's variables."""
    found = []
    for panel in panels():
        for target in panel["targets"]:
            expression = target["expr"]
            for name, value in _VARIABLES.items():
                expression = expression.replace(name, value)
            assert "$" not in expression, expression
            found.append(expression)
    return found


def expressions_of_alerts() -> list[str]:
    """Those of one line, and those of several below `expr: |`."""
    found = re.findall(r"^( +)expr: (?:\|\n((?:\1  .*\n)+)|(.*)\n)", ALERTS, re.MULTILINE)
    return [block or line for _, block, line in found]


def selectors(expression: str) -> Iterator[tuple[str, set[str]]]:
    """Metrics that are asked for, each with the labels that choose among its series."""
    bare = re.sub(r'"[^"]*"', '""', expression)
    for name, matchers in re.findall(r"\b((?:bulk_invite|process|python)_\w+|up)\b(?:\{([^}]*)\})?", bare):
        yield name, set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))


def grouping(expression: str) -> set[str]:
    """Labels that are kept or compared."""
    lists = re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", expression)
    return {label.strip() for each in lists for label in each.split(",")}


@pytest.fixture
def promtool() -> str:
    found = shutil.which("promtool")
    need("promtool (Debian: prometheus)", there=found is not None)
    return found or ""


def check(*command: str | Path, given: str = "") -> None:
    ran = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_promtool_accepts_the_exposition(promtool: str) -> None:
    check(promtool, "check", "metrics", given=exposition())


def test_the_alert_rules_fire_when_they_should_and_only_then(promtool: str) -> None:
    check(promtool, "test", "rules", PROMETHEUS / "alerts_test.yaml")


def test_the_configuration_of_prometheus_is_valid_with_its_rules(promtool: str) -> None:
    check(promtool, "check", "config", "--lint-fatal", PROMETHEUS / "prometheus.yaml")


def test_every_expression_of_the_dashboard_is_valid(promtool: str, tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": expression}
        for number, expression in enumerate(expressions_of_dashboard())
    ]
    path = tmp_path / "rules.yaml"
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    check(promtool, "check", "rules", path)


def test_every_queried_metric_and_label_exists() -> None:
    there = labels_by_name() | _WRITTEN_BY_PROMETHEUS
    expressions = expressions_of_alerts() + expressions_of_dashboard()
    assert len(expressions) > 40
    for expression in expressions:
        chosen = list(selectors(expression))
        assert chosen, expression
        kept = _FROM_SCRAPING.copy()
        for name, labels in chosen:
            assert name in there, expression
            assert labels <= there[name] | _FROM_SCRAPING, expression
            kept |= there[name]
        assert grouping(expression) <= kept, expression


def test_every_metric_is_in_an_alert_or_the_dashboard() -> None:
    text = " ".join(expressions_of_alerts() + expressions_of_dashboard()) + json.dumps(
        DASHBOARD["templating"]
    )
    assert [family.name for family in families() if family.name not in text] == []


def test_alerts_use_only_labels_that_they_have() -> None:
    rules = ALERTS.split("- alert: ")[1:]
    for rule in rules:
        used = set(re.findall(r"\$labels\.(\w+)", rule))
        expression = re.sub(r"^.*expr: ", "", rule.split("for:")[0], flags=re.DOTALL)
        (name, _), *_ = selectors(expression)
        kept = grouping(expression) or labels_by_name().get(name, set())
        assert used <= kept | _FROM_SCRAPING, rule


def test_the_manual_has_every_metric_with_its_type_and_labels() -> None:
    rows = re.findall(
        r"^\| `(bulk_invite_\w+)(?:\{([\w,]+)\})?` \| (\w+) \| \S", topic("monitoring"), re.MULTILINE
    )
    documented = {(name, frozenset(labels.split(",")) - {""}, kind) for name, labels, kind in rows}
    assert documented == {
        (
            f"{family.name}_total" if family.type == "counter" else family.name,
            frozenset(label for sample in family.samples for label in sample.labels) - {"le"},
            family.type,
        )
        for family in families()
    }


def test_the_manual_says_what_to_do_when_an_alert_fires() -> None:
    rows = table(topic("monitoring"), "When an alert fires")
    assert all(all(row) for row in rows)
    documented = [row[0].strip("`") for row in rows]
    assert documented == sorted(set(documented), key=documented.index)
    assert set(documented) == set(re.findall(r"- alert: (\w+)", ALERTS))


def test_every_alert_has_what_an_on_call_operator_needs() -> None:
    for rule in ALERTS.split("- alert: ")[1:]:
        for member in (r"for: \w+", r"severity: (critical|warning|info)", r"summary: \S", r"description: \S"):
            assert re.search(rf"^ +{member}", rule, re.MULTILINE), rule
        assert "runbook: bulk_invite/manual/monitoring.md#when-an-alert-fires" in rule
    tests = (PROMETHEUS / "alerts_test.yaml").read_text()
    for name in re.findall(r"- alert: (\w+)", ALERTS):
        documented = re.findall(rf"alertname: {name}\n +exp_alerts:(.*)", tests)
        assert "" in documented, f"{name} fires nowhere"


def test_the_dashboard_is_valid_and_its_panels_do_not_overlap() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids)) > 20
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (place["x"] + column, place["y"] + line)
            for column in range(place["w"])
            for line in range(place["h"])
        }
        assert all(column < 24 for column, _ in cells), panel["title"]
        assert not cells & taken, panel["title"]
        taken |= cells
    # No holes either.
    assert len(taken) == 24 * (1 + max(line for _, line in taken))
    assert DASHBOARD["uid"]
    assert "id" not in DASHBOARD
    assert DASHBOARD["schemaVersion"] >= 39


def test_every_panel_queries_the_chosen_source_and_targets_and_has_a_unit() -> None:
    variables = {each["name"]: each for each in DASHBOARD["templating"]["list"]}
    assert list(variables) == ["datasource", "job", "instance"]
    assert variables["datasource"]["query"] == "prometheus"
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    for panel in panels():
        assert panel["datasource"] == chosen
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
        for target in panel["targets"]:
            assert target["datasource"] == chosen
            for _, labels in selectors(target["expr"]):
                assert labels >= {"job", "instance"}, target["expr"]
        defaults = panel["fieldConfig"]["defaults"]
        assert "unit" in defaults or "mappings" in defaults, panel["title"]
        assert panel["description"], panel["title"]
