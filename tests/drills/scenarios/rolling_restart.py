"""Scenario: a rolling restart of every Daphne under load through nginx, without an error for any client."""

import asyncio
import signal
from collections import Counter
from typing import Final

from tests.drills.checks.evidence import Evidence
from tests.drills.clients.http_client import HttpClient, NoResponse, NotSent
from tests.drills.clients.subscribers import Subscriber
from tests.drills.clients.writers import Outcome
from tests.drills.harness.product_stage import API_ROLES, WS_ROLES, ProductStage
from tests.drills.scenarios.scale import ScenarioScale
from tests.drills.scenarios.traffic import Traffic

_DRAIN_CLOSE_CODE: Final = 4503
_READERS: Final = 4
# One request that takes this long is always under way.
_LONG_POLL_SECONDS: Final = 2


async def rolling_restart(stage: ProductStage, scale: ScenarioScale, seed: int) -> Evidence:
    """Send SIGTERM to each Daphne in turn and start a new one: sockets get 4503, requests their responses."""
    async with Traffic(stage, "rolling restart", seed=seed, shipments=20, subscriber_count=4) as traffic:
        await traffic.add_room_subscribers(scale.restart_sockets)
        stopped, read_results = asyncio.Event(), Counter[str]()
        readers = [
            asyncio.create_task(_read_forever(traffic, number, stopped, read_results)) for number in range(_READERS)
        ]
        try:
            for name in (*WS_ROLES, *API_ROLES):
                await _restart(stage, name)
                await traffic.wait_until_reconnected()
        finally:
            stopped.set()
            await asyncio.gather(*readers)
        traffic.mark_faults_over()
        await traffic.wait_for_writes(20)
        evidence = await traffic.evaluate()
        _check_sockets(traffic, evidence)
        _check_requests(traffic, evidence, read_results)
        return evidence


async def _restart(stage: ProductStage, name: str) -> None:
    stage[name].signal(signal.SIGTERM)
    await stage[name].gone()
    stage[name].launch()
    await stage[name].ready()


async def _read_forever(traffic: Traffic, number: int, stopped: asyncio.Event, results: Counter[str]) -> None:
    """Read a shipment, then long-poll for events that never come, again and again."""
    client = HttpClient(traffic.stage.port, traffic.stage.seeded.api_keys[number])
    created = await client.request("POST", "/api/shipments", {"origin": "NLRTM", "destination": "DEHAM"})
    long_poll_path = f"/api/shipments/{created.json()['reference']}/events?after=1&wait={_LONG_POLL_SECONDS}"
    while not stopped.is_set():
        for path in (f"/api/shipments/{traffic.references[number]}", long_poll_path):
            try:
                results[str((await client.request("GET", path)).status)] += 1
            except (NotSent, NoResponse) as error:
                results[repr(error)] += 1
    await client.close()


def _check_sockets(traffic: Traffic, evidence: Evidence) -> None:
    closes, handshakes_refused = Counter[int](), Counter[int]()
    for subscriber in traffic.subscribers:
        closes += subscriber.stats.closes
        handshakes_refused += subscriber.stats.handshakes_refused
    evidence.figures["sockets closed with"] = dict(closes)
    evidence.figures["handshakes refused"] = dict(handshakes_refused)
    if set(closes) != {_DRAIN_CLOSE_CODE} or not all(map(_was_announced, traffic.subscribers)):
        evidence.broken.append(f"Not every socket was drained: {dict(closes)}.")
    if any(status >= 500 for status in handshakes_refused):
        evidence.broken.append(f"Handshakes were answered with errors: {dict(handshakes_refused)}.")


def _was_announced(subscriber: Subscriber) -> bool:
    """Tell whether each close was announced by a `drain` frame."""
    return subscriber.stats.drain_frames >= subscriber.stats.closes.total() > 0


def _check_requests(traffic: Traffic, evidence: Evidence, read_results: Counter[str]) -> None:
    evidence.figures["reads"] = dict(read_results)
    if set(read_results) != {"200"}:
        evidence.broken.append(f"Reads that were lost or refused: {dict(read_results)}.")
    lost = [each for each in traffic.ledger.operations if each.outcome is not Outcome.OK]
    if lost:
        evidence.broken.append(f"Writes that were lost or refused: {lost[:5]}.")
