"""A real Prometheus with the rules that ship, made impatient: they look at seconds and not at minutes.

Only `for:` and the length of windows differ from what ships; the expressions stay as they are.
"""

import json
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

import yaml

DEPLOY: Final = Path(__file__).resolve().parents[3] / "deploy" / "prometheus"
_WINDOW: Final = re.compile(r"\[(\d+)([smhd])\]")
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
# Scraped each second, a rate needs some seconds; the longest windows stay longer than the short ones beside them.
_WINDOW_SECONDS: Final = (6, 12)
_READY_SECONDS: Final = 30.0


class PrometheusMissing(Exception):
    """There is no Prometheus on this machine."""


def shorten_windows(expression: str) -> str:
    """Return an expression that looks at seconds: windows of an hour and more at twice as many."""

    def window(match: re.Match[str]) -> str:
        seconds = int(match[1]) * _UNITS[match[2]]
        return f"[{_WINDOW_SECONDS[seconds >= 3600]}s]"

    return _WINDOW.sub(window, expression)


def shortened_rules() -> dict[str, Any]:
    """Return the rules that ship, shortened."""
    document: dict[str, Any] = yaml.safe_load((DEPLOY / "alerting.yml").read_text())
    for rule in (rule for group in document["groups"] for rule in group["rules"]):
        rule["expr"] = shorten_windows(rule["expr"])
        rule.pop("for", None)
    return document


def alert_names() -> set[str]:
    """Return the names of all alerts that ship."""
    return {rule["alert"] for group in shortened_rules()["groups"] for rule in group["rules"] if "alert" in rule}


class Prometheus:
    """It, for the length of a `with` block, scraping one target each second; raises Missing."""

    def __init__(self, folder: Path, target: str) -> None:
        if shutil.which("prometheus") is None:
            raise PrometheusMissing("This drill needs prometheus on the PATH (a package of the distribution).")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._folder = folder
        config = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
        config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
        config["scrape_configs"][0]["static_configs"][0]["targets"] = [target]
        (folder / "alerting.yml").write_text(yaml.safe_dump(shortened_rules()))
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
        deadline = time.monotonic() + _READY_SECONDS
        while not self._ready():
            if time.monotonic() > deadline or self._process.poll() is not None:
                self._process.kill()
                raise RuntimeError((self._folder / "prometheus.log").read_text()[-3000:])
            time.sleep(0.1)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire now."""
        active = self._get("alerts")["data"]["alerts"]
        return {each["labels"]["alertname"] for each in active if each["state"] == "firing"}

    def _ready(self) -> bool:
        # It looks for its targets some seconds after its start: what happened before was never zero to it.
        try:
            return any(each["health"] == "up" for each in self._get("targets")["data"]["activeTargets"])
        except (urllib.error.URLError, OSError):
            return False

    def _get(self, path: str) -> Mapping[str, Any]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/{path}", timeout=10) as answer:
            document: dict[str, Any] = json.load(answer)
        return document
