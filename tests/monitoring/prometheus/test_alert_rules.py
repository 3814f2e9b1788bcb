"""The rules that ship are sound by promtool's word, and each alert has a test that makes it fire and go away."""

import subprocess
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).resolve().parents[3] / "deploy" / "prometheus"


def _promtool(*arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["promtool", *arguments], cwd=FOLDER, input=stdin, capture_output=True, text=True, check=False, timeout=120
    )


def _alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load((FOLDER / "alerting.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


def test_rules_and_configuration_are_sound() -> None:
    for arguments in (("check", "rules", "alerting.yml"), ("check", "config", "prometheus.yml")):
        checked = _promtool(*arguments)

        assert checked.returncode == 0, checked.stderr + checked.stdout


def test_each_alert_fires_on_its_fault_and_goes_away() -> None:
    tested = _promtool("test", "rules", "alerting.test.yml")

    assert tested.returncode == 0, tested.stderr + tested.stdout


def test_no_alert_is_without_a_test_of_both() -> None:
    tests = yaml.safe_load((FOLDER / "alerting.test.yml").read_text())["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    names = {alert["alert"] for alert in _alerts()}

    assert {case["alertname"] for case in cases if case["exp_alerts"]} == names
    assert {case["alertname"] for case in cases if not case["exp_alerts"]} == names


def test_each_alert_says_how_urgent_it_is() -> None:
    assert {alert["labels"]["severity"] for alert in _alerts()} == {"page", "ticket"}
    assert all(alert["annotations"]["summary"] for alert in _alerts())
