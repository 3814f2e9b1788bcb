"""A process with metrics that executes the commands of a test, for tests of several processes."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[3]


class CountingProcess:
    """A handle to the process."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.monitoring.prometheus.counting_process", str(folder)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def run(self, *words: object) -> str:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream
            stream.close()


def report(role: str) -> None:
    """Register, and write down twice a second that this process lives."""
    from monitoring.prometheus import registrations

    def record_heartbeats() -> None:
        while True:
            registrations.record_heartbeat(time.time())
            time.sleep(0.5)

    registrations.register(role)
    threading.Thread(target=record_heartbeats, daemon=True).start()


def names(processes: Iterable[Any]) -> str:
    return ",".join(each.name for each in processes)


def main(folder: Path) -> None:
    from monitoring.prometheus import multiprocess

    multiprocess.install(folder)
    from prometheus_client import Counter, Gauge, Histogram

    from monitoring.prometheus import aggregation, registrations
    from monitoring.prometheus.leadership import Leadership
    from monitoring.prometheus.samples import SampleSet

    leadership = Leadership()
    counter = Counter("things_total", "Things.", ["kind"])
    histogram = Histogram("thing_seconds", "Seconds.", buckets=(1.0, 2.0))
    sockets = Gauge("sockets", "Sockets.", multiprocess_mode="livesum")
    worst = Gauge("worst", "The worst.", multiprocess_mode="livemax")
    newest = Gauge("newest", "The newest.", multiprocess_mode="livemostrecent")

    def yield_to(rank: str) -> int:
        leadership.yield_to(int(rank))
        return leadership.rank

    commands: dict[str, Callable[..., object]] = {
        "count": lambda kind, number: counter.labels(kind).inc(float(number)),
        "observe": lambda seconds: histogram.observe(float(seconds)),
        "set": lambda name, value: {"sockets": sockets, "worst": worst, "newest": newest}[name].set(float(value)),
        "identity": multiprocess.process_identity,
        "total": lambda name, *labels: SampleSet.from_families(aggregation.collect_families()).total(
            name, **dict(word.split("=") for word in labels)
        ),
        "register": registrations.register,
        "unregister": registrations.unregister,
        "report": report,
        "processes": lambda: names(registrations.living()),
        "crashes": lambda: names(registrations.collect_crashed()),
        "crashed": lambda: names(registrations.crashed()),
        "age": lambda name: next(each.heartbeat_age for each in registrations.living() if each.name == name),
        "lead": lambda folder, when: (
            leadership.acquire(Path(folder), overdue=when == "overdue") and leadership.rank
        ),
        "yield": yield_to,
    }
    for line in sys.stdin:
        command, *words = line.split()
        answer = commands[command](*words)
        print("done" if answer is None else answer, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
