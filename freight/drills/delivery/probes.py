"""Probes: what the Daphnes say of themselves while a row goes on, asked at their own sockets."""

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import Any, Final

from freight.drills.delivery.requests import Caller, NoAnswer, NotSent
from freight.drills.delivery.stage import Stage

_EVERY_SECONDS: Final = 0.25


@dataclass(frozen=True, slots=True)
class Said:
    """One answer of one process; status 0 where none came."""

    at: float
    name: str
    path: str
    status: int
    seconds: float
    body: Any


class Probes:
    """Asks every Daphne of the stage for `ready` and `live`, four times a second."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._tasks: list[asyncio.Task[None]] = []
        self.said: list[Said] = []

    def start(self) -> None:
        """This will begin to ask."""
        for name, role in self._stage.roles.items():
            if role.socket and self._stage.lives(name):
                self._tasks.append(asyncio.create_task(self._ask(name)))

    async def stop(self) -> None:
        """This will ask no more."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._tasks.clear()

    @property
    def names(self) -> set[str]:
        """Which Daphnes were asked."""
        return {said.name for said in self.said}

    def first(self, since: float, *, degraded: str | None = None, status: int | None = None) -> dict[str, float]:
        """This will return when each Daphne first said at `ready` that a part is degraded, or a status."""
        found: dict[str, float] = {}
        for said in self.said:
            if said.at < since or not said.path.endswith("ready") or said.name in found:
                continue
            if (degraded and degraded in (said.body or {}).get("degraded", ())) or said.status == status:
                found[said.name] = said.at - since
        return found

    def bad(self, path: str) -> list[Said]:
        """This will return the answers of a path that were not 200."""
        return [said for said in self.said if said.path.endswith(path) and said.status != 200]

    async def _ask(self, name: str) -> None:
        address = self._stage.roles[name].socket
        if address is None:
            return
        caller = Caller(address)
        with contextlib.ExitStack() as stack:
            stack.callback(caller.drop)
            while True:
                for path in ("/api/health/ready", "/api/health/live"):
                    began, asked = time.monotonic(), time.time()
                    try:
                        answer = await caller.call("GET", path, seconds=5)
                    except (NotSent, NoAnswer):
                        self.said.append(Said(asked, name, path, 0, time.monotonic() - began, None))
                    else:
                        self.said.append(Said(asked, name, path, answer.status, answer.seconds, answer.json()))
                await asyncio.sleep(_EVERY_SECONDS)
