"""A small client of Freight's socket protocol (`freight.v1`, docs/protocol.md) for scripts and tests.

It needs the package `websockets`. Every committed event reaches the caller once and in order, over lost lines and
restarted servers; where the history cannot be resumed the caller is given the whole state instead.

    async with FreightClient("ws://localhost:4000/ws/", token=ask_for_token) as client:
        await client.join("SHIP-000001")
        async for update in client:
            print(update)

As a program: python freight_client.py ws://localhost:4000/ws/ TOKEN SHIP-000001 shipments:all
"""

import asyncio
import contextlib
import json
import random
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Self

import websockets
from websockets.asyncio.client import ClientConnection

FINAL_CODES, TOO_MANY = frozenset({4400, 4401, 4403}), 4429
JOINS_AT_ONCE = 100  # a message may have 16 KiB and 200 rooms
LATEST = ("driver", "export", "import")  # rooms without a history
SILENCE_SECONDS = 60.0  # longer than two heartbeats: the line is dead


class Refused(Exception):
    """The server has closed for good; its arguments are the close code (docs/protocol.md) and the reason."""


@dataclass(frozen=True, slots=True)
class Update:
    """What happened in a room: an event, or the whole state, or (`left`) why there will be no more."""

    room: str
    seq: int | None
    event: dict[str, Any] | None = None
    snapshot: dict[str, Any] | None = None
    left: str | None = None


@dataclass(slots=True)
class _Room:
    name: str
    epoch: str | None = None
    seq: int | None = None
    asked: bool = False


