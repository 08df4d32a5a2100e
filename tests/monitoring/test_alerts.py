"""What is deployed beside the metrics: alerts that fire when they should, and a dashboard that asks for what there is."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from monitoring.glossary import series
from settings import CHECKOUT

ALERTS = CHECKOUT / "deploy" / "prometheus" / "alerts.yml"
ALERTS_TEST = ALERTS.with_name("alerts_test.yml")
DASHBOARD = CHECKOUT / "deploy" / "grafana" / "pressroom.json"
NAME = re.compile(r"pressroom_[a-z_]+")


def promtool(*words: str) -> subprocess.CompletedProcess[str]:
    command = shutil.which("promtool")
    assert command, "promtool is missing: apt-get install --no-install-recommends prometheus"
    return subprocess.run([command, *words], cwd=CHECKOUT, capture_output=True, text=True, check=False)


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def expressions_of_the_dashboard() -> Iterator[str]:
    told = json.loads(DASHBOARD.read_text())
    yield from (target["expr"] for panel in told["panels"] for target in panel.get("targets", []))
    yield from (variable["query"]["query"] for variable in told["templating"]["list"] if variable["type"] == "query")


def test_each_alert_fires_when_it_should_and_not_before() -> None:
    told = promtool("test", "rules", str(ALERTS_TEST))
    assert told.returncode == 0, told.stdout + told.stderr


def test_prometheus_takes_the_configuration_as_it_stands() -> None:
    told = promtool("check", "config", "--syntax-only", str(ALERTS.with_name("prometheus.yml")))
    assert told.returncode == 0, told.stdout + told.stderr


def test_every_alert_is_tried() -> None:
    tried = {
        case["alertname"]
        for test in yaml.safe_load(ALERTS_TEST.read_text())["tests"]
        for case in test["alert_rule_test"]
        if case["exp_alerts"]
    }
    assert tried == {rule["alert"] for rule in rules()}


def test_every_alert_says_what_is_wrong_and_what_to_do() -> None:
    for rule in rules():
        assert {*rule["annotations"]} == {"summary", "remedy"}, rule["alert"]
        assert rule["labels"]["severity"] in {"warning", "critical"}


@pytest.mark.parametrize(
    ("where", "asked"),
    [
        *((rule["alert"], rule["expr"]) for rule in rules()),
        *(("the dashboard", expression) for expression in expressions_of_the_dashboard()),
    ],
)
def test_what_is_asked_for_is_measured(where: str, asked: str) -> None:
    names = {*NAME.findall(asked)}
    assert names, f"{where} asks for no metric: {asked}"
    assert names <= series(), f"{where} asks for {sorted(names - series())}, which monitoring/glossary.py does not know"


def test_prometheus_understands_every_expression_of_the_dashboard(tmp_path: Any) -> None:
    queries = [asked.replace("$kind", ".*") for asked in expressions_of_the_dashboard() if "label_values" not in asked]
    group = {"name": "dashboard", "rules": [{"record": f"asked:{n}", "expr": asked} for n, asked in enumerate(queries)]}
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [group]}))
    told = promtool("check", "rules", str(file))
    assert told.returncode == 0, told.stdout + told.stderr
