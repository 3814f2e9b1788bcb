"""What the dashboard and the rules that ship ask Prometheus for."""

import re

import yaml

from tests.drills.alerts.prometheus import impatient_rules
from tests.drills.harness.environment import ROOT

_DASHBOARD = ROOT / "deploy" / "grafana" / "freight.json"


def dashboard_queries() -> list[str]:
    """Return every query of the dashboard, over half a minute."""
    panels = yaml.safe_load(_DASHBOARD.read_text())["panels"]
    expressions = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    return [expression.replace("$__rate_interval", "30s") for expression in expressions]


def referenced_series() -> set[str]:
    """Return the names of all series that rules and dashboard ask for."""
    rule_expressions = [rule["expr"] for group in impatient_rules()["groups"] for rule in group["rules"]]
    series = {
        word
        for text in (*rule_expressions, *dashboard_queries())
        for word in re.findall(r"[a-z][a-z0-9_:]*_[a-z0-9_:]+", text)
    }
    return series - {"histogram_quantile", "avg_over_time"}
