"""Scenario: clients that stop reading are cut soon after 1 MiB waits for them, and slow no other client down."""

import asyncio
import select
import time
from dataclasses import dataclass
from typing import Final

from tests.drills.checks import checker
from tests.drills.checks.evidence import Evidence, percentile
from tests.drills.checks.resource_usage import MIB
from tests.drills.clients.subscribers import Subscriber
from tests.drills.clients.websocket_client import WebSocketClient
from tests.drills.harness import procfs
from tests.drills.harness.product_stage import WS_ROLES, ProductStage
from tests.drills.scenarios.scale import ScenarioScale
from tests.drills.scenarios.traffic import Traffic

MAX_CUT_SECONDS: Final = 2.0
MAX_MIB_PER_READER: Final = 2.0
MAX_SLOWDOWN: Final = 1.1
_READING_SUBSCRIBERS: Final = 20
# Some 3.3 KB an event, whose frame still goes with its hint. The kernel's buffers fill before the send buffer.
_EVENTS_PER_BURST: Final = 800
_WARM_UP_EVENTS: Final = 100
_REFERENCES_PER_EVENT: Final = 20
_EVENTS_PER_TRANSACTION: Final = 25
_POLL_SECONDS: Final = 0.01
# Other load on the machine moves a p99 of milliseconds.
_NOISE_SECONDS: Final = 0.05
_ATTEMPTS: Final = 3


@dataclass(slots=True)
class StoppedReader:
    """A client that has stopped reading.

    `received`: bytes until then. `cut_at`: wall clock, 0 while it is not cut.
    """

    subscriber: Subscriber
    socket: WebSocketClient
    received: int
    cut_at: float = 0.0

    @property
    def in_kernel(self) -> int:
        """The bytes that were in the kernel when it was cut, and never waited in the process."""
        return self.socket.received - self.received


