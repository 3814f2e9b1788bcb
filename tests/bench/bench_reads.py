"""One shipment and one page through a real Daphne: cold, cached in Redis, cached in the process, and not modified.

Every round reads another shipment (or page) in each of the four ways, so that noise affects all alike. Cold is the
whole work: version, row, JSON, filling the cache.
"""

import argparse
import http.client
import json
import statistics
import sys
import time
from typing import Any

from tests.bench.harness import bench_database
from tests.drills.harness.presets import bench_server

SHIPMENTS = 2_000


class TimedClient:
    """One keep-alive connection of one dispatcher."""

    def __init__(self, port: int) -> None:
        from shipments.demo import accounts  # needs settings

        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        self._headers = {"Content-Type": "application/json"}
        credentials = json.dumps({"email": "dispatcher@demo.test", "password": accounts.PASSWORD})
        status, _, body = self.send("POST", "/api/auth/login", credentials)
        if status != 200:
            raise SystemExit(f"login: {status} {body[:300]!r}")
        self._headers = {"Authorization": f"Bearer {json.loads(body)['access']}"}

    def send(self, method: str, path: str, body: str | None = None, **headers: str) -> tuple[int, str, bytes]:
        self._connection.request(method, path, body, self._headers | headers)
        answer = self._connection.getresponse()
        return answer.status, answer.headers.get("ETag", ""), answer.read()

    def timed(self, path: str, expected: int, **headers: str) -> tuple[float, str]:
        started = time.perf_counter()
        status, etag, body = self.send("GET", path, **headers)
        milliseconds = (time.perf_counter() - started) * 1000
        if status != expected:
            raise SystemExit(f"{path}: {status} {body[:300]!r}")
        return milliseconds, etag


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Print one JSON line with the medians in milliseconds and their ratios."""
    parser = argparse.ArgumentParser(prog="bench_reads", description=__doc__)
    parser.add_argument("--rounds", type=int, default=300)
    options = parser.parse_args(arguments)
    bench_database.setup_django()
    _load_data()
    with bench_server() as server:
        result = {"bench": "reads"} | measure(TimedClient(server.port), options.rounds)
    print(json.dumps(result))
    return result


def measure(client: TimedClient, rounds: int) -> dict[str, Any]:
    """Time every kind of request, one after the other in each round."""
    samples: dict[str, list[float]] = {}

    def sample(name: str, path: str, expected: int = 200, **headers: str) -> str:
        milliseconds, etag = client.timed(path, expected, **headers)
        samples.setdefault(name, []).append(milliseconds)
        return etag

    uncached, in_redis = _references("delivered", rounds), _references("in_transit", rounds)
    for one, other, number in zip(uncached, in_redis, range(rounds), strict=False):
        sample("floor", "/api/auth/me")  # authentication and limits alone
        etag = sample("oneCold", f"/api/shipments/{one}")
        sample("oneWarm", f"/api/shipments/{one}")
        sample("oneNotModified", f"/api/shipments/{one}", 304, **{"If-None-Match": etag})
        sample("oneFromRedis", f"/api/shipments/{other}")
        page = f"/api/shipments?limit=50&createdAfter=2020-01-01T00:00:00.{number:06}Z"
        etag = sample("listCold", page)
        sample("listWarm", page)
        sample("listNotModified", page, 304, **{"If-None-Match": etag})
    medians = {f"{name}Ms": round(statistics.median(times), 2) for name, times in samples.items()}
    return medians | {
        "rounds": min(len(uncached), len(in_redis), rounds),
        "oneWarmByFloor": round(medians["oneWarmMs"] / medians["floorMs"], 2),
        "oneColdByWarm": round(medians["oneColdMs"] / medians["oneWarmMs"], 2),
        "listColdByWarm": round(medians["listColdMs"] / medians["listWarmMs"], 2),
    }


def _load_data() -> None:
    """Load the demo, number its feed, and warm up the shipments in transit in an otherwise empty cache."""
    from django.core.management import call_command
    from django.db import connection

    from shipments.caching import prepared
    from shipments.services.feed.sequencer import number_batch

    # Beside the real data, never in it.
    connection.settings_dict["TEST"]["NAME"] = f"bench_reads_{connection.settings_dict['NAME']}"
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False, keepdb=True)
    call_command("seed_demo", stdout=sys.stderr)
    while number_batch():
        pass
    prepared.shipment_cache.clear()
    call_command("warmup_cache", stdout=sys.stderr)


def _references(status: str, limit: int) -> list[str]:
    from shipments.models import Shipment

    rows = Shipment.objects.filter(organization__slug="demo", status=status, deleted_at=None)
    return list(rows.order_by("pk").values_list("reference", flat=True)[:limit])


if __name__ == "__main__":
    main()
