"""`manage.py up` as an operator runs it: the supervisor with everything under it."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from freight.supervisor.roles import is_ready
from tests.drills.harness.environment import ROOT, free_port
from tests.drills.harness.waiting import comes_true

# What an operator's shell does not hold.
_REMOVED_VARIABLES: Final = {
    "DATABASE_URL",
    "REDIS_URL",
    "SECRET_KEY",
    "DEMO",
    "FREIGHT_HOME",
    "PORT",
    "DJANGO_SETTINGS_MODULE",
    "METRICS_DIR",
}


class UpProcess:
    """The command, in a home and on a port of its own. `environment` comes on top of the inherited one."""

    def __init__(self, home: Path, **environment: str) -> None:
        self.home, self.overrides = home, environment
        self.port = free_port()
        self.starts = 0

    @property
    def output(self) -> Path:
        """What the last start prints: a file of its own, for a killed one may leave half a character behind."""
        return self.home.parent / f"output-{self.starts}"

    @property
    def url(self) -> str:
        """The URL of the public port."""
        return f"http://127.0.0.1:{self.port}"

    def launch(self) -> subprocess.Popen[bytes]:
        """Start the command without waiting for it."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("RATE_LIMIT_")}
        environment = {name: value for name, value in inherited.items() if name not in _REMOVED_VARIABLES}
        environment |= {
            "PORT": str(self.port),
            "FREIGHT_HOME": str(self.home),
            "WS_PROCESSES": "1",
        } | self.overrides
        self.starts += 1
        with self.output.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "manage.py", "up"], cwd=ROOT, env=environment, stdout=output, stderr=output
            )

    def start_and_wait(self) -> subprocess.Popen[bytes]:
        """Start the command and return it once the port answers."""
        process = self.launch()
        assert comes_true(60, lambda: process.poll() is not None or self.is_ready()), self.output.read_text()
        assert process.poll() is None, self.output.read_text()
        return process

    def is_ready(self) -> bool:
        """Tell whether the port answers the readiness check with 200."""
        return is_ready(("127.0.0.1", self.port))
