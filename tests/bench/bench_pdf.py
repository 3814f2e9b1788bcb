"""PDFs through a real Daphne: reports of 60, 2,000 and 20,000 rows first and again, and a label when warm.

The goal is 2 s for 2,000 rows on two cores, 50 ms for a cached report, 500 ms for a label.
"""

import argparse
import json
import statistics
import time
from contextlib import closing
from typing import Any

import httpx

from tests.bench.harness import bench_database
from tests.drills.harness.presets import bench_server

SHIPMENTS = 20_000


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Print one JSON line with seconds for rendered reports, milliseconds for cached ones."""
    parser = argparse.ArgumentParser(prog="bench_pdf", description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[60, 2_000, 20_000])
    parser.add_argument("--labels", type=int, default=10)
    options = parser.parse_args(arguments)
    bench_database.setup_django()
    bench_database.load_shipments(SHIPMENTS, events=1.0)
    _number_feed()
    with bench_server() as server, closing(_client(server.url)) as http:
        _timed(http, "/exports/shipments.pdf?limit=1")  # the renderers load their libraries
        _timed(http, "/exports/shipments.pdf?limit=201")
        result = {
            "bench": "pdf",
            "reports": {str(rows): _report(http, rows) for rows in options.rows},
            "labelMs": _labels(http, options.labels),
            "goals": {"2000": 2.0, "againMs": 50, "labelMs": 500},
        }
    print(json.dumps(result))
    return result


def _number_feed() -> None:
    """Do the relay's numbering of what was loaded: a list of unnumbered events is not cached."""
    from shipments.services.feed import sequencer  # needs settings

    while sequencer.number_batch():
        pass


def _client(url: str) -> httpx.Client:
    from shipments.demo import accounts  # needs settings

    http = httpx.Client(base_url=f"{url}/api", timeout=300)
    answer = http.post("/auth/login", json={"email": "dispatcher@demo.test", "password": accounts.PASSWORD})
    http.headers["Authorization"] = f"Bearer {answer.json()['access']}"
    return http


def _report(http: httpx.Client, rows: int) -> dict[str, Any]:
    path = f"/exports/shipments.pdf?limit={rows}"
    first, pdf = _timed(http, path)
    again = statistics.median(_timed(http, path)[0] for _ in range(10))
    return {"seconds": round(first, 2), "againMs": round(again * 1000, 1), "bytes": len(pdf)}


def _labels(http: httpx.Client, count: int) -> float:
    seconds = [_timed(http, f"/shipments/SHIP-{n:06d}/documents/label.pdf")[0] for n in range(1, count + 1)]
    return round(statistics.median(seconds) * 1000, 1)


def _timed(http: httpx.Client, path: str) -> tuple[float, bytes]:
    began = time.perf_counter()
    answer = http.get(path)
    if answer.status_code != 200:
        raise SystemExit(f"{path}: {answer.status_code} {answer.text[:300]}")
    return time.perf_counter() - began, answer.content


if __name__ == "__main__":
    main()
