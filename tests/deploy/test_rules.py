"""The rules are right by Prometheus' own tools, and every name in them is one of the farm's."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from farm.control.metrics_table import METRICS
from farm.model.job import JobState
from farm.model.messages import Hold, Reason
from farm.model.unit import UnitState

from ..prometheus import DEPLOY, needs_prometheus  # noqa: TID252 - shared

RULES, ALERTS = DEPLOY / "rules.yml", DEPLOY / "alerts.yml"
RUNBOOK = (DEPLOY / "RUNBOOK.md").read_text()
SCENES = Path(__file__).with_name("alerts_test.yml")


def rules(path: Path) -> list[dict[str, str]]:
    (group,) = yaml.safe_load(path.read_text())["groups"]
    found: list[dict[str, str]] = group["rules"]
    return found


def queries() -> list[str]:
    """Return every query of the rules, the alerts and the dashboard."""
    panels = json.loads((DEPLOY / "dashboard.json").read_text())["panels"]
    shown = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    return [rule["expr"] for path in (RULES, ALERTS) for rule in rules(path)] + shown


RECORDED = {rule["record"] for rule in rules(RULES)}
NAMES = {rule["alert"]: rule for rule in rules(ALERTS)}
SUFFIXES = ("_bucket", "_sum", "_count")
ADDED = {"instance", "job", "le"}
"""Labels that Prometheus adds."""
VALUES = {
    "state": {*JobState, *UnitState, "idle", "busy"},
    "outcome": {*JobState, *UnitState, "retried"},
    "reason": {*Reason},
    "hold": {*Hold},
}


def base(name: str) -> str:
    """Return the metric that a series belongs to."""
    is_histogram = [s for s in SUFFIXES if METRICS.get(name.removesuffix(s), None)]
    return name.removesuffix(is_histogram[0]) if is_histogram and name not in METRICS else name


def selectors() -> list[tuple[str, str, str, str]]:
    """Return metric, label, operator and value of every condition on a label."""
    return [
        (name, *condition)
        for query in queries()
        for name, conditions in re.findall(r"\b(farm[\w:]+)\{([^}]*)\}", query)
        for condition in re.findall(r'(\w+)(=~|!~|!=|=)"([^"]*)"', conditions)
    ]


def test_rules_alerts_and_dashboard_use_every_metric_and_no_other() -> None:
    used = {base(name) for query in queries() for name in re.findall(r"\bfarm_\w+", query)}
    assert used == set(METRICS)


def test_only_recorded_series_are_used_and_all_of_them() -> None:
    used = {name for query in queries() for name in re.findall(r"\bfarm:[\w:]+", query)}
    assert used == RECORDED


def test_conditions_name_labels_that_the_metrics_have() -> None:
    assert selectors()
    for name, label, _, _ in selectors():
        if not name.startswith("farm:"):
            assert label in {*METRICS[base(name)].labels} | ADDED, (name, label)


def test_conditions_name_states_and_reasons_that_there_are() -> None:
    asked = [(label, value) for _, label, _, value in selectors() if label in VALUES]
    assert asked
    for label, value in asked:
        assert set(value.split("|")) <= VALUES[label], (label, value)


def test_every_alert_has_a_page_in_the_runbook_and_every_page_an_alert() -> None:
    assert re.findall(r"^## (\w+)$", RUNBOOK, re.MULTILINE) == list(NAMES)


@pytest.mark.parametrize("alert", NAMES)
def test_an_alert_says_what_it_means_and_what_to_do(alert: str) -> None:
    rule = NAMES[alert]
    page = RUNBOOK.partition(f"## {alert}\n")[2].partition("\n## ")[0]
    for part in ("**Means.**", "**Look at.**", "**Do.**"):
        assert part in page
    assert rule["labels"]["severity"] in {"page", "ticket"}  # type: ignore[index]
    assert rule["annotations"]["runbook"] == f"RUNBOOK.md#{alert.lower()}"  # type: ignore[index]


def test_panels_that_the_runbook_names_exist() -> None:
    panels = json.loads((DEPLOY / "dashboard.json").read_text())["panels"]
    named = set(re.findall(r'panel "([^"]+)"', RUNBOOK))
    assert named
    assert named <= {panel["title"] for panel in panels}


@needs_prometheus
@pytest.mark.parametrize(
    "words",
    [
        ("check", "config", DEPLOY / "prometheus.yml"),
        ("check", "rules", "--lint-fatal", RULES, ALERTS),
        ("test", "rules", SCENES),
    ],
    ids=["config", "rules", "scenes"],
)
def test_promtool_accepts(words: tuple[str | Path, ...]) -> None:
    done = subprocess.run(["promtool", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_fires_in_a_scene() -> None:
    fired = {
        test["alertname"]
        for scene in yaml.safe_load(SCENES.read_text())["tests"]
        for test in scene["alert_rule_test"]
        if test.get("exp_alerts")
    }
    assert fired == set(NAMES)
