"""A process with metrics that executes the commands of a test, for tests of several processes."""

import subprocess
import sys
from pathlib import Path
from typing import Self

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


def main(folder: Path) -> None:
    from monitoring.prometheus import multiprocess

    multiprocess.install(folder)
    from prometheus_client import Counter, Gauge, Histogram

    from monitoring.prometheus import aggregation
    from monitoring.prometheus.samples import SampleSet

    counter = Counter("things_total", "Things.", ["kind"])
    histogram = Histogram("thing_seconds", "Seconds.", buckets=(1.0, 2.0))
    sockets = Gauge("sockets", "Sockets.", multiprocess_mode="livesum")
    worst = Gauge("worst", "The worst.", multiprocess_mode="livemax")
    newest = Gauge("newest", "The newest.", multiprocess_mode="livemostrecent")
    for line in sys.stdin:
        command, *words = line.split()
        answer = "done"
        if command == "count":
            counter.labels(words[0]).inc(float(words[1]))
        elif command == "observe":
            histogram.observe(float(words[0]))
        elif command == "set":
            {"sockets": sockets, "worst": worst, "newest": newest}[words[0]].set(float(words[1]))
        elif command == "register":
            answer = multiprocess.register_process(words[0])
        elif command == "processes":
            answer = ",".join(member.name for member in multiprocess.live_processes())
        elif command == "identity":
            answer = multiprocess.process_identity()
        elif command == "total":
            samples = SampleSet.from_families(aggregation.collect_families())
            answer = str(samples.total(words[0], **dict(word.split("=") for word in words[1:])))
        print(answer, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
