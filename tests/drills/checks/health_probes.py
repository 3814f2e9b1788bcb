"""Health checks of every Daphne while a scenario runs, at its own socket."""

import asyncio
import contextlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.drills.clients.http_client import HttpClient, NoResponse, NotSent
from tests.drills.harness.product_stage import ProductStage

_INTERVAL_SECONDS: Final = 0.25


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """One response of one process; status 0 where none came."""

    at: float
    name: str
    path: str
    status: int
    seconds: float
    body: Any


class HealthProbes:
    """Requests `ready` and `live` of every Daphne of the stage, four times a second."""

    def __init__(self, stage: ProductStage) -> None:
        self._stage = stage
        self._tasks: list[asyncio.Task[None]] = []
        self.results: list[ProbeResult] = []

    def start(self) -> None:
        """Begin to probe."""
        for process in self._stage.processes.values():
            if isinstance(process.role.address, Path) and process.is_alive():
                self._tasks.append(asyncio.create_task(self._probe(process.role.name, process.socket)))

    async def stop(self) -> None:
        """Stop probing."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._tasks.clear()

    @property
    def probed_roles(self) -> set[str]:
        """The Daphnes that were probed."""
        return {result.name for result in self.results}

    def seconds_until(
        self, since: float, *, degraded: str | None = None, status: int | None = None
    ) -> dict[str, float]:
        """Return the seconds from `since` until each Daphne's `ready` named a degraded part, or had a status."""
        seconds_by_role: dict[str, float] = {}
        for result in self.results:
            if result.at < since or not result.path.endswith("ready") or result.name in seconds_by_role:
                continue
            if (degraded and degraded in (result.body or {}).get("degraded", ())) or result.status == status:
                seconds_by_role[result.name] = result.at - since
        return seconds_by_role

    def failures(self, path: str) -> list[ProbeResult]:
        """Return the results of a path whose status is not 200."""
        return [result for result in self.results if result.path.endswith(path) and result.status != 200]

    async def _probe(self, name: str, address: Path) -> None:
        client = HttpClient(address)
        with contextlib.ExitStack() as stack:
            stack.callback(client.abort)
            while True:
                for path in ("/api/health/ready", "/api/health/live"):
                    began, sent_at = time.monotonic(), time.time()
                    try:
                        response = await client.request("GET", path, seconds=5)
                    except (NotSent, NoResponse):
                        self.results.append(ProbeResult(sent_at, name, path, 0, time.monotonic() - began, None))
                    else:
                        self.results.append(
                            ProbeResult(sent_at, name, path, response.status, response.seconds, response.json())
                        )
                await asyncio.sleep(_INTERVAL_SECONDS)
