"""The shipped rules pass promtool, and each alert has a test in which it fires and one in which it does not."""

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


def test_rules_and_configuration_are_valid() -> None:
    for arguments in (("check", "rules", "alerting.yml"), ("check", "config", "prometheus.yml")):
        checked = _promtool(*arguments)

        assert checked.returncode == 0, checked.stderr + checked.stdout


def test_the_tests_of_the_alerts_pass() -> None:
    tested = _promtool("test", "rules", "alerting.test.yml")

    assert tested.returncode == 0, tested.stderr + tested.stdout


def test_every_alert_is_tested_firing_and_not_firing() -> None:
    tests = yaml.safe_load((FOLDER / "alerting.test.yml").read_text())["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    names = {alert["alert"] for alert in _alerts()}

    assert {case["alertname"] for case in cases if case["exp_alerts"]} == names
    assert {case["alertname"] for case in cases if not case["exp_alerts"]} == names


def test_every_alert_has_a_severity_and_a_summary() -> None:
    assert {alert["labels"]["severity"] for alert in _alerts()} == {"page", "ticket"}
    assert all(alert["annotations"]["summary"] for alert in _alerts())
