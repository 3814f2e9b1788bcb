"""The cache's hit rate while the demo changes: after `warmup_cache`, beside `simulate` and the relay.

Half of the reads are of boards: the newest page, or the newest of one status. The other half are of one
shipment: four of five of one that a board has just shown, else of any. No read sends `If-None-Match`: a 304
reads no cache.

The next commit that concerns an entry invalidates it, so that the hit rate depends on the reads for each write,
which are raised step by step. The runbook's goal of 0.7 is for 10 reads for each write.
"""

import argparse
import http.client
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.bench.harness import bench_database
from tests.bench.harness.goals import at_least, report
from tests.drills.harness.environment import ROOT, database_url
from tests.drills.harness.presets import bench_stage
from tests.drills.harness.process import Role, api, relay

SHIPMENTS = 2_000
# Each has a connection of its own.
READERS = 4
READS_A_WRITE = 10
STATUSES = ("booked", "dispatched", "in_transit", "at_facility", "out_for_delivery")


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Print one JSON line with the hit rates, in all and by name."""
    parser = argparse.ArgumentParser(prog="bench_cache", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="for each number of reads")
    parser.add_argument("--rate", type=float, default=10.0, help="events a second; `make run`'s is 10")
    parser.add_argument("--reads", default="5,10,20,40", help="reads for each write, all readers together")
    options = parser.parse_args(arguments)
    bench_database.setup_django()
    bench_database.load_shipments(SHIPMENTS, events=4.0)
    bench_database.number_feed_and_vacuum()
    from shipments.models import Shipment

    references = list(Shipment.objects.filter(organization__slug="demo").values_list("reference", flat=True))
    results = {}
    with bench_stage(api(), relay()) as stage:
        _warm_up_cache()
        stage.declare(Role("simulate", "simulate", {"rate": options.rate})).launch()
        time.sleep(2)
        for reads in map(int, options.reads.split(",")):
            before = cache_counters(stage.url)
            answers = read(stage.port, references, options.seconds, options.rate * reads)
            counter_delta = Counter(cache_counters(stage.url))
            counter_delta.subtract(before)
            results[reads] = {
                "readsPerSecond": round(sum(answers.values()) / options.seconds, 1),
                "answers": answers,
                "hitRate": _rate(counter_delta, None),
                "byName": {
                    name: _rate(counter_delta, name) for name in sorted({name for name, _ in counter_delta})
                },
            }
            print(f"{reads} reads a write: {json.dumps(results[reads])}", file=sys.stderr)
    result = {"bench": "cache", "eventsPerSecond": options.rate, "readsAWrite": results}
    if READS_A_WRITE in results:
        result["goals"] = report([at_least("hit rate", results[READS_A_WRITE]["hitRate"], 0.7)])
    print(json.dumps(result))
    return result


def read(port: int, references: list[str], seconds: float, rate: float) -> dict[int, int]:
    """Read with several readers for `seconds`, `rate` reads a second in all; return the count of each status."""
    with ThreadPoolExecutor(READERS) as threads:
        futures = [
            threads.submit(_read, port, references, seconds, rate / READERS, seed) for seed in range(READERS)
        ]
        return dict(sum((each.result() for each in futures), Counter()))


def _read(port: int, references: list[str], seconds: float, rate: float, seed: int) -> Counter[int]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    rng = random.Random(seed)
    answers: Counter[int] = Counter()

    def send(path: str, body: str | None = None, **headers: str) -> Any:
        connection.request("POST" if body else "GET", path, body, headers)
        answer = connection.getresponse()
        text = answer.read()
        answers[answer.status] += 1
        return json.loads(text) if text else None

    credentials = json.dumps({"email": "dispatcher@demo.test", "password": "freight-demo"})
    token = send("/api/auth/login", credentials, **{"Content-Type": "application/json"})["access"]
    listed = references[:50]
    answers.clear()
    due = time.monotonic()
    until = due + seconds
    while time.monotonic() < until:
        page = rng.choice(["/api/shipments", *(f"/api/shipments?status={each}" for each in STATUSES)])
        one = f"/api/shipments/{rng.choice(listed if rng.random() < 0.8 else references)}"
        path = page if rng.random() < 0.5 else one
        body = send(path, Authorization=f"Bearer {token}")
        if body and "results" in body:
            listed = [each["reference"] for each in body["results"]] or listed
        due = max(due + 1 / rate, time.monotonic() - 1)
        time.sleep(max(0.0, due - time.monotonic()))
    return answers


def cache_counters(url: str) -> dict[tuple[str, str], float]:
    """Return the cache's counters of the process, by name and result."""
    text = httpx.get(f"{url}/api/metrics", timeout=10).text
    return {
        (sample.labels["cache"], sample.labels["result"]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "cache_requests_total"
    }


def _rate(counters: Mapping[tuple[str, str], float], name: str | None) -> float:
    hits = sum(number for (each, result), number in counters.items() if result == "hit" and name in {None, each})
    every = sum(number for (each, _), number in counters.items() if name in {None, each})
    return round(hits / every, 3) if every else 0.0


def _warm_up_cache() -> None:
    subprocess.run(
        [sys.executable, "manage.py", "warmup_cache"],
        cwd=ROOT,
        env=os.environ | {"DATABASE_URL": database_url()},
        check=True,
        stdout=subprocess.DEVNULL,
    )


if __name__ == "__main__":
    main()
