"""Row: clients that stop reading. They are cut soon after 1 MiB waits for them, and nobody else feels them."""

import asyncio
import select
import time
from dataclasses import dataclass
from typing import Final

from freight.drills.delivery import checker, kernel
from freight.drills.delivery.evidence import Evidence, percentile
from freight.drills.delivery.measures import MIB
from freight.drills.delivery.scale import Scale
from freight.drills.delivery.scene import Scene
from freight.drills.delivery.sockets import Socket
from freight.drills.delivery.stage import SOCKETS, Stage
from freight.drills.delivery.watchers import Watcher

CUT_SECONDS: Final = 2.0
MOST_MIB_EACH: Final = 2.0
MOST_SLOWER: Final = 1.1
_OTHERS: Final = 20
# Some 3.3 KB an event, which still goes with its hint. What the kernel takes comes before what waits for a reader.
_EVENTS: Final = 800
_WARMING_EVENTS: Final = 100
_WIDTH: Final = 20
_AT_ONCE: Final = 25
_LOOK_SECONDS: Final = 0.01
# A p99 of milliseconds is moved by whatever else the machine does, for a while even by more than this.
_NOISE_SECONDS: Final = 0.05
_ATTEMPTS: Final = 3


@dataclass(slots=True)
class Stopped:
    """One reader that has stopped."""

    watcher: Watcher
    socket: Socket
    received: int
    cut_at: float = 0.0

    @property
    def in_kernel(self) -> int:
        """How much was on its way when it was cut, and never waited in the process."""
        return self.socket.received - self.received


class Poured:
    """What was seen at one Daphne while events were poured into a room, with some of its readers stopped."""

    def __init__(self, pid: int, reader: Watcher, before: int) -> None:
        self.began, self.ended = time.time(), 0.0
        self.before = self.most = before
        self.stopped: list[Stopped] = []
        self._pid, self._reader = pid, reader
        # When a reader that reads had received how many bytes.
        self._flow: list[tuple[float, int]] = []
        self._hangups = select.poll()

    def stop(self, watcher: Watcher) -> None:
        """This will have somebody read nothing any more, and stay away once they are cut."""
        if watcher.socket is not None:
            watcher.stopped = True
            watcher.socket.pause()
            self._hangups.register(watcher.socket.descriptor, 0)
            self.stopped.append(Stopped(watcher, watcher.socket, watcher.socket.received))

    def look(self) -> None:
        """This will look at memory, flow and cuts."""
        now = time.time()
        self.most = max(self.most, kernel.resident_bytes(self._pid))
        self._flow.append((now, self._reader.socket.received if self._reader.socket else 0))
        gone = {descriptor for descriptor, _ in self._hangups.poll(0)}
        for each in self.stopped:
            if not each.cut_at and each.socket.descriptor in gone:
                each.cut_at = now
                self._hangups.unregister(each.socket.descriptor)

    def arrived(self, size: int) -> float:
        """This will return when so many bytes had come to those who read."""
        start = self._flow[0][1]
        return next((at for at, received in self._flow if received - start >= size), self.ended)


@dataclass(frozen=True, slots=True)
class Tried:
    """One try: how late the others heard (p99 in seconds), and how late a moment before, when all read."""

    poured: Poured
    late: float
    usually: float

    @property
    def felt(self) -> bool:
        """Whether the others felt those who had stopped."""
        return self.late > self.usually * MOST_SLOWER + _NOISE_SECONDS


