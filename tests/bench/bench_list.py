"""The list of shipments at a million rows: the first page beside one 5,000 pages further.

Both are whole requests through Django (authentication, limiter, representation) and take turns, so that noise
affects both alike. The goal is a ratio of medians of at most 1.5.
"""

import argparse
import json
import statistics
import time
from typing import Any

from tests.bench.harness import bench_database

LIMIT = 50
QUERY = f"/api/shipments?status=in_transit&limit={LIMIT}"


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Print one JSON line with the medians in milliseconds and their ratio."""
    parser = argparse.ArgumentParser(prog="bench_list", description=__doc__)
    parser.add_argument("--shipments", type=int, default=1_000_000)
    parser.add_argument("--pages", type=int, default=5_000, help="how deep the far page lies")
    parser.add_argument("--rounds", type=int, default=200)
    options = parser.parse_args(arguments)
    result = measure(options.shipments, options.pages, options.rounds)
    print(json.dumps(result))
    return result


def measure(shipments: int, pages: int, rounds: int) -> dict[str, Any]:
    """Load the shipments unless an earlier run left them, and time both pages."""
    bench_database.setup_django()
    bench_database.load_shipments(shipments, events=1.0)
    client, headers = _dispatcher()
    addresses = {"first": QUERY, "far": f"{QUERY}&cursor={_cursor(pages)}"}
    row_counts = {name: _rows(client, headers, address) for name, address in addresses.items()}
    milliseconds: dict[str, list[float]] = {name: [] for name in addresses}
    for _ in range(rounds):
        for name, address in addresses.items():
            started = time.perf_counter()
            client.get(address, headers=headers)
            milliseconds[name].append((time.perf_counter() - started) * 1000)
    medians = {name: statistics.median(times) for name, times in milliseconds.items()}
    return {
        "bench": "list", "shipments": shipments, "pages": pages, "rows": row_counts,
        "firstMs": round(medians["first"], 2), "farMs": round(medians["far"], 2),
        "ratio": round(medians["far"] / medians["first"], 2), "goal": 1.5,
    }  # fmt: skip


def _dispatcher() -> tuple[Any, dict[str, str]]:
    from django.test import Client  # needs settings

    from shipments.demo import accounts

    client = Client(SERVER_NAME="localhost")
    answer = client.post(
        "/api/auth/login",
        json.dumps({"email": "dispatcher@demo.test", "password": accounts.PASSWORD}),
        content_type="application/json",
    )
    return client, {"Authorization": f"Bearer {answer.json()['access']}"}


def _cursor(pages: int) -> str:
    """Return the cursor that following `next` that often would give: its row is found by OFFSET."""
    from shipments.auth import subjects  # needs settings
    from shipments.models import Organization, Shipment
    from shipments.selectors.lists.definitions import SHIPMENTS
    from shipments.selectors.lists.paging import CursorPosition
    from shipments.selectors.lists.parsing import parse_list_query

    rows = Shipment.objects.filter(organization__slug="demo", status="in_transit", deleted_at=None)
    last = pages * LIMIT - 1
    position_values = rows.order_by("-created_at", "-id").values_list("created_at", "id")[last : last + 1]
    if not position_values:
        raise SystemExit(f"There are no {pages} pages of shipments in transit.")
    subject = subjects.system_subject(Organization.objects.get(slug="demo").pk, name="bench")
    path, _, query_string = QUERY.partition("?")
    query = parse_list_query(SHIPMENTS, path, query_string, subject)
    return query.cursor(CursorPosition(*position_values[0]))


def _rows(client: Any, headers: dict[str, str], address: str) -> int:
    answer = client.get(address, headers=headers)
    if answer.status_code != 200:
        raise SystemExit(f"{address}: {answer.status_code} {answer.content[:300]!r}")
    return len(answer.json()["results"])


if __name__ == "__main__":
    main()
