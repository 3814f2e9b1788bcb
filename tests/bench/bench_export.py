"""A million shipments as CSV through a real Daphne, beside `psql \\copy` of the same query, Node, and the ORM.

The product is measured as it is: authenticated, limited, audited, with formulas escaped, rows counted in the
same snapshot. The peers write the same columns without any of that. Freight and psql take turns, so that noise
affects both alike; the slow peers run in between. Then: four exports at once, the liveness of a process with
three exports, its memory, and a PDF of 2,000 rows.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tests.bench.harness import bench_database
from tests.drills.harness.presets import bench_server

COLD_STARTS: Final = 3
PDF_ROWS: Final = 2_000


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Print one JSON line."""
    parser = argparse.ArgumentParser(prog="bench_export", description=__doc__)
    parser.add_argument("--shipments", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peer-rounds", type=int, default=1, help="turns of the slow peers")
    parser.add_argument("--peer-rows", type=int, default=250_000, help="how many rows the slow peers are asked for")
    parser.add_argument("--peers", default="node,iterator")
    options = parser.parse_args(arguments)
    bench_database.setup_django()
    bench_database.load_shipments(options.shipments, events=3.9)
    bench_database.number_feed_and_vacuum()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), options)
    result = {"bench": "export", "shipments": options.shipments} | figures | {"goals": check_goals(figures)}
    print(json.dumps(result))
    return result


def measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Let Freight and the peers take turns and return all figures."""
    from tests.bench.exporting import peers  # needs settings
    from tests.bench.exporting.export_client import ExportClient

    rows = options.shipments
    cold = [_cold_first_byte(rows) for _ in range(COLD_STARTS)]
    _log(f"first bytes of new servers: {_ms(cold)} ms")
    peer_rows = min(rows, options.peer_rows)
    peers_running = [peers.STARTERS[name](folder, peer_rows) for name in options.peers.split(",") if name]
    try:
        for peer in peers_running:
            peer.wait()
        with bench_server() as server:
            export_client = ExportClient(server)
            export_client.check_row_count(rows)
            figures, warm = _turns(export_client, peers_running, options)
            figures["firstByteMs"] = {"cold": _ms(cold), "warm": _ms(warm)}
            _log(figures)
            figures |= _measure_concurrency(export_client, rows)
            _log(figures)
            return figures | {"pdf": export_client.pdf(PDF_ROWS)}
    finally:
        for peer in peers_running:
            peer.stop()


def _turns(
    export_client: Any, peers_running: list[Any], options: argparse.Namespace
) -> tuple[dict[str, Any], list[float]]:
    """Return rows per second by server, and the seconds to Freight's first bytes."""
    from tests.bench.exporting import peers  # needs settings

    statement, rows = peers.export_copy_statement(), options.shipments
    seconds_by_name: dict[str, list[float]] = {}
    first_byte_seconds, growth = [], 0.0
    for number in range(options.rounds):
        seconds_by_name.setdefault("copy", []).append(_timed(lambda: peers.copy_out_with_psql(statement)))
        with export_client.watched() as memory:
            download = export_client.csv(rows)
        growth = max(growth, memory["mb"])
        seconds_by_name.setdefault("freight", []).append(download.last)
        first_byte_seconds.append(download.first)
        for peer in peers_running if number < options.peer_rounds else ():
            seconds_by_name.setdefault(peer.name, []).append(_timed(peer.take))
    rows_by_name = {peer.name: peer.rows for peer in peers_running}
    speeds = {
        name: round(rows_by_name.get(name, rows) / statistics.median(times))
        for name, times in seconds_by_name.items()
    }
    ratios = {name: round(speeds["freight"] / speed, 2) for name, speed in speeds.items() if name != "freight"}
    return {"rowsPerSecond": speeds, "ratios": ratios, "grownMb": growth}, first_byte_seconds


def _measure_concurrency(export_client: Any, rows: int) -> dict[str, Any]:
    """Download four exports at once beside one alone, and check liveness while three run."""
    alone = statistics.median(export_client.at_once(1, rows) for _ in range(3))
    four = statistics.median(export_client.at_once(4, rows) for _ in range(2))
    with export_client.alive() as taken:
        export_client.at_once(3, rows)
    return {
        "fourByOne": round(4 * alone / four, 2),
        "live": {"asked": len(taken), "p99Ms": round(statistics.quantiles(taken, n=100)[-1], 1)},
    }


def check_goals(figures: dict[str, Any]) -> list[dict[str, Any]]:
    """Compare the figures with the goals."""
    ratios, first, pdf = figures["ratios"], figures["firstByteMs"], figures["pdf"]
    at_least = [("× \\copy", ratios["copy"], 0.8), ("four at once × one", figures["fourByOne"], 0.8)]
    at_least += [
        (f"× {name}", ratios[name], goal) for name, goal in (("node", 5), ("iterator", 15)) if name in ratios
    ]
    at_most = [
        ("first byte cold, ms", first["cold"], 150), ("first byte warm, ms", first["warm"], 60),
        ("memory grown, MB", figures["grownMb"], 64),
        ("live p99 with three exports, ms", figures["live"]["p99Ms"], 100),
        (f"PDF of {pdf['rows']} rows, s", pdf["seconds"], 2), ("PDF again, ms", pdf["againMs"], 50),
    ]  # fmt: skip
    lower_bounds = [
        {"what": what, "is": value, "atLeast": goal, "met": value >= goal} for what, value, goal in at_least
    ]
    return lower_bounds + [
        {"what": what, "is": value, "atMost": goal, "met": value <= goal} for what, value, goal in at_most
    ]


def _cold_first_byte(rows: int) -> float:
    """Return the seconds to the first byte of the first export of a server that has just started."""
    from tests.bench.exporting.export_client import ExportClient  # needs settings

    with bench_server() as server:
        return float(ExportClient(server).csv(rows).first)


def _log(message: object) -> None:
    print(message, file=sys.stderr, flush=True)


def _timed(act: Callable[[], Any]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def _ms(seconds: list[float]) -> float:
    return round(statistics.median(seconds) * 1000, 1)


if __name__ == "__main__":
    main()
