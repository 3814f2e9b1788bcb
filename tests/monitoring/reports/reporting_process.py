"""A process that reports as a server process does and renders reports for a test."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import orjson

ROOT = Path(__file__).resolve().parents[3]


class ReportingProcess:
    """A handle to the process, which claims `sockets` open sockets."""

    def __init__(self, folder: Path, host: str, redis_url: str, sockets: int) -> None:
        environment = {"METRICS_DIR": str(folder / host), "HOST_NAME": host, "REDIS_URL": redis_url}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.monitoring.reports.reporting_process", str(sockets)],
            cwd=ROOT,
            env=os.environ | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def report(self, name: str) -> dict[str, Any]:
        """Return a JSON report of this process."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(name.encode() + b"\n")
        self.process.stdin.flush()
        body: dict[str, Any] = orjson.loads(self.process.stdout.readline())
        return body

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream
            stream.close()


def main(sockets: int) -> None:
    import django

    django.setup()
    from monitoring import runtime
    from monitoring.reports import json_reports
    from realtime import metrics

    metrics.connections.set(sockets)
    metrics.connections_total.inc(sockets)
    runtime.start_reporting("ws")
    for line in sys.stdin:
        print(orjson.dumps(json_reports.render(line.strip())).decode(), flush=True)


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "freight.settings")
    main(int(sys.argv[1]))
