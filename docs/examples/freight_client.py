"""A small client of Freight's socket protocol (`freight.v1`, docs/protocol.md) for scripts and tests.

It needs the package `websockets`. Every committed event reaches the caller once and in order, over lost connections
and restarted servers, or else the whole state. To resume later, join with `epoch` and `seq` of the last update.

    async with FreightClient("ws://localhost:4000/ws/", token=fetch_token) as client:
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
JOINS_PER_FRAME = 100  # a message may have 16 KiB and 200 rooms
LATEST = ("driver", "export", "import")  # rooms without a history
SILENCE_SECONDS = 60.0  # longer than two heartbeats: the connection is dead


class Refused(Exception):
    """The server refuses this client for good; the arguments are close code (docs/protocol.md) and reason."""


@dataclass(frozen=True, slots=True)
class Update:
    """One update of a room: an event, or the whole state and the `reason` for it, or (`left`) why it ended."""

    room: str
    seq: int | None
    event: dict[str, Any] | None = None
    snapshot: dict[str, Any] | None = None
    left: str | None = None
    epoch: str | None = None
    reason: str | None = None


@dataclass(slots=True)
class _Room:
    name: str
    epoch: str | None = None
    seq: int | None = None
    pending: bool = False


@dataclass(eq=False)
class FreightClient:
    """A connection to the server that reconnects by itself; iterate over it for the updates of all rooms."""

    url: str
    token: Callable[[], Awaitable[str]]
    first_delay: float = 0.5
    longest_delay: float = 30.0
    rooms: dict[str, _Room] = field(default_factory=dict)
    reconnects: int = -1
    _updates: asyncio.Queue[Update | Exception] = field(default_factory=asyncio.Queue)
    _connection: ClientConnection | None = None
    _welcomed: bool = False
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
        """Join rooms: references, `shipments:all`, `driver:…`, `export:…`, `import:…`."""
        added = [_Room(name if ":" in name else f"shipment:{name}", epoch, since) for name in names]
        self.rooms |= {room.name.lower(): room for room in added}
        if self._welcomed:
            await self._rejoin(*added)

    async def _run(self) -> None:
        attempt = 0
        while True:
            try:
                with contextlib.suppress(OSError, TimeoutError, websockets.WebSocketException):
                    await self._follow()
            except Refused as error:
                self._updates.put_nowait(error)
                return
            attempt = 0 if self._welcomed else attempt + 1
            jitter = random.uniform(0, min(self.longest_delay, self.first_delay * 2 ** min(attempt, 10)))
            delay, self._retry_seconds, self._welcomed = self._retry_seconds, None, False
            await asyncio.sleep(jitter if delay is None else delay)

    async def _follow(self) -> None:
        """Handle the frames of one connection until it is lost; raise Refused where that is final."""
        async with websockets.connect(self.url, subprotocols=[websockets.Subprotocol("freight.v1")]) as connection:
            self._connection, self.reconnects = connection, self.reconnects + 1
            await self._send({"type": "auth", "token": await self.token()})
            try:
                while True:
                    async with asyncio.timeout(SILENCE_SECONDS):
                        frame = json.loads(await connection.recv())
                    await self._handle_frame(frame)
            except websockets.ConnectionClosed as closed:
                code = closed.rcvd.code if closed.rcvd else 1006
                self._retry_seconds = 60 + random.uniform(0, 30) if code == TOO_MANY else self._retry_seconds
                # After `welcome`, 4401 means an expired token, and a new one may be valid. Before, it will not.
                if code in FINAL_CODES and not (code == 4401 and self._welcomed):
                    raise Refused(code, closed.rcvd.reason if closed.rcvd else "") from None

    async def _send(self, frame: dict[str, Any]) -> None:
        with contextlib.suppress(websockets.ConnectionClosed):  # the reader notices and reconnects
            await (self._connection.send(json.dumps(frame)) if self._connection else asyncio.sleep(0))

    async def _rejoin(self, *rooms: _Room) -> None:
        joins: list[dict[str, Any]] = []
        for room in rooms:
            room.pending = True
            known = {} if room.seq is None else {"since": room.seq, "epoch": room.epoch}
            joins.append({"room": room.name} | {name: value for name, value in known.items() if value is not None})
        for start in range(0, len(joins), JOINS_PER_FRAME):
            await self._send({"type": "join:room", "rooms": joins[start : start + JOINS_PER_FRAME]})

    async def _handle_frame(self, frame: dict[str, Any]) -> None:
        latest_room = next((f"{kind}:{frame[f'{kind}Id']}" for kind in LATEST if f"{kind}Id" in frame), "")
        room = self.rooms.get((frame.get("room") or latest_room).lower())
        match frame["type"]:
            case "welcome":
                self._welcomed = True
                await self._rejoin(*self.rooms.values())
            case "error" if frame["code"] in {"rate_limited", "unavailable"}:
                await asyncio.sleep(random.uniform(0.2, 1))
                await self._rejoin(*([room] if room else [each for each in self.rooms.values() if each.pending]))
            case "heartbeat":
                heads = {name.lower(): head for name, head in frame["heads"].items()}
                behind = [each for key, each in self.rooms.items() if heads.get(key, 0) > (each.seq or 0)]
                await self._rejoin(*(each for each in behind if not each.pending))
            case "token:expiring":
                await self._send({"type": "token:refresh", "token": await self.token()})
            case "drain":
                self._retry_seconds = frame["retryMs"] / 1000
            case _ if room:
                await self._handle_room_frame(room, frame)

    async def _handle_room_frame(self, room: _Room, frame: dict[str, Any]) -> None:
        match frame["type"]:
            case "room:joined":
                self._handle_joined(room, frame)
            case "shipment:update":
                await self._handle_update(room, frame)
            case "driver:location:update" | "export:progress" | "import:progress":
                self._updates.put_nowait(Update(room.name, None, snapshot=frame))
            case "room:left" | "error":
                self.rooms.pop(room.name.lower(), None)
                self._updates.put_nowait(Update(room.name, room.seq, left=frame.get("reason") or frame["code"]))

    def _handle_joined(self, room: _Room, frame: dict[str, Any]) -> None:
        if frame["recovered"]:
            for event in frame["events"]:
                self._emit_event(room, event.get("position", event["seq"]), event)
        else:
            state = {name: frame.get(name) for name in ("seq", "snapshot", "epoch", "reason")}
            self._updates.put_nowait(Update(room.name, **state))
        room.epoch, room.seq, room.pending = frame.get("epoch"), frame.get("seq"), False

    async def _handle_update(self, room: _Room, frame: dict[str, Any]) -> None:
        ahead = frame["seq"] - (room.seq or 0) if frame["epoch"] == room.epoch else None
        if ahead == 1:
            self._emit_event(room, frame["seq"], frame["event"])
        elif (ahead is None or ahead > 1) and not room.pending:  # else it was seen already
            await self._rejoin(room)

    def _emit_event(self, room: _Room, seq: int, event: dict[str, Any]) -> None:
        if room.seq is None or seq == room.seq + 1:
            room.seq = seq
            self._updates.put_nowait(Update(room.name, seq, event, epoch=room.epoch))


async def _print(url: str, token: str, *names: str) -> None:
    async with FreightClient(url, token=lambda: asyncio.sleep(0, token)) as client:
        await client.join(*names)
        async for update in client:
            print(update)


if __name__ == "__main__":
    asyncio.run(_print(*sys.argv[1:]))
