"""One event to many sockets: Freight beside a textbook Channels consumer, socket.io with Redis, and Bun.

All servers run at once, each in one process with its own load process, and take turns round by round, so that
whatever disturbs one disturbs all. The same bytes go through all of them. Of Freight everything is on, and the
events are in its log; a turn's clock starts when they are committed and published.

`each`: one publish at a time, delivered to the last socket before the next. `burst`: 32 in flight. `rooms`: one
publish to each of many small rooms. The main figure is deliveries per second of the server's CPU.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bench import stage

IN_FLIGHT = 32


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """This will print one JSON line."""
    parser = argparse.ArgumentParser(prog="bench_fanout", description=__doc__)
    parser.add_argument("--sockets", type=int, default=1000)
    parser.add_argument("--rooms", type=int, default=1, help="over which the sockets are spread evenly")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--peers", default="freight,textbook,socket.io,bun")
    options = parser.parse_args(arguments)
    stage.begin()
    stage.load(2_000, events=2.0)
    from tests.bench.fanout import house, peers  # needs settings

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours = house.House(options.rooms)
        made = house.peers_of(folder, ours, options.peers.split(","))
        loads: dict[str, peers.Load] = {}
        try:
            for peer in made:
                peer.start()
            before = {peer.name: peer.memory() for peer in made}
            for peer in made:
                loads[peer.name] = peers.Load(peer.target(sockets=options.sockets, rooms=options.rooms))
            found = measure(ours, made, loads, options)
            for peer in made:
                opened = loads[peer.name].opened
                found[peer.name] |= {
                    "connectsPerSecond": round(opened["ready"] / opened["seconds"]),
                    "kbPerSocket": round((peer.memory() - before[peer.name]) / options.sockets / 1024, 1),
                }
        finally:
            for load in loads.values():
                load.stop()
            for peer in made:
                peer.stop()
    told = {"bench": "fanout", "sockets": options.sockets, "rooms": options.rooms, "peers": found}
    told["ratios"] = ratios(found)
    print(json.dumps(told))
    return told


def measure(ours: Any, made: list[Any], loads: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """This will let the peers take turns, and return the figures of each."""
    ways = {"each": 1, "burst": IN_FLIGHT} if options.rooms == 1 else {"rooms": options.rooms}
    taken: dict[str, dict[str, list[dict[str, float]]]] = {peer.name: {way: [] for way in ways} for peer in made}
    for number in range(-2, options.rounds):
        for way, publishes in ways.items():
            frames = ours.commit([index % options.rooms for index in range(publishes)])
            for peer in made:
                turn = play(peer, loads[peer.name], frames, options.sockets * publishes // options.rooms)
                if number >= 0:
                    taken[peer.name][way].append(turn)
    return {name: {way: _figures(turns) for way, turns in by_way.items()} for name, by_way in taken.items()}


def play(peer: Any, load: Any, frames: list[tuple[int, bytes]], expect: int) -> dict[str, float]:
    """This will publish once and wait for every delivery."""
    load.expect(expect)
    time.sleep(0.02)  # the counting has begun, and the server is at rest
    cpu, started = peer.cpu_seconds(), time.monotonic()
    peer.publish(frames)
    heard = load.heard()
    return {
        "deliveries": expect,
        "cpu": peer.cpu_seconds() - cpu,
        **{name: (heard[name] - started) * 1000 for name in ("p50", "p95", "p99", "last")},
    }


def _figures(turns: list[dict[str, float]]) -> dict[str, float]:
    cpu = sum(turn["cpu"] for turn in turns)
    return {
        "perCpuSecond": round(sum(turn["deliveries"] for turn in turns) / max(cpu, 0.01)),
        **{
            f"{name}Ms": round(statistics.median(turn[name] for turn in turns), 2) for name in ("p50", "p95", "p99")
        },
    }


def ratios(found: dict[str, Any]) -> dict[str, dict[str, float]]:
    """This will return Freight's deliveries per CPU-second as a multiple of each peer's."""
    ours = found.get("freight", {})
    return {
        name: {
            way: round(ours[way]["perCpuSecond"] / each[way]["perCpuSecond"], 2)
            for way in ("each", "burst", "rooms")
            if way in each and way in ours
        }
        for name, each in found.items()
        if name != "freight"
    }


if __name__ == "__main__":
    main()
