"""Scenarios of processes that hang: stopped by SIGSTOP, they refuse nothing and answer nothing."""

import asyncio
import contextlib
import itertools
import signal
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.drills.checks.evidence import Evidence, percentile
from tests.drills.clients import websocket_client
from tests.drills.clients.http_client import HttpClient, NoResponse, NotSent
from tests.drills.harness.product_stage import API_ROLES, WS_ROLES, ProductStage
from tests.drills.scenarios.scale import ScenarioScale
from tests.drills.scenarios.traffic import Traffic

REQUESTS_PER_SECOND: Final = 8
# One in four is a write.
_WRITE_EVERY: Final = 4
MAX_FAILED_RATIO: Final = 0.05
# nginx asks another process after four seconds; the rest is for a busy machine.
MAX_READ_SECONDS: Final = 6.0
# Until the socket of a process that hangs is taken away, and some for a busy machine.
MAX_HANDSHAKE_SECONDS: Final = 10.0


@dataclass
class _Requests:
    """Requests that start on a schedule, whatever became of those before them."""

    stage: ProductStage
    references: list[str]
    statuses: list[int] = field(default_factory=list)
    read_seconds: list[float] = field(default_factory=list)
    failed_reads: int = 0

    async def run(self, seconds: float) -> None:
        """Start requests for so long, and wait for all of them."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number in itertools.count():
                due = began + number / REQUESTS_PER_SECOND
                if due > began + seconds:
                    return
                await asyncio.sleep(due - time.monotonic())
                group.create_task(self._request(number))

    async def _request(self, number: int) -> None:
        keys = self.stage.seeded.api_keys
        client = HttpClient(self.stage.port, keys[number % len(keys)])
        path = f"/api/shipments/{self.references[number % len(self.references)]}"
        is_write = number % _WRITE_EVERY == 0
        began, status = time.monotonic(), 0
        with contextlib.suppress(NotSent, NoResponse):
            if is_write:
                key = uuid.uuid4().hex
                answer = await client.request(
                    "PATCH", path, {"pieces": number + 1}, seconds=60, If_Match="*", Idempotency_Key=key
                )
            else:
                answer = await client.request("GET", path, seconds=60)
            status = answer.status
        client.abort()
        self.statuses.append(status)
        if not is_write:
            self.read_seconds.append(time.monotonic() - began)
            self.failed_reads += not 200 <= status < 500

    @property
    def failed(self) -> int:
        """How many got no answer, or a 5xx."""
        return sum(not 200 <= status < 500 for status in self.statuses)


@contextlib.asynccontextmanager
async def stopped(stage: ProductStage, *names: str) -> AsyncIterator[None]:
    """Stop processes for the length of the block."""
    for name in names:
        stage[name].signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for name in names:
            stage[name].signal(signal.SIGCONT)


async def api_frozen(stage: ProductStage, scale: ScenarioScale, seed: int) -> Evidence:
    """Freeze every api Daphne under traffic: the ws Daphnes answer for them, and what is read fails nobody."""
    async with Traffic(stage, "api Daphnes frozen", seed=seed, writer_count=0) as traffic:
        requests = _Requests(stage, traffic.references)
        for name in WS_ROLES:  # their first answer is slow without any fault
            await _get(stage[name].socket, f"/api/shipments/{traffic.references[0]}", stage.seeded.api_keys[0])
        async with stopped(stage, *API_ROLES):
            await requests.run(scale.process_freeze_seconds)
            issues = (await _get(stage.port, "/api/metrics/health"))["issues"]
        await _wait_until_back(stage, API_ROLES)
        traffic.mark_faults_over()
        evidence = await traffic.evaluate(sockets_stay=True)
        evidence.figures |= {
            "requests": len(requests.statuses),
            "failed": requests.failed,
            "reads, p99": f"{percentile(requests.read_seconds, 0.99):.1f} s",
            "reads, longest": f"{max(requests.read_seconds):.1f} s",
            "issues": issues,
        }
        if requests.failed > MAX_FAILED_RATIO * len(requests.statuses):
            evidence.broken.append(f"{requests.failed} of {len(requests.statuses)} requests failed.")
        if requests.failed_reads:
            evidence.broken.append(f"{requests.failed_reads} reads failed.")
        if max(requests.read_seconds) > MAX_READ_SECONDS:
            evidence.broken.append(f"A read took {max(requests.read_seconds):.1f} s.")
        for name in API_ROLES:
            if not any(name in issue and "hangs" in issue for issue in issues):
                evidence.broken.append(f"Health does not say that {name} hangs: {issues}")
        return evidence


async def ws_frozen(stage: ProductStage, _: ScenarioScale, seed: int) -> Evidence:
    """Freeze every ws Daphne: the api Daphnes take new sockets."""
    async with Traffic(stage, "ws Daphnes frozen", seed=seed, subscriber_count=0) as traffic:
        began = time.monotonic()
        async with stopped(stage, *WS_ROLES):
            while True:
                with contextlib.suppress(OSError, TimeoutError, websocket_client.HandshakeRefused):
                    async with asyncio.timeout(1):
                        websocket = await websocket_client.connect(
                            stage.port, stage.seeded.api_keys[0], lambda *_: None
                        )
                        break
                if time.monotonic() - began > 3 * MAX_HANDSHAKE_SECONDS:
                    raise RuntimeError(f"No socket opens.\n{stage.log_tails()}")
            took = time.monotonic() - began
            await traffic.add_subscribers(4)
            websocket.abort()
        await _wait_until_back(stage, WS_ROLES)
        traffic.mark_faults_over()
        await traffic.wait_for_writes(20)
        evidence = await traffic.evaluate()
        evidence.figures["a socket opens after"] = f"{took:.1f} s"
        if took > MAX_HANDSHAKE_SECONDS:
            evidence.broken.append(f"No socket opened for {took:.1f} s.")
        return evidence


async def _get(address: int | Path, path: str, key: str = "") -> Any:
    client = HttpClient(address, key)
    try:
        return (await client.request("GET", path)).json()
    finally:
        client.abort()


async def _wait_until_back(stage: ProductStage, names: tuple[str, ...]) -> None:
    """Wait until processes that went on are reached at their sockets again."""
    for name in names:
        await stage[name].ready(30)
