"""Positions ingested in bulk beside one COPY of ready bytes into the same table; one at a time for comparison.

The methods take turns, so that noise affects all alike. The goal is 0.6 of the bare COPY.
"""

import argparse
import json
import random
import statistics
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from tests.bench.harness import bench_database

GOAL = 0.6
COLUMNS = "driver_id, recorded_at, received_at, latitude, longitude, accuracy, speed, bearing, plausible"


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Print one JSON line with rows a second of both, and their ratio."""
    parser = argparse.ArgumentParser(prog="bench_positions", description=__doc__)
    parser.add_argument("--rows", type=int, default=50_000, help="of one round")
    parser.add_argument("--drivers", type=int, default=1_000)
    parser.add_argument("--batch", type=int, default=25_000, help="of one call")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    bench_database.setup_django()
    bench_database.use_bench_database()
    figures = measure(options.rows, options.drivers, options.batch, options.rounds)
    result = {"bench": "positions", "goal": GOAL, "rows": options.rows, "batch": options.batch} | figures
    print(json.dumps(result))
    return result


def measure(rows: int, drivers: int, batch: int, rounds: int) -> dict[str, Any]:
    """Write as many positions by each method in turn."""
    from shipments import services  # needs settings
    from shipments.auth import subjects
    from shipments.models import Driver, Organization

    now = datetime.now(UTC)
    organization = Organization.objects.create(name="Bench", slug=f"bench-{uuid.uuid4().hex[:12]}", created_at=now)
    by = subjects.system_subject(organization.pk, name="bench")
    rng = random.Random(3)

    def make_fixes(count: int) -> list[Any]:
        """Return positions of new drivers, so that all are new, in the order of time."""
        new_drivers = Driver.objects.bulk_create(
            Driver(organization=organization, name=f"Driver {n}", created_at=now, updated_at=now)
            for n in range(drivers)
        )
        each = count // drivers
        return [
            services.Fix(
                driver.pk, rng.uniform(48, 54), rng.uniform(2, 12), now - timedelta(seconds=each - n),
                accuracy=8.0, speed=rng.uniform(0, 30), bearing=None,
            )
            for n in range(each)
            for driver in new_drivers
        ]  # fmt: skip

    def ingest(fixes: Sequence[Any]) -> None:
        for start in range(0, len(fixes), batch):
            services.record_positions(by=by, now=now, batch=fixes[start : start + batch])

    def one_by_one(fixes: Sequence[Any]) -> None:
        for fix in fixes:
            services.record_position(by=by, now=now, fix=fix)

    rows_per_second: dict[str, list[float]] = {"copy": [], "ingest": [], "one": []}
    for _ in range(rounds):
        for name, bring, count in (("copy", None, rows), ("ingest", ingest, rows), ("one", one_by_one, drivers)):
            fixes = make_fixes(count)
            work: Callable[[], None] = _copy(_copy_rows(fixes, now)) if bring is None else partial(bring, fixes)
            started = time.perf_counter()
            work()
            rows_per_second[name].append(len(fixes) / (time.perf_counter() - started))
    medians = {name: round(statistics.median(speeds)) for name, speeds in rows_per_second.items()}
    return {"rowsPerSecond": medians, "ratio": round(medians["ingest"] / medians["copy"], 2)}


def _copy_rows(fixes: Sequence[Any], now: datetime) -> bytes:
    return "".join(
        f"{each.driver_id}\t{each.recorded_at}\t{now}\t{each.latitude}\t{each.longitude}\t{each.accuracy}"
        f"\t{each.speed}\t\\N\tt\n"
        for each in fixes
    ).encode()


def _copy(rows: bytes) -> Callable[[], None]:
    from django.db import connection  # needs settings

    def work() -> None:
        with connection.cursor() as cursor, cursor.copy(f"COPY shipments_position ({COLUMNS}) FROM STDIN") as copy:
            copy.write(rows)

    return work


if __name__ == "__main__":
    main()
