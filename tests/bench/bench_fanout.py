"""One event to many sockets: Freight beside a textbook Channels consumer, socket.io with Redis, and Bun.

All servers run at once, each in one process with its own load process, and take turns, so that noise affects all
alike. The same bytes go through all of them. Freight runs with everything on (consumers, authentication, limits,
metrics), and the events are in its log; a turn's clock starts when they are committed and published.

`each`: one publish at a time, delivered to the last socket before the next. `burst`: 32 in flight. `rooms`: one
publish to each of many small rooms. The main figure is deliveries per second of the server's CPU. One run takes
about eight minutes (`--large` adds 10,000 sockets in one room and two more), `--quick` one and a half.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.bench.harness import bench_database
from tests.bench.harness.goals import Goal, at_least, at_most, report


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Print one JSON line, and the goals on standard error."""
    parser = argparse.ArgumentParser(prog="bench_fanout", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few sockets and seconds: to see that it works")
    parser.add_argument("--large", action="store_true", help="10,000 sockets in one room as well")
    parser.add_argument("--peers", default="freight,textbook,socket.io,bun", help="freight is always among them")
    options = parser.parse_args(arguments)
    bench_database.setup_django()
    bench_database.load_shipments(2_000, events=2.0)
    from tests.bench.fanout import event_source as event_sources  # needs settings
    from tests.bench.fanout import scenarios as fanout_scenarios
    from tests.bench.fanout import stopped_reader

    scenarios = [
        fanout_scenarios.FanoutScenario("200", 200, 1, 8),
        fanout_scenarios.FanoutScenario("rooms", 500, 100, 8),
    ]
    if not options.quick:
        scenarios = [fanout_scenarios.FanoutScenario(f"{n}", n, 1, s) for n, s in ((500, 40), (2_000, 70))]
        scenarios += [fanout_scenarios.FanoutScenario("10000", 10_000, 1, 60)] if options.large else []
        scenarios += [fanout_scenarios.FanoutScenario("rooms", 10_000, 2_000, 60)]
    with tempfile.TemporaryDirectory() as name:
        event_source = event_sources.EventSource(max(scenario.rooms for scenario in scenarios) + 1)
        servers = event_sources.peers_of(Path(name), event_source, options.peers.split(","))
        figures_by_scenario, slow = {}, set[tuple[str, str]]()
        for scenario in scenarios:
            print(f"{scenario.name}: {scenario.sockets} sockets in {scenario.rooms} rooms", file=sys.stderr)
            figures_by_scenario[scenario.name] = fanout_scenarios.run_scenario(
                scenario, event_source, servers, slow
            )
            for peer, figures in figures_by_scenario[scenario.name].items():
                print(f"  {peer}: {json.dumps(figures)}", file=sys.stderr)
        megabytes = 8 if options.quick else 40
        stopped_readers = {
            peer.name: stopped_reader.run_stopped_reader(event_source, peer, megabytes)
            for peer in servers
            if peer.name != "textbook"
        }
    ratios = {name: fanout_scenarios.ratios(figures) for name, figures in figures_by_scenario.items()}
    one_room = scenarios[0].name if options.quick else "2000"
    result: dict[str, Any] = {
        "bench": "fanout",
        "scenes": figures_by_scenario,
        "stoppedReader": stopped_readers,
        "ratios": ratios,
    }
    result["goals"] = report(goals(one_room, figures_by_scenario, ratios, stopped_readers["freight"]))
    print(json.dumps(result))
    return result


def goals(
    one_room: str, figures_by_scenario: Mapping[str, Any], ratios: Mapping[str, Any], stopped: Mapping[str, Any]
) -> list[Goal]:
    """Compare the results with the goals; of the scenarios with one room the named one counts."""
    times, ours = ratios[one_room], figures_by_scenario[one_room]["freight"]
    node = figures_by_scenario[one_room].get("socket.io")
    node_ratios, bun_ratios = times.get("socket.io", {}), times.get("bun", {})
    cut = stopped["cutAfterSeconds"]
    return [
        at_least("each, × textbook", times.get("textbook", {}).get("each"), 20),
        at_least("each, × socket.io", node_ratios.get("each"), 1.4),
        at_least("burst, × socket.io", node_ratios.get("burst"), 15),
        at_most("burst p99, of socket.io's", _fraction_of(ours, node, "burst", "p99Ms"), 0.1),
        at_least("burst, × Bun", bun_ratios.get("burst"), 1.0),
        at_least("small rooms, × socket.io", ratios["rooms"].get("socket.io", {}).get("rooms"), 1.5),
        at_most("commit → receipt p50, ms", ours["each"]["p50Ms"], 15),
        at_most("commit → receipt p95, of socket.io's", _fraction_of(ours, node, "each", "p95Ms"), 0.5),
        at_least("connects/s, × socket.io", node_ratios.get("connects"), 0.6),
        at_most("KB per socket", ours["kbPerSocket"], 30),
        at_most("MB for a reader that stops", stopped["grownMb"], 2),
        at_most("seconds until it is cut", cut if cut is not None else float("inf"), 2),
    ]


def _fraction_of(ours: Mapping[str, Any], theirs: Mapping[str, Any] | None, mode: str, name: str) -> float | None:
    return round(ours[mode][name] / theirs[mode][name], 3) if theirs and theirs[mode][name] else None


if __name__ == "__main__":
    main()
