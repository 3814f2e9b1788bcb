"""Many idle and busy sockets: what they cost, and whether a busy API slows them down.

Ten thousand idle sockets in rooms of two `ws` processes: memory, descriptors, CPU over more than one interval
of pings and heartbeats. Two thousand through the nginx file that deploy/ ships. The cost of a publish inside a
request. And the latency from publish to receipt while the api role is saturated by REST. `manage.py drill
delivery` restarts Daphnes under 2,000 sockets. One run takes about four minutes, `--quick` one.
"""

import argparse
import concurrent.futures
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.bench.harness import bench_database
from tests.bench.harness.goals import at_least, at_most, report
from tests.drills.harness.environment import free_port
from tests.drills.harness.nginx import Nginx
from tests.drills.harness.presets import bench_server

ROOMS = 500
# Longer than the intervals of pings and of heartbeats.
IDLE_SECONDS = 26.0
CALLERS = 16


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Print one JSON line, and the goals on standard error."""
    parser = argparse.ArgumentParser(prog="bench_sockets", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few sockets and seconds: to see that it works")
    options = parser.parse_args(arguments)
    idle_sockets, busy_sockets, turns = (1_000, 200, 30) if options.quick else (10_000, 2_000, 200)
    bench_database.setup_django()
    bench_database.load_shipments(2_000, events=2.0)
    from tests.bench.fanout.event_source import EventSource  # needs settings

    with tempfile.TemporaryDirectory() as name:
        event_source = EventSource(ROOMS)
        result: dict[str, Any] = {
            "bench": "sockets",
            "idle": idle(event_source, Path(name), idle_sockets),
            "nginx": through_nginx(event_source, Path(name), busy_sockets),
            "publish": publish_cost(event_source),
            "company": beside_busy_api(event_source, Path(name), busy_sockets, turns),
        }
    processes = result["idle"]["processes"]
    result["goals"] = report(
        [
            at_most("MB a process", max(one["rssMb"] for one in processes), 512),
            at_most("KB per socket", max(one["kbPerSocket"] for one in processes), 30),
            at_most("CPU at rest, % of a core", max(one["cpuPercent"] for one in processes), 5),
            at_least(
                "descriptors of a process", min(one["descriptors"] for one in processes), idle_sockets / 2 + 100
            ),
            at_least("sockets through nginx that heard", result["nginx"]["heard"], busy_sockets),
            at_most("publish inside a request, ms", result["publish"]["announceMs"], 0.3),
            at_most("p99 beside a busy API, × idle", result["company"]["ratio"], 3),
            at_most("p99 beside a busy API, ms", result["company"]["busyP99Ms"], 100),
        ]
    )
    print(json.dumps(result))
    return result


def idle(event_source: Any, folder: Path, sockets: int) -> dict[str, Any]:
    """Open the sockets on two processes and leave them idle."""
    from tests.bench.fanout.event_source import peers_of  # needs settings
    from tests.bench.fanout.peers import LoadProcess

    servers = [each for _ in range(2) for each in peers_of(folder, event_source, ["freight"])]
    loads = []
    try:
        for peer in servers:
            peer.start()
        before = [peer.memory() for peer in servers]
        loads = [LoadProcess(peer.target(sockets=sockets // 2, rooms=ROOMS)) for peer in servers]
        time.sleep(5)
        cpu = [peer.cpu_seconds() for peer in servers]
        time.sleep(IDLE_SECONDS)
        cpu_spent = [peer.cpu_seconds() - was for peer, was in zip(servers, cpu, strict=True)]
        return {
            "sockets": sockets,
            "processes": [
                {
                    "rssMb": round(peer.memory() / 2**20),
                    "kbPerSocket": round((peer.memory() - was) / (sockets // 2) / 1024, 1),
                    "cpuPercent": round(seconds / IDLE_SECONDS * 100, 2),
                    "connectsPerSecond": round(sockets / 2 / load.opened["seconds"]),
                    "descriptors": peer.descriptors(),
                }
                for peer, was, seconds, load in zip(servers, before, cpu_spent, loads, strict=True)
            ],
        }
    finally:
        _stop(loads, servers)


def through_nginx(event_source: Any, folder: Path, sockets: int) -> dict[str, Any]:
    """Open sockets through nginx before two processes, and publish one event to all of them."""
    from dataclasses import replace

    from tests.bench.fanout.event_source import peers_of  # needs settings
    from tests.bench.fanout.peers import LoadProcess

    servers: list[Any] = [each for _ in range(2) for each in peers_of(folder, event_source, ["freight"])]
    loads = []
    try:
        for number, peer in enumerate(servers):
            peer.unix = folder / f"ws{number}.sock"
            peer.start()
        upstreams = [peer.unix for peer in servers]
        with Nginx(folder / "nginx", port=free_port(), api=upstreams, ws=upstreams, static=folder) as nginx:
            nginx.wait_listening(seconds=20)
            target = replace(servers[0].target(sockets=sockets, rooms=1), port=nginx.port)
            loads = [LoadProcess(target)]
            loads[0].expect(sockets)
            servers[0].publish(event_source.commit([0]))
            return {
                "sockets": sockets,
                "connectsPerSecond": round(sockets / loads[0].opened["seconds"]),
                "heard": loads[0].wait_for_deliveries()["count"],
            }
    finally:
        _stop(loads, servers)


def publish_cost(event_source: Any, rounds: int = 2_000) -> dict[str, float]:
    """Return the milliseconds that a request waits for the publish of its event, and for the hint alone."""
    from realtime.publishing import receivers  # needs settings

    [(room, frame)] = event_source.commit([0])
    signal_arguments = event_source.last_signal()
    announce = _each_ms(lambda: receivers.publish_event(**signal_arguments), rounds)
    return {"announceMs": announce, "hintMs": _each_ms(lambda: event_source.hint(room, frame), rounds)}


def _each_ms(operation: Any, rounds: int) -> float:
    """Return the median milliseconds of one call, in small batches with pauses, so that the publisher keeps up."""
    samples = []
    for _ in range(rounds // 50):
        started = time.perf_counter()
        for _ in range(50):
            operation()
        samples.append((time.perf_counter() - started) / 50 * 1000)
        time.sleep(0.02)
    return round(statistics.median(samples), 4)


def beside_busy_api(event_source: Any, folder: Path, sockets: int, turns: int) -> dict[str, float]:
    """Publish one event at a time, at rest and while another process is saturated by REST."""
    from tests.bench.fanout.event_source import peers_of  # needs settings
    from tests.bench.fanout.peers import LoadProcess

    [peer] = peers_of(folder, event_source, ["freight"])
    loads = []
    try:
        peer.start()
        loads = [LoadProcess(peer.target(sockets=sockets, rooms=1))]
        with bench_server() as api:
            idle_p99 = _p99(event_source, peer, loads[0], sockets, turns)
            with _saturate_api(api.url, event_source.token()) as answered:
                busy_p99 = _p99(event_source, peer, loads[0], sockets, turns)
        return {
            "sockets": sockets, "idleP99Ms": idle_p99, "busyP99Ms": busy_p99,
            "ratio": round(busy_p99 / max(idle_p99, 0.1), 2), "requestsMeanwhile": len(answered),
        }  # fmt: skip
    finally:
        _stop(loads, [peer])


def _p99(event_source: Any, peer: Any, load: Any, sockets: int, turns: int) -> float:
    milliseconds = []
    for _ in range(turns):
        load.expect(sockets)
        time.sleep(0.02)
        frames = event_source.commit([0])
        started = time.monotonic()
        peer.publish(frames)
        milliseconds.append(max(0.0, load.wait_for_deliveries()["p99"] - started) * 1000)
    return float(round(statistics.median(milliseconds), 2))


@contextmanager
def _saturate_api(url: str, token: str) -> Iterator[list[int]]:
    stopped, statuses = threading.Event(), list[int]()

    def send_requests() -> None:
        with httpx.Client(base_url=url, headers={"Authorization": token}, timeout=30) as http:
            while not stopped.is_set():
                statuses.append(http.get("/api/shipments?limit=50").status_code)

    with concurrent.futures.ThreadPoolExecutor(CALLERS) as callers:
        futures = [callers.submit(send_requests) for _ in range(CALLERS)]
        try:
            time.sleep(1)
            yield statuses
        finally:
            stopped.set()
        for each in futures:
            each.result()


def _stop(loads: list[Any], servers: list[Any]) -> None:
    for each in (*loads, *servers):
        each.stop()


if __name__ == "__main__":
    main()