async def stopped(stage: Stage, scale: Scale, seed: int) -> Evidence:
    """One client, then very many, that never read, in a room with others on the same Daphne."""
    async with Scene(stage, "readers that stop", seed=seed, shipments=1, writing=0, watching=0) as scene:
        # Straight at the Daphne: a proxy between would take what the client does not.
        scene.ws_port = stage.roles[SOCKETS[0]].socket or scene.ws_port
        others = await scene.watch(_OTHERS, references=scene.references)
        room = f"shipment:{scene.references[0]}"
        await scene.pour(scene.references[0], _WARMING_EVENTS, width=_WIDTH, at_once=_AT_ONCE)
        found = []
        for number in scale.stopped_readers:
            for attempt in range(_ATTEMPTS):
                # As many as later: what comes at the end of a long burst has waited for all of it, whoever reads.
                # Anew beside each try: the machine that it is compared on is another a moment later.
                usual = await _pour(scene, others[0], [])
                usually = await _late(scene, usual)
                readers = [scene.recruit([room]) for _ in range(number)]
                await scene.let_in(readers)
                poured = await _pour(scene, others[0], readers)
                await _read_on(poured)
                found.append(Tried(poured, await _late(scene, poured), usually))
                if not attempt and not found[-1].felt:
                    break  # else two of three tell
        scene.calm()
        evidence = await scene.judge(sockets_stay=True)
        for tried in found:
            _judge(scene, evidence, tried)
        for number in scale.stopped_readers:
            tries = [tried for tried in found if len(tried.poured.stopped) == number]
            if sum(tried.felt for tried in tries) > len(tries) / 2:
                told = ", ".join(f"{tried.late:.3f} s where it was {tried.usually:.3f} s" for tried in tries)
                evidence.broken.append(f"The others' p99 became {told}.")
        return evidence


async def _pour(scene: Scene, reader: Watcher, stopped: list[Watcher]) -> Poured:
    """This will have readers stop, pour events into their room, and look on until the last is written."""
    pid = scene.stage.roles[SOCKETS[0]].pid
    poured = Poured(pid, reader, kernel.resident_bytes(pid))
    for watcher in stopped:
        poured.stop(watcher)
    pouring = asyncio.create_task(scene.pour(scene.references[0], _EVENTS, width=_WIDTH, at_once=_AT_ONCE))
    while not pouring.done():
        poured.look()
        await asyncio.sleep(_LOOK_SECONDS)
    await pouring
    poured.ended = time.time()
    return poured


async def _read_on(poured: Poured) -> None:
    """This will have the stopped readers read what the kernel held for them, up to the end."""
    for stopped in poured.stopped:
        stopped.socket.resume()
    await asyncio.wait([asyncio.ensure_future(each.socket.ended) for each in poured.stopped], timeout=5)
    await asyncio.gather(*(each.watcher.stop() for each in poured.stopped))


def _judge(scene: Scene, evidence: Evidence, tried: Tried) -> None:
    poured, late, usually = tried.poured, tried.late, tried.usually
    number = len(poured.stopped)
    delays = [each.cut_at - poured.arrived(each.in_kernel + MIB) for each in poured.stopped if each.cut_at]
    each = (poured.most - poured.before) / MIB / number
    slowest = max(delays, default=0.0)
    evidence.figures[f"{number} stopped"] = (
        f"{len(delays)} cut, {min(delays, default=0):.2f}–{slowest:.2f} s after 1 MiB waited, {each:+.2f} MiB each;"
        f" p99 of {len(scene.watchers)} others {late * 1000:.0f} ms, before {usually * 1000:.0f} ms"
    )
    if len(delays) < number or slowest > CUT_SECONDS + scene.stalls.within(poured.began, poured.ended):
        evidence.broken.append(f"{len(delays)} of {number} were cut, the last {slowest:.2f} s after 1 MiB waited.")
    if each > MOST_MIB_EACH:
        evidence.broken.append(f"Each of {number} that do not read costs {each:.2f} MiB.")


async def _late(scene: Scene, poured: Poured) -> float:
    """This will return the p99 from COMMIT to receipt, or to now, of what was poured, for those who read."""
    log = await asyncio.to_thread(checker.read, scene.stage.database.url, scene.references)
    committed = {
        event.id: event.at for event in log.events[scene.references[0]] if poured.began <= event.at <= poured.ended
    }
    now, late = time.time(), []
    for watcher in scene.watchers:
        seen: dict[str, float] = {}
        for record in (each for found in watcher.records.values() for each in found):
            seen.update(zip(record.ids, record.at, strict=True))
        late += [seen.get(identifier, now) - at for identifier, at in committed.items()]
    return percentile(late, 0.99)
