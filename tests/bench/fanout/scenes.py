"""What the fan-out bench plays: many sockets in one room, or in many small ones; the peers take turns."""

import itertools
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.bench.fanout.house import House
from tests.bench.fanout.peers import Load, Peer

IN_FLIGHT: Final = 32
# Rooms that are published to in one turn of the scene with many.
_ROOMS_A_TURN: Final = 200
_WARM_TURNS: Final = 2
_LEAST_TURNS: Final = 3
# Who takes so long for one turn is measured by what it has shown: the others must not wait for it.
_SLOW_SECONDS: Final = 4.0


@dataclass(frozen=True)
class Scene:
    """So many sockets, spread evenly over rooms; played for so many seconds."""

    name: str
    sockets: int
    rooms: int
    seconds: float

    @property
    def ways(self) -> Mapping[str, int]:
        """How many publishes are in flight at a time, by name."""
        return {"each": 1, "burst": IN_FLIGHT} if self.rooms == 1 else {"rooms": min(self.rooms, _ROOMS_A_TURN)}


def play(
    scene: Scene, ours: House, made: Sequence[Peer], slow: set[tuple[str, str]] | None = None
) -> dict[str, dict[str, Any]]:
    """This will start the peers, open their sockets, let them take turns, and return the figures of each.

    `slow` gathers who took too long for which way; who did so in a smaller scene does not play it in this one.
    """
    loads: dict[str, Load] = {}
    found: dict[str, dict[str, Any]] = {}
    try:
        for peer in made:
            peer.start()
        for peer in made:
            memory, cpu = peer.memory(), peer.cpu_seconds()
            load = loads[peer.name] = Load(peer.target(sockets=scene.sockets, rooms=scene.rooms))
            spent = peer.cpu_seconds() - cpu
            found[peer.name] = {
                "connectsPerSecond": round(scene.sockets / load.opened["seconds"]),
                "connectsPerCpuSecond": round(scene.sockets / max(spent, 1e-6)),
                "kbPerSocket": round((peer.memory() - memory) / scene.sockets / 1024, 1),
            }
        for name, by_way in _turns(scene, ours, made, loads, set() if slow is None else slow).items():
            found[name] |= {way: _figures(turns) for way, turns in by_way.items()}
    finally:
        for load in loads.values():
            load.stop()
        for peer in made:
            peer.stop()
    return found


def _turns(
    scene: Scene, ours: House, made: Sequence[Peer], loads: Mapping[str, Load], slow: set[tuple[str, str]]
) -> dict[str, dict[str, list[dict[str, float]]]]:
    taken: dict[str, dict[str, list[dict[str, float]]]] = {peer.name: defaultdict(list) for peer in made}
    rooms = itertools.cycle(range(scene.rooms))
    ends = time.monotonic() + scene.seconds
    for number in itertools.count():
        if number >= _WARM_TURNS + _LEAST_TURNS and time.monotonic() > ends:
            return taken
        for way, publishes in scene.ways.items():
            wanted = [next(rooms) for _ in range(publishes)]
            frames: list[tuple[int, bytes]] = []
            for peer in made:
                if (peer.name, way) in slow:
                    continue
                began = time.monotonic()
                taken[peer.name][way].append(_turn(scene, ours, peer, loads[peer.name], wanted, frames))
                if time.monotonic() - began > _SLOW_SECONDS:
                    slow.add((peer.name, way))
    raise AssertionError("the turns never end by themselves")


def _turn(
    scene: Scene, ours: House, peer: Peer, load: Load, wanted: Sequence[int], frames: list[tuple[int, bytes]]
) -> dict[str, float]:
    """This will publish and wait for every delivery. The first peer's turn commits the events, for all of them.

    Of Freight whatever happens from the end of the commit on counts, also what its sweep finds before the hint
    comes; not what its sockets need while many events are being made.
    """
    expect = scene.sockets * len(wanted) // scene.rooms
    load.expect(expect)
    time.sleep(0.02)  # the counting has begun, and the server is at rest
    if not frames:
        frames += ours.commit(wanted)
    cpu = peer.cpu_seconds()
    started = time.monotonic()
    peer.publish(frames)
    heard = load.heard()
    return {
        "deliveries": expect,
        "cpu": peer.cpu_seconds() - cpu,
        **{name: max(0.0, heard[name] - started) * 1000 for name in ("p50", "p95", "p99", "last")},
    }


def _figures(turns: Sequence[Mapping[str, float]]) -> dict[str, float]:
    counted = turns[_WARM_TURNS:] or turns
    cpu = sum(turn["cpu"] for turn in counted)
    return {
        "turns": len(counted),
        "perCpuSecond": round(sum(turn["deliveries"] for turn in counted) / max(cpu, 1e-6)),
        **{f"{name}Ms": round(_median(counted, name), 2) for name in ("p50", "p95", "p99")},
    }


def _median(turns: Sequence[Mapping[str, float]], name: str) -> float:
    return statistics.median(turn[name] for turn in turns)


def ratios(found: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """This will return Freight's deliveries and connects per CPU-second as multiples of each peer's."""
    return {name: dict(_ratios(found["freight"], each)) for name, each in found.items() if name != "freight"}


def _ratios(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for way in ("each", "burst", "rooms"):
        if way in theirs and way in ours:
            yield way, round(ours[way]["perCpuSecond"] / theirs[way]["perCpuSecond"], 2)
    yield "connects", round(ours["connectsPerSecond"] / theirs["connectsPerSecond"], 2)
    yield "connectsPerCpu", round(ours["connectsPerCpuSecond"] / theirs["connectsPerCpuSecond"], 2)
