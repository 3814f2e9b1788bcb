"""Positions brought in bulk beside one COPY of ready bytes into the same table; one at a time for comparison.

Rounds take turns, so that whatever disturbs one disturbs both. The goal is 0.6 of the bare COPY.
"""

import argparse
import json
import random
import statistics
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.bench import stage

GOAL = 0.6
COLUMNS = "driver_id, recorded_at, received_at, latitude, longitude, accuracy, speed, bearing, plausible"


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """This will print one JSON line with rows a second of both, and their ratio."""
    parser = argparse.ArgumentParser(prog="bench_positions", description=__doc__)
    parser.add_argument("--rows", type=int, default=50_000, help="of one round")
    parser.add_argument("--drivers", type=int, default=1_000)
    parser.add_argument("--batch", type=int, default=25_000, help="of one call")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    stage.begin()
    stage.database()
    figures = measure(options.rows, options.drivers, options.batch, options.rounds)
    found = {"bench": "positions", "goal": GOAL, "rows": options.rows, "batch": options.batch} | figures
    print(json.dumps(found))
    return found


def measure(rows: int, drivers: int, batch: int, rounds: int) -> dict[str, Any]:
    """This will bring as many positions by each way in turn."""
    from shipments import access, services  # needs settings
    from shipments.models import Driver, Organization

    now = datetime.now(UTC)
    organization = Organization.objects.create(name="Bench", slug=f"bench-{uuid.uuid4().hex[:12]}", created_at=now)
    by = access.system_subject(organization.pk, name="bench")
    chance = random.Random(3)

    def fixes(count: int) -> list[Any]:
        """Of drivers of their own, so that all are new; in the order of time, as they come in."""
        some = Driver.objects.bulk_create(
            Driver(organization=organization, name=f"Driver {n}", created_at=now, updated_at=now)
            for n in range(drivers)
        )
        each = count // drivers
        return [
            services.Fix(
                driver.pk, chance.uniform(48, 54), chance.uniform(2, 12), now - timedelta(seconds=each - n),
                accuracy=8.0, speed=chance.uniform(0, 30), bearing=None,
            )
            for n in range(each)
            for driver in some
        ]  # fmt: skip

    def ingest(some: Sequence[Any]) -> None:
        for start in range(0, len(some), batch):
            services.record_positions(by=by, now=now, batch=some[start : start + batch])

    def one_by_one(some: Sequence[Any]) -> None:
        for fix in some:
            services.record_position(by=by, now=now, fix=fix)

    taken: dict[str, list[float]] = {"copy": [], "ingest": [], "one": []}
    for _ in range(rounds):
        for name, bring, count in (("copy", None, rows), ("ingest", ingest, rows), ("one", one_by_one, drivers)):
            some = fixes(count)
            work: Callable[[], None] = _copy(_ready(some, now)) if bring is None else lambda: bring(some)  # noqa: B023
            started = time.perf_counter()
            work()
            taken[name].append(len(some) / (time.perf_counter() - started))
    medians = {name: round(statistics.median(speeds)) for name, speeds in taken.items()}
    return {"rowsPerSecond": medians, "ratio": round(medians["ingest"] / medians["copy"], 2)}


def _ready(some: Sequence[Any], now: datetime) -> bytes:
    return "".join(
        f"{each.driver_id}\t{each.recorded_at}\t{now}\t{each.latitude}\t{each.longitude}\t{each.accuracy}"
        f"\t{each.speed}\t\\N\tt\n"
        for each in some
    ).encode()


def _copy(ready: bytes) -> Callable[[], None]:
    from django.db import connection  # needs settings

    def work() -> None:
        with connection.cursor() as cursor, cursor.copy(f"COPY shipments_position ({COLUMNS}) FROM STDIN") as copy:
            copy.write(ready)

    return work


if __name__ == "__main__":
    main()
