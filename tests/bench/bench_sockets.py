"""Many sockets at rest and in company: what they cost, and whether a busy API slows them down.

Ten thousand joined sockets on two `ws` processes, directly, which nothing happens to: memory, descriptors, CPU over
more than one round of pings and heartbeats. Two thousand through the nginx file that deploy/ ships. What a publish
costs inside a request. And the way from publish to receipt while the api role is saturated by REST. What a rolling
restart does to 2,000 sockets is played by `manage.py drill delivery`. One run takes about four minutes, `--quick`
one.
"""

import argparse
import concurrent.futures
import json
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.bench import stage
from tests.bench.goals import at_least, at_most, told

ROOMS = 500
# Longer than the way from one ping, and one heartbeat, to the next.
IDLE_SECONDS = 26.0
CALLERS = 16


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """This will print one JSON line, and the goals on standard error."""
    parser = argparse.ArgumentParser(prog="bench_sockets", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few sockets and seconds: to see that it works")
    options = parser.parse_args(arguments)
    many, few, turns = (1_000, 200, 30) if options.quick else (10_000, 2_000, 200)
    stage.begin()
    stage.load(2_000, events=2.0)
    from tests.bench.fanout import house  # needs settings

    with tempfile.TemporaryDirectory() as name:
        ours = house.House(ROOMS)
        result: dict[str, Any] = {
            "bench": "sockets",
            "idle": idle(ours, Path(name), many),
            "nginx": through_nginx(ours, Path(name), few),
            "publish": publish_cost(ours),
            "company": in_company(ours, Path(name), few, turns),
        }
    each = result["idle"]["processes"]
    result["goals"] = told(
        [
            at_most("MB a process", max(one["rssMb"] for one in each), 512),
            at_most("KB per socket", max(one["kbPerSocket"] for one in each), 30),
            at_most("CPU at rest, % of a core", max(one["cpuPercent"] for one in each), 5),
            at_least("descriptors of a process", min(one["descriptors"] for one in each), many / 2 + 100),
            at_least("sockets through nginx that heard", result["nginx"]["heard"], few),
            at_most("publish inside a request, ms", result["publish"]["announceMs"], 0.3),
            at_most("p99 beside a busy API, × idle", result["company"]["ratio"], 3),
            at_most("p99 beside a busy API, ms", result["company"]["busyP99Ms"], 100),
        ]
    )
    print(json.dumps(result))
    return result


def idle(ours: Any, folder: Path, sockets: int) -> dict[str, Any]:
    """This will open the sockets on two processes and let them be."""
    from tests.bench.fanout.house import peers_of  # needs settings
    from tests.bench.fanout.peers import Load

    made = [each for _ in range(2) for each in peers_of(folder, ours, ["freight"])]
    loads = []
    try:
        for peer in made:
            peer.start()
        before = [peer.memory() for peer in made]
        loads = [Load(peer.target(sockets=sockets // 2, rooms=ROOMS)) for peer in made]
        time.sleep(5)
        cpu = [peer.cpu_seconds() for peer in made]
        time.sleep(IDLE_SECONDS)
        spent = [peer.cpu_seconds() - was for peer, was in zip(made, cpu, strict=True)]
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
                for peer, was, seconds, load in zip(made, before, spent, loads, strict=True)
            ],
        }
    finally:
        _stop(loads, made)


def through_nginx(ours: Any, folder: Path, sockets: int) -> dict[str, Any]:
    """This will open sockets through nginx before two processes, and let all of them hear one event."""
    from dataclasses import replace

    from tests.bench.fanout.house import peers_of  # needs settings
    from tests.bench.fanout.peers import Load

    made = [each for _ in range(2) for each in peers_of(folder, ours, ["freight"])]
    loads = []
    try:
        for number, peer in enumerate(made):
            peer.unix = folder / f"ws{number}.sock"
            peer.start()
        with _nginx(folder, [peer.unix for peer in made]) as port:
            target = replace(made[0].target(sockets=sockets, rooms=1), port=port)
            loads = [Load(target)]
            loads[0].expect(sockets)
            made[0].publish(ours.commit([0]))
            return {
                "sockets": sockets,
                "connectsPerSecond": round(sockets / loads[0].opened["seconds"]),
                "heard": loads[0].heard()["count"],
            }
    finally:
        _stop(loads, made)


@contextmanager
def _nginx(folder: Path, ws: list[Path]) -> Iterator[int]:
    from freight.supervisor import proxy  # needs settings
    from tests.journeys import servers, test_proxy

    port, run = servers.free_port(), folder / "nginx"
    run.mkdir(mode=0o700)
    (run / "nginx.conf").write_text(
        proxy.render(
            test_proxy.TEMPLATE.read_text(), listen=f"127.0.0.1:{port}", run=run, api=ws, ws=ws, static=folder
        )
    )
    command = [str(proxy.nginx_program()), "-p", str(run), "-c", str(run / "nginx.conf"), "-g", "daemon off;"]
    process = subprocess.Popen(command)
    try:
        _until_ready(port)
        yield port
    finally:
        process.terminate()
        process.wait(10)


def _until_ready(port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/api/health/ready", timeout=1).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise SystemExit("nginx did not start")


def publish_cost(ours: Any, rounds: int = 2_000) -> dict[str, float]:
    """This will tell how long a request waits for its event to be announced, and for the hint alone."""
    from realtime import receivers  # needs settings

    [(room, frame)] = ours.commit([0])
    told = ours.caught()
    announce = _each_ms(lambda: receivers.publish_event(**told), rounds)
    return {"announceMs": announce, "hintMs": _each_ms(lambda: ours.hint(room, frame), rounds)}


def _each_ms(work: Any, rounds: int) -> float:
    """This will return the median of what one call takes; in small bundles, since the publisher must keep up."""
    taken = []
    for _ in range(rounds // 50):
        started = time.perf_counter()
        for _ in range(50):
            work()
        taken.append((time.perf_counter() - started) / 50 * 1000)
        time.sleep(0.02)
    return round(statistics.median(taken), 4)


def in_company(ours: Any, folder: Path, sockets: int, turns: int) -> dict[str, float]:
    """This will publish one event at a time, at rest and while another process is saturated by REST."""
    from tests.bench.fanout.house import peers_of  # needs settings
    from tests.bench.fanout.peers import Load

    [peer] = peers_of(folder, ours, ["freight"])
    loads = []
    try:
        peer.start()
        loads = [Load(peer.target(sockets=sockets, rooms=1))]
        with stage.daphne() as api:
            rest = _p99(ours, peer, loads[0], sockets, turns)
            with _saturated(api.url, ours.token()) as answered:
                busy = _p99(ours, peer, loads[0], sockets, turns)
        return {
            "sockets": sockets, "idleP99Ms": rest, "busyP99Ms": busy, "ratio": round(busy / max(rest, 0.1), 2),
            "requestsMeanwhile": len(answered),
        }  # fmt: skip
    finally:
        _stop(loads, [peer])


def _p99(ours: Any, peer: Any, load: Any, sockets: int, turns: int) -> float:
    taken = []
    for _ in range(turns):
        load.expect(sockets)
        time.sleep(0.02)
        frames = ours.commit([0])
        started = time.monotonic()
        peer.publish(frames)
        taken.append(max(0.0, load.heard()["p99"] - started) * 1000)
    return round(statistics.median(taken), 2)


@contextmanager
def _saturated(url: str, token: str) -> Iterator[list[int]]:
    over, answered = threading.Event(), list[int]()

    def ask() -> None:
        with httpx.Client(base_url=url, headers={"Authorization": token}, timeout=30) as http:
            while not over.is_set():
                answered.append(http.get("/api/shipments?limit=50").status_code)

    with concurrent.futures.ThreadPoolExecutor(CALLERS) as callers:
        asking = [callers.submit(ask) for _ in range(CALLERS)]
        try:
            time.sleep(1)
            yield answered
        finally:
            over.set()
        for each in asking:
            each.result()


def _stop(loads: list[Any], made: list[Any]) -> None:
    for each in (*loads, *made):
        each.stop()


if __name__ == "__main__":
    main()
