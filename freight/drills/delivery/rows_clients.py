"""Rows: what clients do to the service: many at once, gone and back at once, coming and going, locked out."""

import asyncio
import time
from collections import Counter
from typing import Final

from freight.drills.delivery import measures
from freight.drills.delivery.evidence import Evidence
from freight.drills.delivery.measures import MIB
from freight.drills.delivery.requests import Caller
from freight.drills.delivery.scale import Scale
from freight.drills.delivery.scene import Scene
from freight.drills.delivery.stage import APIS, POOL, SOCKETS, Stage
from freight.drills.delivery.watchers import Watcher

MOST_MEMORY: Final = 512 * MIB
BACK_SECONDS: Final = 30.0
REVOKED_SECONDS: Final = 3.0
_REVOKED: Final = 4403
_ROOMS: Final = 20
# So many in one transaction. What PostgreSQL checks at COMMIT grows with the square of one row's changes.
_BURST: Final = 250
# Half of a process' sessions are for its event loop.
_MOST_LIVE: Final = POOL // 2 * len((*APIS, *SOCKETS))


async def burst(stage: Stage, scale: Scale, seed: int) -> Evidence:
    """Very many events of one shipment at once, to a room of very many sockets."""
    async with Scene(stage, "burst", seed=seed, shipments=1, writing=0, watching=0) as scene:
        await scene.crowd(scale.burst_sockets)
        before = max(measures.memory(stage).values())
        async with measures.Peak(stage) as peak:
            await scene.pour(scene.references[0], scale.burst_events, at_once=_BURST)
            scene.calm()
            evidence = await scene.judge(sockets_stay=True)
        wanted, most = scale.burst_events * scale.burst_sockets, max(peak.memory.values())
        evidence.figures["memory"] = f"{before / MIB:.0f} MiB, at most {most / MIB:.0f} MiB"
        if evidence.deliveries != wanted:
            evidence.broken.append(f"{evidence.deliveries} of {wanted} deliveries.")
        if most >= MOST_MEMORY:
            evidence.broken.append(f"A process held {most / MIB:.0f} MiB.")
        return evidence


async def dropped(stage: Stage, scale: Scale, seed: int) -> Evidence:
    """Every socket cut at the same moment; while they are away each room goes on by an event."""
    async with Scene(stage, "dropped at once", seed=seed, shipments=_ROOMS, writing=0, watching=0) as scene:
        await scene.crowd(scale.dropped_sockets)
        measures.forget_queries(stage)
        for watcher in scene.watchers:
            watcher.drop()
        began = time.monotonic()
        for reference in scene.references:
            await scene.pour(reference, 1)
        async with measures.Peak(stage) as peak:
            await scene.let_back()
        back, reads = time.monotonic() - began, measures.reads_of_the_log(stage)
        scene.calm()
        evidence = await scene.judge()
        errors = sum((watcher.seen.errors for watcher in scene.watchers), Counter[str]())
        evidence.figures |= {
            "errors told": dict(errors),
            "all back": f"{back:.1f} s",
            "reads of the log": f"{reads} for {_ROOMS} rooms in {len(SOCKETS)} processes",
            "sessions of event loops": f"at most {peak.live_sessions} of {_MOST_LIVE}",
        }
        if back >= BACK_SECONDS:
            evidence.broken.append(f"The last socket was back after {back:.1f} s.")
        if reads > _ROOMS * len(SOCKETS):
            evidence.broken.append(f"{reads} reads of the log for {_ROOMS} rooms in {len(SOCKETS)} processes.")
        if peak.live_sessions > _MOST_LIVE or errors:
            evidence.broken.append(f"The pools were exceeded: {peak.live_sessions} sessions, {dict(errors)}.")
        return evidence


async def churn(stage: Stage, scale: Scale, seed: int) -> Evidence:
    """Very many sockets come, are told something and go, round after round: nothing of them stays."""
    async with Scene(stage, "churn", seed=seed, writing=1, watching=4) as scene:
        rounds = [measures.held(stage)]
        for _ in range(scale.churn_rounds):
            room = f"shipment:{scene.references[0]}"
            await scene.visit([scene.recruit([room]) for _ in range(scale.churn_sockets)])
            rounds.append(await _settled(stage, rounds[0]))
        scene.calm()
        evidence = await scene.judge(sockets_stay=True)
        measures.judge_rounds(rounds, evidence)
        return evidence


async def _settled(stage: Stage, before: measures.Held) -> measures.Held:
    """This will look once the servers have closed what their clients have; after two seconds in any case."""
    deadline = time.monotonic() + 2
    while True:
        found = measures.held(stage)
        if time.monotonic() > deadline or all(found.files[name] <= before.files[name] + 2 for name in SOCKETS):
            return found
        await asyncio.sleep(0.05)


async def revoked(stage: Stage, scale: Scale, seed: int) -> Evidence:
    """A key revoked while Redis is down: its sockets are told nothing more, and those of others go on."""
    stage.hints.kill()
    try:
        async with Scene(stage, "revoked without Redis", seed=seed) as scene:
            caller, path, secret = await _key(scene)
            rooms = [f"shipment:{reference}" for reference in scene.references]
            locked_out = [scene.recruit(rooms, key=secret) for _ in range(scale.revoked_sockets)]
            await scene.let_in(locked_out)
            await scene.written(20)
            answer = await caller.call("DELETE", path)
            at = time.time()
            await caller.close()
            await asyncio.wait([asyncio.create_task(each.over.wait()) for each in locked_out], timeout=15)
            await scene.written(20)
            scene.calm()
            evidence = await scene.judge(sockets_stay=True)
            await asyncio.gather(*(each.stop() for each in locked_out))
            if answer.status != 204:
                evidence.broken.append(f"The key was not revoked: {answer.status}.")
            _judge_revocation(scene, evidence, locked_out, at)
            return evidence
    finally:
        stage.hints.launch()
        stage.hints.wait_ready()


async def _key(scene: Scene) -> tuple[Caller, str, str]:
    """This will return an administrator's connection, and the path and the secret of a fresh key of theirs."""
    door = Caller(scene.api_port)
    entered = await door.call("POST", "/api/auth/login", scene.stage.administrator)
    await door.close()
    caller = Caller(scene.api_port, entered.json()["access"])
    made = await caller.call("POST", "/api/auth/api-keys", {"name": "drill", "scopes": ["shipments:read"]})
    return caller, f"/api/auth/api-keys/{made.json()['id']}", made.json()["secret"]


def _judge_revocation(scene: Scene, evidence: Evidence, locked_out: list[Watcher], at: float) -> None:
    records = [record for each in locked_out for found in each.records.values() for record in found]
    last = max((record.at[-1] for record in records if record.at), default=0.0)
    codes = {code for each in locked_out for code in each.seen.closes}
    evidence.figures["last event after the revocation"] = f"{last - at:+.2f} s"
    if codes != {_REVOKED} or not all(each.over.is_set() for each in locked_out):
        evidence.broken.append(f"The sockets ended with {codes or 'nothing'}.")
    if last - at > REVOKED_SECONDS + scene.stalls.within(at, last):
        evidence.broken.append(f"A socket was given an event {last - at:.2f} s after it was locked out.")
