"""A real Prometheus that scrapes a product, with the rules that ship."""

import re
import subprocess
from pathlib import Path
from typing import Any, Self

import httpx
import yaml

from tests.drills.harness import home_processes
from tests.drills.harness.daphnes import free_port

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"


class Prometheus:
    """It scrapes and evaluates every second, and its alerts wait for nothing."""

    def __init__(self, folder: Path, target: str) -> None:
        self._folder, self.port = folder, free_port()
        rules = yaml.safe_load((DEPLOY / "prometheus" / "alerting.yml").read_text())
        for rule in (rule for group in rules["groups"] for rule in group["rules"]):
            rule.pop("for", None)
        config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
        config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        config["scrape_configs"][0]["static_configs"][0]["targets"] = [target]
        (folder / "alerting.yml").write_text(yaml.safe_dump(rules))
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))

    def __enter__(self) -> Self:
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    "prometheus", f"--config.file={self._folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={self._folder / 'data'}", f"--web.listen-address=127.0.0.1:{self.port}",
                ],
                stdout=log, stderr=log,
            )  # fmt: skip
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}/api/v1", timeout=10)
        assert home_processes.comes_true(30, self._ready), (self._folder / "log").read_text()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()
        self._process.kill()
        self._process.wait()

    def _ready(self) -> bool:
        try:
            return self._http.get("/status/runtimeinfo").status_code == 200
        except httpx.TransportError:
            return False

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the series that an expression gives now."""
        answer = self._http.get("/query", params={"query": expression}).json()
        assert answer["status"] == "success", answer
        series: list[dict[str, Any]] = answer["data"]["result"]
        return series

    def value(self, expression: str) -> float:
        """Return the sum of an expression's values now."""
        return sum(float(each["value"][1]) for each in self.query(expression))

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire now."""
        alerts = self._http.get("/alerts").json()["data"]["alerts"]
        return {each["labels"]["alertname"] for each in alerts if each["state"] == "firing"}


def dashboard_queries() -> list[str]:
    """Return every query of the dashboard, over half a minute."""
    panels = yaml.safe_load((DEPLOY / "grafana" / "freight.json").read_text())["panels"]
    expressions = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    return [expression.replace("$__rate_interval", "30s") for expression in expressions]


def referenced_series() -> set[str]:
    """Return the names of all series that rules and dashboard ask for."""
    rules = yaml.safe_load((DEPLOY / "prometheus" / "alerting.yml").read_text())
    rule_expressions = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    series = {
        word
        for text in (*rule_expressions, *dashboard_queries())
        for word in re.findall(r"[a-z][a-z0-9_:]*_[a-z0-9_:]+", text)
    }
    return series - {"histogram_quantile"}
