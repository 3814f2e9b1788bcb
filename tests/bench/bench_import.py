"""An import of new shipments beside booking the same number one at a time; the same file again, and a dry run.

The methods take turns, so that noise affects all alike.
"""

import argparse
import json
import statistics
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

from tests.bench.harness import bench_database

PLACES = ("NLRTM", "DEHAM", "BEANR", "FRLEH", "GBFXT", "ESVLC", "ITGOA", "PLGDN")


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Print one JSON line with the rows a second of each method, and the ratio of importing to booking."""
    parser = argparse.ArgumentParser(prog="bench_import", description=__doc__)
    parser.add_argument("--rows", type=int, default=4_000, help="of one file")
    parser.add_argument("--single", type=int, default=500, help="booked one at a time in a round")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    bench_database.setup_django()
    bench_database.use_bench_database()
    result = {"bench": "import", "rows": options.rows} | measure(options.rows, options.single, options.rounds)
    print(json.dumps(result))
    return result


def measure(rows: int, single: int, rounds: int) -> dict[str, Any]:
    """Write shipments by each method in turn."""
    from exports.file_imports import columns, row_processing, table  # needs settings
    from exports.sandbox import pool
    from shipments import services
    from shipments.auth import subjects
    from shipments.models import Organization

    now = datetime.now(UTC)
    organization = Organization.objects.create(name="Bench", slug=f"bench-{uuid.uuid4().hex[:12]}", created_at=now)
    by = subjects.system_subject(organization.pk, name="bench")

    def references(count: int) -> list[str]:
        prefix = uuid.uuid4().hex[:8]
        return [f"B-{prefix}-{n}" for n in range(count)]

    def csv_file(names: list[str]) -> bytes:
        lines = [
            f"{name},{PLACES[n % 8]},{PLACES[(n + 3) % 8]},booked,{n % 40},12.5,2026-03-02T12:00:00Z"
            for n, name in enumerate(names)
        ]
        return "\n".join(["Reference,Origin,Destination,Status,Pieces,Weight kg,ETA", *lines]).encode()

    def run_import(raw: bytes, work: Callable[..., Any], size: int, outcome: str) -> None:
        parsed = table.read(raw)
        reader = row_processing.ChunkReader(columns.match_header(parsed.header), decimal_marks=".")
        for chunk in reader.chunks(parsed.rows(), size):
            assert {each.outcome for each in work(by=by, now=now, chunk=chunk)} == {outcome}

    def one_by_one(names: list[str]) -> None:
        for n, name in enumerate(names):
            services.book(
                by=by, now=now, reference=name, status="booked", origin=PLACES[n % 8],
                destination=PLACES[(n + 3) % 8], pieces=n % 40,
            )  # fmt: skip

    rows_per_second: dict[str, list[float]] = {"one": [], "dryRun": [], "import": [], "again": []}
    for _ in range(rounds):
        raw = csv_file(references(rows))
        imports: tuple[tuple[str, Any, int, str], ...] = (
            ("dryRun", row_processing.dry_run_chunk, row_processing.DRY_RUN_CHUNK_ROWS, "created"),
            ("import", row_processing.apply_chunk, row_processing.CHUNK_ROWS, "created"),
            ("again", row_processing.apply_chunk, row_processing.CHUNK_ROWS, "unchanged"),
        )
        for name, count, work in (
            ("one", single, partial(one_by_one, references(single))),
            *((name, rows, partial(run_import, raw, *arguments)) for name, *arguments in imports),
        ):
            started = time.perf_counter()
            work()
            rows_per_second[name].append(count / (time.perf_counter() - started))
    pool.close_shared()
    medians = {name: round(statistics.median(speeds)) for name, speeds in rows_per_second.items()}
    return {"rowsPerSecond": medians, "ratio": round(medians["import"] / medians["one"], 2)}


if __name__ == "__main__":
    main()
