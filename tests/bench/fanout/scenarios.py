"""The scenarios of the fan-out bench: many sockets in one room, or in many small ones; the peers take turns."""

import itertools
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.bench.fanout.event_source import EventSource
from tests.bench.fanout.peers import LoadProcess, Peer

IN_FLIGHT: Final = 32
# Rooms that are published to in one turn of the scenario with many.
_ROOMS_A_TURN: Final = 200
_WARM_TURNS: Final = 2
_LEAST_TURNS: Final = 3
# A peer that takes longer for a turn is measured by what it has delivered: the others must not wait for it.
_SLOW_SECONDS: Final = 4.0


@dataclass(frozen=True)
class FanoutScenario:
    """`sockets` sockets, spread evenly over rooms; run for `seconds`."""

    name: str
    sockets: int
    rooms: int
    seconds: float

    @property
    def modes(self) -> Mapping[str, int]:
        """How many publishes are in flight at a time, by name."""
        return {"each": 1, "burst": IN_FLIGHT} if self.rooms == 1 else {"rooms": min(self.rooms, _ROOMS_A_TURN)}


def run_scenario(
    scenario: FanoutScenario,
    event_source: EventSource,
    servers: Sequence[Peer],
    slow: set[tuple[str, str]] | None = None,
) -> dict[str, dict[str, Any]]:
    """Start the peers, open their sockets, let them take turns, and return the figures of each.

    `slow` gathers who took too long for which way; who did so in a smaller scene does not play it in this one.
    """
    loads: dict[str, LoadProcess] = {}
    figures: dict[str, dict[str, Any]] = {}
    try:
        for peer in servers:
            peer.start()
        for peer in servers:
            memory, cpu = peer.memory(), peer.cpu_seconds()
            load = loads[peer.name] = LoadProcess(peer.target(sockets=scenario.sockets, rooms=scenario.rooms))
            spent = peer.cpu_seconds() - cpu
            figures[peer.name] = {
                "connectsPerSecond": round(scenario.sockets / load.opened["seconds"]),
                "connectsPerCpuSecond": round(scenario.sockets / max(spent, 1e-6)),
                "kbPerSocket": round((peer.memory() - memory) / scenario.sockets / 1024, 1),
            }
        for name, by_way in _turns(scenario, event_source, servers, loads, set() if slow is None else slow).items():
            figures[name] |= {way: _figures(turns) for way, turns in by_way.items()}
    finally:
        for load in loads.values():
            load.stop()
        for peer in servers:
            peer.stop()
    return figures


def _turns(
    scenario: FanoutScenario,
    event_source: EventSource,
    servers: Sequence[Peer],
    loads: Mapping[str, LoadProcess],
    slow: set[tuple[str, str]],
) -> dict[str, dict[str, list[dict[str, float]]]]:
    turns_by_peer: dict[str, dict[str, list[dict[str, float]]]] = {peer.name: defaultdict(list) for peer in servers}
    rooms = itertools.cycle(range(scenario.rooms))
    ends = time.monotonic() + scenario.seconds
    for number in itertools.count():
        if number >= _WARM_TURNS + _LEAST_TURNS and time.monotonic() > ends:
            return turns_by_peer
        for mode, publishes in scenario.modes.items():
            room_numbers = [next(rooms) for _ in range(publishes)]
            frames: list[tuple[int, bytes]] = []
            for peer in servers:
                if (peer.name, mode) in slow:
                    continue
                began = time.monotonic()
                turns_by_peer[peer.name][mode].append(
                    _run_turn(scenario, event_source, peer, loads[peer.name], room_numbers, frames)
                )
                if time.monotonic() - began > _SLOW_SECONDS:
                    slow.add((peer.name, mode))
    raise AssertionError("the turns never end by themselves")


def _run_turn(
    scenario: FanoutScenario,
    event_source: EventSource,
    peer: Peer,
    load: LoadProcess,
    room_numbers: Sequence[int],
    frames: list[tuple[int, bytes]],
) -> dict[str, float]:
    """Publish and wait for every delivery. The first peer's turn commits the events, for all of them.

    Of Freight whatever happens from the end of the commit on counts, also what its sweep finds before the hint
    comes; not what its sockets need while many events are being made.
    """
    expect = scenario.sockets * len(room_numbers) // scenario.rooms
    load.expect(expect)
    time.sleep(0.02)  # the counting has begun, and the server is idle
    if not frames:
        frames += event_source.commit(room_numbers)
    cpu = peer.cpu_seconds()
    started = time.monotonic()
    peer.publish(frames)
    receipt_times = load.wait_for_deliveries()
    return {
        "deliveries": expect,
        "cpu": peer.cpu_seconds() - cpu,
        **{name: max(0.0, receipt_times[name] - started) * 1000 for name in ("p50", "p95", "p99", "last")},
    }


def _figures(turns: Sequence[Mapping[str, float]]) -> dict[str, float]:
    measured_turns = turns[_WARM_TURNS:] or turns
    cpu = sum(turn["cpu"] for turn in measured_turns)
    return {
        "turns": len(measured_turns),
        "perCpuSecond": round(sum(turn["deliveries"] for turn in measured_turns) / max(cpu, 1e-6)),
        **{f"{name}Ms": round(_median(measured_turns, name), 2) for name in ("p50", "p95", "p99")},
    }


def _median(turns: Sequence[Mapping[str, float]], name: str) -> float:
    return statistics.median(turn[name] for turn in turns)


def ratios(figures_by_peer: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Return Freight's deliveries and connects per CPU-second as multiples of each peer's."""
    return {
        name: dict(_ratios(figures_by_peer["freight"], each))
        for name, each in figures_by_peer.items()
        if name != "freight"
    }


def _ratios(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for way in ("each", "burst", "rooms"):
        if way in theirs and way in ours:
            yield way, round(ours[way]["perCpuSecond"] / theirs[way]["perCpuSecond"], 2)
    yield "connects", round(ours["connectsPerSecond"] / theirs["connectsPerSecond"], 2)
    yield "connectsPerCpu", round(ours["connectsPerCpuSecond"] / theirs["connectsPerCpuSecond"], 2)
