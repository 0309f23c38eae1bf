"""The alerts, as Prometheus' own tool judges them."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.servers.programs import require_program
from tests.unit.deploy.alert_cases import CASES, Case
from worker.metrics.definitions import DEFINITIONS, PREFIX

ALERTS = "deploy/prometheus/alerts.yaml"


def _promtool(*words: str | Path) -> str:
    program = require_program("promtool", "prometheus")
    done = subprocess.run([program, *words], capture_output=True, text=True, check=False, timeout=120)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said


def _groups(repository: Path) -> list[dict[str, Any]]:
    groups: list[dict[str, Any]] = yaml.safe_load((repository / ALERTS).read_text())["groups"]
    return groups


def _rules(repository: Path) -> list[dict[str, Any]]:
    return [rule for group in _groups(repository) for rule in group["rules"]]


def _tests(case: Case) -> Iterator[dict[str, Any]]:
    fired = sorted((case.alert, *case.with_it))
    for series, names in ((case.fires, fired), (case.quiet, [])):
        expected = [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in names]
        firing = 'count by (alertname) (ALERTS{alertstate="firing"})'
        yield {
            "name": f"{case.alert} {'fires' if names else 'is quiet'}",
            "interval": case.every,
            "input_series": [{"series": name, "values": values} for name, values in series.items()],
            "promql_expr_test": [{"expr": firing, "eval_time": case.at, "exp_samples": expected}],
        }


def test_each_alert_fires_when_it_should_and_no_other_one_does(repository: Path, tmp_path: Path) -> None:
    """Every alert has a case in which it fires, alone or with those named, and one in which none does."""
    assert sorted({case.alert for case in CASES}) == sorted(
        rule["alert"] for rule in _rules(repository) if "alert" in rule
    )
    for every in ("1m", "1h", "6h"):
        tests = [test for case in CASES if case.every == every for test in _tests(case)]
        groups = _groups(repository)
        if every == "6h":  # over weeks: without what is recorded every few minutes, which takes long
            groups = [group for group in groups if "interval" not in group]
        rules = tmp_path / "rules.yaml"
        rules.write_text(yaml.safe_dump({"groups": groups}))
        document = {
            "rule_files": [str(rules)],
            "evaluation_interval": every,
            "group_eval_order": [group["name"] for group in groups],  # else any; alerts read what is recorded
            "tests": tests,
        }
        file = tmp_path / "tests.yaml"
        file.write_text(yaml.safe_dump(document))
        assert "SUCCESS" in _promtool("test", "rules", file)


def test_the_example_of_a_configuration_is_valid(repository: Path) -> None:
    """It finds the alerts beside it."""
    assert "1 rule files found" in _promtool("check", "config", repository / "deploy/prometheus/prometheus.yaml")


def known_names() -> set[str]:
    """Every name of a series that the exporter serves."""
    return {name for definition in DEFINITIONS.values() for name in definition.sample_names}


def test_alerts_name_only_metrics_and_labels_that_there_are(repository: Path) -> None:
    """A metric that is renamed takes its alerts with it, or this fails."""
    rules = _rules(repository)
    recorded = {rule["record"] for rule in rules if "record" in rule}
    named = {name for rule in rules for name in re.findall(rf"{PREFIX.rstrip('_')}[a-z0-9_:]+", rule["expr"])}
    assert named - recorded <= known_names()
    labels = {label for definition in DEFINITIONS.values() for label in definition.labels}
    used = {label for rule in rules for label in re.findall(r"\$labels\.(\w+)", str(rule.get("annotations")))}
    assert used <= labels | {"instance"}


@pytest.mark.parametrize("part", ["summary", "description"])
def test_every_alert_says_what_to_do(repository: Path, part: str) -> None:
    """A line for the pager and one for who looks; no alert without a severity."""
    alerts = [rule for rule in _rules(repository) if "alert" in rule]
    assert all(rule["annotations"][part].strip() for rule in alerts)
    assert {rule["labels"]["severity"] for rule in alerts} == {"critical", "warning"}
