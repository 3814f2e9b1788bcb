"""Scenarios of load by clients: a burst, a mass reconnect, churn, a revocation without Redis."""

import asyncio
import time
from collections import Counter
from typing import Final

from tests.drills.checks import resource_usage
from tests.drills.checks.evidence import Evidence
from tests.drills.checks.resource_usage import MIB
from tests.drills.clients.http_client import HttpClient
from tests.drills.clients.subscribers import Subscriber
from tests.drills.harness.presets import POOL_SIZE
from tests.drills.harness.product_stage import API_ROLES, WS_ROLES, ProductStage
from tests.drills.scenarios.scale import ScenarioScale
from tests.drills.scenarios.traffic import Traffic

MAX_MEMORY: Final = 512 * MIB
MAX_RECONNECT_SECONDS: Final = 30.0
MAX_REVOCATION_SECONDS: Final = 3.0
_REVOKED_CLOSE_CODE: Final = 4403
_ROOMS: Final = 20
# The cost of PostgreSQL's checks at COMMIT grows with the square of the changes of one row.
_EVENTS_PER_TRANSACTION: Final = 250
# Half of a process' pool is for its event loop.
_MAX_LIVE_SESSIONS: Final = POOL_SIZE // 2 * len((*API_ROLES, *WS_ROLES))


async def burst_to_one_room(stage: ProductStage, scale: ScenarioScale, seed: int) -> Evidence:
    """Write very many events of one shipment at once, to a room of very many sockets."""
    async with Traffic(stage, "burst", seed=seed, shipments=1, writer_count=0, subscriber_count=0) as traffic:
        await traffic.add_room_subscribers(scale.burst_sockets)
        before = max(resource_usage.resident_memory(stage).values())
        async with resource_usage.PeakUsage(stage) as peak:
            await traffic.write_burst(traffic.references[0], scale.burst_events, at_once=_EVENTS_PER_TRANSACTION)
            traffic.mark_faults_over()
            evidence = await traffic.evaluate(sockets_stay=True)
        expected, peak_memory = scale.burst_events * scale.burst_sockets, max(peak.memory.values())
        evidence.figures["memory"] = f"{before / MIB:.0f} MiB, at most {peak_memory / MIB:.0f} MiB"
        if evidence.deliveries != expected:
            evidence.broken.append(f"{evidence.deliveries} of {expected} deliveries.")
        if peak_memory >= MAX_MEMORY:
            evidence.broken.append(f"A process held {peak_memory / MIB:.0f} MiB.")
        return evidence


async def all_dropped_at_once(stage: ProductStage, scale: ScenarioScale, seed: int) -> Evidence:
    """Reset every socket at the same moment, and write an event to each room before they reconnect."""
    async with Traffic(
        stage, "dropped at once", seed=seed, shipments=_ROOMS, writer_count=0, subscriber_count=0
    ) as traffic:
        await traffic.add_room_subscribers(scale.dropped_sockets)
        resource_usage.reset_query_statistics(stage)
        for subscriber in traffic.subscribers:
            subscriber.abort()
        began = time.monotonic()
        for reference in traffic.references:
            await traffic.write_burst(reference, 1)
        async with resource_usage.PeakUsage(stage) as peak:
            await traffic.wait_until_reconnected()
        reconnect_seconds, reads = time.monotonic() - began, resource_usage.count_event_log_reads(stage)
        traffic.mark_faults_over()
        evidence = await traffic.evaluate()
        errors = sum((subscriber.stats.errors for subscriber in traffic.subscribers), Counter[str]())
        evidence.figures |= {
            "errors told": dict(errors),
            "all back": f"{reconnect_seconds:.1f} s",
            "reads of the log": f"{reads} for {_ROOMS} rooms in {len(WS_ROLES)} processes",
            "sessions of event loops": f"at most {peak.live_sessions} of {_MAX_LIVE_SESSIONS}",
        }
        if reconnect_seconds >= MAX_RECONNECT_SECONDS:
            evidence.broken.append(f"The last socket was back after {reconnect_seconds:.1f} s.")
        if reads > _ROOMS * len(WS_ROLES):
            evidence.broken.append(f"{reads} reads of the log for {_ROOMS} rooms in {len(WS_ROLES)} processes.")
        if peak.live_sessions > _MAX_LIVE_SESSIONS or errors:
            evidence.broken.append(f"The pools were exceeded: {peak.live_sessions} sessions, {dict(errors)}.")
        return evidence