class BurstMeasurement:
    """Samples of one Daphne during a burst of events to a room, with some of its readers stopped."""

    def __init__(self, pid: int, reader: Subscriber, before: int) -> None:
        self.began, self.ended = time.time(), 0.0
        self.initial_memory = self.peak_memory = before
        self.stopped: list[StoppedReader] = []
        self._pid, self._reader = pid, reader
        # Times, and the bytes that a reading client had received by then.
        self._flow: list[tuple[float, int]] = []
        self._hangups = select.poll()

    def stop(self, subscriber: Subscriber) -> None:
        """Have a client stop reading, and not reconnect once it is cut."""
        if subscriber.socket is not None:
            subscriber.stopped = True
            subscriber.socket.pause_reading()
            self._hangups.register(subscriber.socket.descriptor, 0)
            self.stopped.append(StoppedReader(subscriber, subscriber.socket, subscriber.socket.received))

    def sample(self) -> None:
        """Sample memory, flow and cuts."""
        now = time.time()
        self.peak_memory = max(self.peak_memory, procfs.resident_bytes(self._pid))
        self._flow.append((now, self._reader.socket.received if self._reader.socket else 0))
        hung_up = {descriptor for descriptor, _ in self._hangups.poll(0)}
        for each in self.stopped:
            if not each.cut_at and each.socket.descriptor in hung_up:
                each.cut_at = now
                self._hangups.unregister(each.socket.descriptor)

    def received_at(self, size: int) -> float:
        """Return when the reading client had received `size` bytes of the burst."""
        start = self._flow[0][1]
        return next((at for at, received in self._flow if received - start >= size), self.ended)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try: the p99 latency (seconds) of the reading clients, and that of a burst just before, when all read.

    `machine_delay`: for how long (seconds) the machine let nobody run during the burst.
    """

    measurement: BurstMeasurement
    latency: float
    baseline_latency: float
    machine_delay: float

    @property
    def slowed_down(self) -> bool:
        """Whether the stopped clients slowed the others down."""
        return self.latency - self.machine_delay > self.baseline_latency * MAX_SLOWDOWN + _NOISE_SECONDS


async def stopped_readers(stage: ProductStage, scale: ScenarioScale, seed: int) -> Evidence:
    """Have one client, then very many, stop reading in a room with others on the same Daphne."""
    async with Traffic(
        stage, "readers that stop", seed=seed, shipments=1, writer_count=0, subscriber_count=0
    ) as traffic:
        # Directly at the Daphne: a proxy would buffer what the client does not read.
        traffic.ws_port = stage[WS_ROLES[0]].socket
        reading_subscribers = await traffic.add_subscribers(_READING_SUBSCRIBERS, references=traffic.references)
        room = f"shipment:{traffic.references[0]}"
        await traffic.write_burst(
            traffic.references[0], _WARM_UP_EVENTS, width=_REFERENCES_PER_EVENT, at_once=_EVENTS_PER_TRANSACTION
        )
        attempts = []
        for number in scale.stopped_readers:
            for attempt_number in range(_ATTEMPTS):
                # A burst of the same length: the last events of a long burst have waited for all of it in any case.
                # Measured again for each try: the load of the machine changes.
                baseline = await _measure_burst(traffic, reading_subscribers[0], [])
                baseline_latency = await _p99_latency(traffic, baseline)
                readers = [traffic.new_subscriber([room]) for _ in range(number)]
                await traffic.connect_all(readers)
                measurement = await _measure_burst(traffic, reading_subscribers[0], readers)
                await _drain_stopped_readers(measurement)
                machine_delay = traffic.scheduling_delay.seconds_between(measurement.began, measurement.ended)
                attempts.append(
                    Attempt(measurement, await _p99_latency(traffic, measurement), baseline_latency, machine_delay)
                )
                if not attempt_number and not attempts[-1].slowed_down:
                    break  # else two of three decide
        traffic.mark_faults_over()
        evidence = await traffic.evaluate(sockets_stay=True)
        for attempt in attempts:
            _check_attempt(traffic, evidence, attempt)
        for number in scale.stopped_readers:
            reader_attempts = [attempt for attempt in attempts if len(attempt.measurement.stopped) == number]
            if sum(attempt.slowed_down for attempt in reader_attempts) > len(reader_attempts) / 2:
                latencies = ", ".join(
                    f"{attempt.latency:.3f} s where it was {attempt.baseline_latency:.3f} s"
                    for attempt in reader_attempts
                )
                evidence.broken.append(f"The others' p99 became {latencies}.")
        return evidence


async def _measure_burst(traffic: Traffic, reader: Subscriber, stopped: list[Subscriber]) -> BurstMeasurement:
    """Stop readers, write a burst of events to their room, and sample until the last is written."""
    pid = traffic.stage[WS_ROLES[0]].pid
    measurement = BurstMeasurement(pid, reader, procfs.resident_bytes(pid))
    for subscriber in stopped:
        measurement.stop(subscriber)
    burst = asyncio.create_task(
        traffic.write_burst(
            traffic.references[0], _EVENTS_PER_BURST, width=_REFERENCES_PER_EVENT, at_once=_EVENTS_PER_TRANSACTION
        )
    )
    while not burst.done():
        measurement.sample()
        await asyncio.sleep(_POLL_SECONDS)
    await burst
    measurement.ended = time.time()
    return measurement


async def _drain_stopped_readers(measurement: BurstMeasurement) -> None:
    """Have the stopped readers read what the kernel still holds, up to the close."""
    for reader in measurement.stopped:
        reader.socket.resume_reading()
    await asyncio.wait([asyncio.ensure_future(each.socket.closed) for each in measurement.stopped], timeout=5)
    await asyncio.gather(*(each.subscriber.stop() for each in measurement.stopped))


def _check_attempt(traffic: Traffic, evidence: Evidence, attempt: Attempt) -> None:
    measurement, latency, baseline_latency = attempt.measurement, attempt.latency, attempt.baseline_latency
    number = len(measurement.stopped)
    delays = [
        each.cut_at - measurement.received_at(each.in_kernel + MIB) for each in measurement.stopped if each.cut_at
    ]
    mib_per_reader = (measurement.peak_memory - measurement.initial_memory) / MIB / number
    slowest_cut = max(delays, default=0.0)
    evidence.figures[f"{number} stopped"] = (
        f"{len(delays)} cut, {min(delays, default=0):.2f}–{slowest_cut:.2f} s after 1 MiB waited,"
        f" {mib_per_reader:+.2f} MiB each; p99 of {len(traffic.subscribers)} others {latency * 1000:.0f} ms,"
        f" before {baseline_latency * 1000:.0f} ms"
    )
    if len(delays) < number or slowest_cut > MAX_CUT_SECONDS + traffic.scheduling_delay.seconds_between(
        measurement.began, measurement.ended
    ):
        evidence.broken.append(
            f"{len(delays)} of {number} were cut, the last {slowest_cut:.2f} s after 1 MiB waited."
        )
    if mib_per_reader > MAX_MIB_PER_READER:
        evidence.broken.append(f"Each of {number} that do not read costs {mib_per_reader:.2f} MiB.")


async def _p99_latency(traffic: Traffic, measurement: BurstMeasurement) -> float:
    """Return the p99 from COMMIT to receipt (or now) of the burst's events at the reading clients, in seconds."""
    log = await asyncio.to_thread(checker.read_event_log, traffic.stage.database.url, traffic.references)
    committed = {
        event.id: event.at
        for event in log.events[traffic.references[0]]
        if measurement.began <= event.at <= measurement.ended
    }
    now, latencies = time.time(), []
    for subscriber in traffic.subscribers:
        received: dict[str, float] = {}
        for record in (each for records in subscriber.records.values() for each in records):
            received.update(zip(record.ids, record.at, strict=True))
        latencies += [received.get(identifier, now) - at for identifier, at in committed.items()]
    return percentile(latencies, 0.99)
