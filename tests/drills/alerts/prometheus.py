"""A real Prometheus that scrapes a product every second, with the rules that ship, made impatient.

Only `for:` and, for the drill, the length of windows differ from what ships; the expressions stay as they are.
"""

import json
import re
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

import yaml

from tests.drills.harness.environment import ROOT, free_port
from tests.drills.harness.waiting import wait_until

DEPLOY: Final = ROOT / "deploy" / "prometheus"
_WINDOW: Final = re.compile(r"\[(\d+)([smhd])\]")
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
# Scraped each second, a rate needs some seconds; the longest windows stay longer than the short ones beside them.
_WINDOW_SECONDS: Final = (6, 12)
_READY_SECONDS: Final = 30.0


class PrometheusMissing(Exception):
    """There is no Prometheus on this machine."""


def impatient_rules() -> dict[str, Any]:
    """Return the rules that ship, without the time for which an alert waits before it fires."""
    document: dict[str, Any] = yaml.safe_load((DEPLOY / "alerting.yml").read_text())
    for rule in (rule for group in document["groups"] for rule in group["rules"]):
        rule.pop("for", None)
    return document


def shortened_rules() -> dict[str, Any]:
    """Return those rules with windows of seconds."""
    document = impatient_rules()
    for rule in (rule for group in document["groups"] for rule in group["rules"]):
        rule["expr"] = shorten_windows(rule["expr"])
    return document


def shorten_windows(expression: str) -> str:
    """Return an expression that looks at seconds: windows of an hour and more at twice as many."""

    def window(match: re.Match[str]) -> str:
        seconds = int(match[1]) * _UNITS[match[2]]
        return f"[{_WINDOW_SECONDS[seconds >= 3600]}s]"

    return _WINDOW.sub(window, expression)


def alert_names() -> set[str]:
    """Return the names of all alerts that ship."""
    return {rule["alert"] for group in impatient_rules()["groups"] for rule in group["rules"] if "alert" in rule}


class PrometheusServer:
    """Prometheus for the length of a `with` block, scraping one target; raises PrometheusMissing.

    `target`: host and port. `rules`: as `impatient_rules` returns them.
    """

    def __init__(self, folder: Path, target: str, *, rules: Mapping[str, Any]) -> None:
        if shutil.which("prometheus") is None:
            raise PrometheusMissing("This drill needs prometheus on the PATH (a package of the distribution).")
        self._folder, self.port = folder, free_port()
        config = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
        config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
        config["scrape_configs"][0]["static_configs"][0]["targets"] = [target]
        (folder / "alerting.yml").write_text(yaml.safe_dump(rules))
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))

    def __enter__(self) -> Self:
        with (self._folder / "prometheus.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    "prometheus", f"--config.file={self._folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={self._folder / 'data'}", f"--web.listen-address=127.0.0.1:{self.port}",
                ],
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        try:
            wait_until(self._is_ready_or_gone, seconds=_READY_SECONDS, detail=self._log_tail)
        except BaseException:
            self.__exit__()
            raise
        if self._process.poll() is not None:
            raise RuntimeError(self._log_tail())
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the series that an expression gives now."""
        series: list[dict[str, Any]] = self._get("query", query=expression)["data"]["result"]
        return series

    def value(self, expression: str) -> float:
        """Return the sum of an expression's values now."""
        return sum(float(each["value"][1]) for each in self.query(expression))

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire now."""
        active = self._get("alerts")["data"]["alerts"]
        return {each["labels"]["alertname"] for each in active if each["state"] == "firing"}

    def _is_ready_or_gone(self) -> bool:
        # It looks for its targets some seconds after its start: what happened before was never zero to it.
        try:
            targets = self._get("targets")["data"]["activeTargets"]
        except (urllib.error.URLError, OSError):
            return self._process.poll() is not None
        return any(each["health"] == "up" for each in targets)

    def _get(self, path: str, **query: str) -> Mapping[str, Any]:
        """Return the JSON of an API path; raises urllib.error.HTTPError where the query is refused."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            document: dict[str, Any] = json.load(answer)
        return document

    def _log_tail(self) -> str:
        return (self._folder / "prometheus.log").read_text()[-3000:]