async def socket_churn(stage: ProductStage, scale: ScenarioScale, seed: int) -> Evidence:
    """Open very many sockets, deliver an event and close them, round after round: nothing may leak."""
    async with Traffic(stage, "churn", seed=seed, writer_count=1, subscriber_count=4) as traffic:
        samples = [resource_usage.sample_usage(stage)]
        for _ in range(scale.churn_rounds):
            room = f"shipment:{traffic.references[0]}"
            await traffic.run_visits([traffic.new_subscriber([room]) for _ in range(scale.churn_sockets)])
            samples.append(await _wait_until_closed(stage, samples[0]))
        traffic.mark_faults_over()
        evidence = await traffic.evaluate(sockets_stay=True)
        resource_usage.check_growth(samples, evidence)
        return evidence


async def _wait_until_closed(
    stage: ProductStage, initial: resource_usage.ResourceUsage
) -> resource_usage.ResourceUsage:
    """Sample once the servers have closed what their clients closed, after two seconds in any case."""
    deadline = time.monotonic() + 2
    while True:
        usage = resource_usage.sample_usage(stage)
        if time.monotonic() > deadline or all(usage.files[name] <= initial.files[name] + 2 for name in WS_ROLES):
            return usage
        await asyncio.sleep(0.05)


async def revoked_without_redis(stage: ProductStage, scale: ScenarioScale, seed: int) -> Evidence:
    """Revoke a key while Redis is down: its sockets get nothing more, and those of others go on."""
    stage.valkey.kill()
    try:
        async with Traffic(stage, "revoked without Redis", seed=seed) as traffic:
            caller, path, key = await _create_key(traffic)
            rooms = [f"shipment:{reference}" for reference in traffic.references]
            revoked_subscribers = [traffic.new_subscriber(rooms, key=key) for _ in range(scale.revoked_sockets)]
            await traffic.connect_all(revoked_subscribers)
            await traffic.wait_for_writes(20)
            response = await caller.request("DELETE", path)
            revoked_at = time.time()
            await caller.close()
            await asyncio.wait(
                [asyncio.create_task(each.finished.wait()) for each in revoked_subscribers], timeout=15
            )
            await traffic.wait_for_writes(20)
            traffic.mark_faults_over()
            evidence = await traffic.evaluate(sockets_stay=True)
            await asyncio.gather(*(each.stop() for each in revoked_subscribers))
            if response.status != 204:
                evidence.broken.append(f"The key was not revoked: {response.status}.")
            _check_revocation(traffic, evidence, revoked_subscribers, revoked_at)
            return evidence
    finally:
        stage.valkey.launch()
        stage.valkey.wait_ready()


async def _create_key(traffic: Traffic) -> tuple[HttpClient, str, str]:
    """Return an administrator's client, and the path and the secret of a new key."""
    anonymous = HttpClient(traffic.api_port)
    login = await anonymous.request("POST", "/api/auth/login", traffic.stage.seeded.administrator_login)
    await anonymous.close()
    client = HttpClient(traffic.api_port, login.json()["access"])
    created = await client.request("POST", "/api/auth/api-keys", {"name": "drill", "scopes": ["shipments:read"]})
    return client, f"/api/auth/api-keys/{created.json()['id']}", created.json()["secret"]


def _check_revocation(
    traffic: Traffic, evidence: Evidence, revoked_subscribers: list[Subscriber], revoked_at: float
) -> None:
    records = [
        record for each in revoked_subscribers for room_records in each.records.values() for record in room_records
    ]
    last = max((record.at[-1] for record in records if record.at), default=0.0)
    codes = {code for each in revoked_subscribers for code in each.stats.closes}
    evidence.figures["last event after the revocation"] = f"{last - revoked_at:+.2f} s"
    if codes != {_REVOKED_CLOSE_CODE} or not all(each.finished.is_set() for each in revoked_subscribers):
        evidence.broken.append(f"The sockets ended with {codes or 'nothing'}.")
    if last - revoked_at > MAX_REVOCATION_SECONDS + traffic.scheduling_delay.seconds_between(revoked_at, last):
        evidence.broken.append(f"A socket was given an event {last - revoked_at:.2f} s after it was locked out.")