@dataclass(eq=False)
class FreightClient:
    """One line to the server, opened again whenever it is lost; iterate over it for what happens."""

    url: str
    token: Callable[[], Awaitable[str]]
    first_delay: float = 0.5
    longest_delay: float = 30.0
    rooms: dict[str, _Room] = field(default_factory=dict)
    reconnects: int = -1

    _updates: asyncio.Queue[Update | Exception] = field(default_factory=asyncio.Queue)
    _line: ClientConnection | None = None
    _known: bool = False
    _retry_seconds: float | None = None

    async def __aenter__(self) -> Self:
        self._running = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)

    async def __aiter__(self) -> AsyncIterator[Update]:
        while not isinstance(update := await self._updates.get(), Exception):
            yield update
        raise update

    async def join(self, *names: str, epoch: str | None = None, since: int | None = None) -> None:
        """Enter rooms: references, `shipments:all`, `driver:…`, `export:…`, `import:…`."""
        added = [_Room(name if ":" in name else f"shipment:{name}", epoch, since) for name in names]
        self.rooms |= {room.name.lower(): room for room in added}
        if self._known:
            await self._ask(*added)

    async def _run(self) -> None:
        attempt = 0
        while True:
            try:
                with contextlib.suppress(OSError, TimeoutError, websockets.WebSocketException):
                    await self._follow()
            except Refused as error:
                self._updates.put_nowait(error)
                return
            attempt = 0 if self._known else attempt + 1
            jitter = random.uniform(0, min(self.longest_delay, self.first_delay * 2 ** min(attempt, 10)))
            delay, self._retry_seconds, self._known = self._retry_seconds, None, False
            await asyncio.sleep(jitter if delay is None else delay)

    async def _follow(self) -> None:
        """Act on the frames of one line until it is lost; raises Refused where that is final."""
        async with websockets.connect(self.url, subprotocols=[websockets.Subprotocol("freight.v1")]) as line:
            self._line = line
            self.reconnects += 1
            await self._say({"type": "auth", "token": await self.token()})
            try:
                while True:
                    await self._act(json.loads(await asyncio.wait_for(line.recv(), SILENCE_SECONDS)))
            except websockets.ConnectionClosed as closed:
                code = closed.rcvd.code if closed.rcvd else 1006
                self._retry_seconds = 60 + random.uniform(0, 30) if code == TOO_MANY else self._retry_seconds
                # Expired while this machine slept: a new token may be good. Refused at once: it will not.
                if code in FINAL_CODES and not (code == 4401 and self._known):
                    raise Refused(code, closed.rcvd.reason if closed.rcvd else "") from None

    async def _say(self, frame: dict[str, Any]) -> None:
        with contextlib.suppress(websockets.ConnectionClosed):  # the reader finds out and comes back
            await (self._line.send(json.dumps(frame)) if self._line else asyncio.sleep(0))

    async def _ask(self, *rooms: _Room) -> None:
        """Join rooms with what is known of them."""
        wishes: list[dict[str, Any]] = []
        for room in rooms:
            room.asked = True
            known = {} if room.seq is None else {"since": room.seq, "epoch": room.epoch}
            wishes.append({"room": room.name} | {name: value for name, value in known.items() if value is not None})
        for start in range(0, len(wishes), JOINS_AT_ONCE):
            await self._say({"type": "join:room", "rooms": wishes[start : start + JOINS_AT_ONCE]})

    async def _act(self, frame: dict[str, Any]) -> None:
        about = next((f"{kind}:{frame[f'{kind}Id']}" for kind in LATEST if f"{kind}Id" in frame), "")
        room = self.rooms.get((frame.get("room") or about).lower())
        match frame["type"]:
            case "welcome":
                self._known = True
                await self._ask(*self.rooms.values())
            case "error" if frame["code"] in {"rate_limited", "unavailable"}:
                await asyncio.sleep(random.uniform(0.2, 1))
                await self._ask(*([room] if room else [each for each in self.rooms.values() if each.asked]))
            case "heartbeat":
                heads = {name.lower(): head for name, head in frame["heads"].items()}
                behind = [each for key, each in self.rooms.items() if heads.get(key, 0) > (each.seq or 0)]
                await self._ask(*(each for each in behind if not each.asked))
            case "token:expiring":
                await self._say({"type": "token:refresh", "token": await self.token()})
            case "drain":
                self._retry_seconds = frame["retryMs"] / 1000
            case _ if room:
                await self._hear(room, frame)

    async def _hear(self, room: _Room, frame: dict[str, Any]) -> None:
        match frame["type"]:
            case "room:joined":
                self._joined(room, frame)
            case "shipment:update":
                await self._updated(room, frame)
            case "driver:location:update" | "export:progress" | "import:progress":
                self._updates.put_nowait(Update(room.name, None, snapshot=frame))
            case "room:left" | "error":
                self.rooms.pop(room.name.lower(), None)
                self._updates.put_nowait(Update(room.name, room.seq, left=frame.get("reason") or frame["code"]))

    def _joined(self, room: _Room, frame: dict[str, Any]) -> None:
        room.asked = False
        if frame["recovered"]:
            for event in frame["events"]:
                self._tell(room, event.get("position", event["seq"]), event)
        else:
            self._updates.put_nowait(Update(room.name, frame.get("seq"), snapshot=frame["snapshot"]))
        room.epoch, room.seq = frame.get("epoch"), frame.get("seq")

    async def _updated(self, room: _Room, frame: dict[str, Any]) -> None:
        if frame["epoch"] == room.epoch and room.seq is not None and frame["seq"] <= room.seq:
            return  # seen already
        if frame["epoch"] == room.epoch and frame["seq"] == (room.seq or 0) + 1:
            self._tell(room, frame["seq"], frame["event"])
        elif not room.asked:
            await self._ask(room)

    def _tell(self, room: _Room, seq: int, event: dict[str, Any]) -> None:
        if room.seq is None or seq == room.seq + 1:
            room.seq = seq
            self._updates.put_nowait(Update(room.name, seq, event))


async def _print(url: str, token: str, *names: str) -> None:
    async with FreightClient(url, token=lambda: asyncio.sleep(0, token)) as client:
        await client.join(*names)
        async for update in client:
            print(update)


if __name__ == "__main__":
    asyncio.run(_print(*sys.argv[1:]))
