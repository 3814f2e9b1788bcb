"""One restore before clients of every door: each is told another epoch, and ends as the database."""

import asyncio
import contextlib
import signal
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import orjson
import psycopg

from tests.drills.clients import subscribers
from tests.drills.clients.http_client import HttpClient, NoResponse, NotSent
from tests.drills.clients.subscribers import FEED, RoomRecord, Subscriber
from tests.drills.harness.product_stage import API_ROLES, WS_ROLES, ProductStage
from tests.drills.restores.backups import Backup
from tests.drills.restores.client_libraries import LIBRARIES, Client

_ROLES: Final = (*API_ROLES, *WS_ROLES, "relay")
_WAIT_SECONDS: Final = 30.0
_LOG: Final = """
SELECT event.id::text FROM shipments_shipmentevent event JOIN shipments_shipment shipment
    ON shipment.id = event.shipment_id WHERE shipment.reference = %s ORDER BY event.seq
"""


@dataclass(slots=True)
class Evidence:
    """What became of one restore; `doors` says of each whether it told the client, `broken` which did not."""

    kind: str
    restarted: bool
    doors: dict[str, bool] = field(default_factory=dict)
    seconds: float = 0.0
    broken: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether every door told its client."""
        return bool(self.doors) and not self.broken

    def expect(self, door: str, holds: bool, found: object) -> None:
        """Note what a door did."""
        self.doors[door] = holds
        if not holds:
            self.broken.append(f"{door}: {found!r:.300}")

    def as_json(self) -> dict[str, Any]:
        """Return the evidence as one JSON object."""
        return {"drill": "restore", "holds": self.holds} | asdict(self)


class Restore:
    """One restore on a stage, with a shipment of its own."""

    def __init__(self, stage: ProductStage, kind: type[Backup], *, restart: bool) -> None:
        self.stage, self._kind, self._restart = stage, kind, restart
        self.reference = f"R-{uuid.uuid4().hex[:8].upper()}"
        self.room = f"shipment:{self.reference}"
        self._key = stage.seeded.api_keys[0]
        self._client = HttpClient(stage.port, self._key)
        self.evidence = Evidence(kind.__name__, restart)

    async def run(self) -> Evidence:
        """Back up, write one history, restore, write another one, and ask every door."""
        began = time.monotonic()
        await self._book()
        await self._amend(1)
        await self._wait_until(self._is_numbered)
        backup = self._kind(self.stage.database)
        live = Subscriber(self.stage.port, self._key, [self.room, FEED], seed=self.reference)
        live.start()
        await subscribers.wait_until_synced([live], _WAIT_SECONDS)
        libraries = contextlib.AsyncExitStack()
        try:
            followers = await self._follow(libraries)
            for pieces in (101, 102, 103):
                await self._amend(pieces)
            before = await self._cursors()
            await self._put_back(backup)
            for pieces in (901, 902, 903):
                await self._amend(pieces)
            await self._wait_until(self._is_numbered)
            await self._wait_until(lambda: self._has_another_epoch(before["epoch"]))
            await self._check_sockets(live, before)
            await self._check_libraries(followers, before, libraries)
            await self._check_streams(before)
            await self._check_rest(before)
        finally:
            await libraries.aclose()
            await live.stop()
            await self._client.close()
        self.evidence.seconds = round(time.monotonic() - began, 1)
        return self.evidence

    # -- what happens -------------------------------------------------------------------------------------

    async def _book(self) -> None:
        item = {"op": "create", "reference": self.reference, "origin": "NLRTM", "destination": "DEHAM"}
        answer = await self._client.request("POST", "/api/shipments/bulk", {"items": [item | {"status": "booked"}]})
        if answer.status != 200 or answer.json()["failed"]:
            raise RuntimeError(f"Not booked: {answer.status} {answer.body[:300]!r}")

    async def _amend(self, pieces: int) -> Any:
        """Amend the shipment under a key that is the same for the same value; tried again while nothing answers."""
        path, key = f"/api/shipments/{self.reference}", f"{self.reference}-{pieces}"

        async def is_done() -> bool:
            try:
                self._answer = await self._client.request(
                    "PATCH", path, {"pieces": pieces}, If_Match="*", Idempotency_Key=key
                )
            except (NotSent, NoResponse):
                return False
            return self._answer.status == 200

        await self._wait_until(is_done)
        return self._answer.json()

    async def _put_back(self, backup: Backup) -> None:
        processes = [self.stage[name] for name in _ROLES]
        if self._restart:
            for process in processes:
                process.signal(signal.SIGTERM)
            for process in processes:
                await process.gone()
        backup.restore()
        if self._restart:
            for process in processes:
                process.launch()
            for process in processes:
                await process.ready()

    async def _cursors(self) -> dict[str, Any]:
        """Return what a client has of the history so far, once Freight has noted its newest event."""
        await self._wait_until(self._is_numbered)
        shipment = await self._get(f"/api/shipments/{self.reference}")
        log = (await self._get(f"/api/shipments/{self.reference}/events")).json()
        feed = (await self._get("/api/events?limit=1")).json()
        await self._get("/api/shipments?limit=200")
        newest, key = log["events"][-1]["id"], f"freight:history:{log['epoch']}"
        redis: Any = self.stage.valkey.client()  # its stubs do not tell synchronous replies from awaitable ones

        async def is_noted() -> bool:
            return newest in (redis.get(key) or b"").decode()

        try:
            await self._wait_until(is_noted)
        finally:
            redis.close()
        return {
            "epoch": log["epoch"], "seq": log["seq"], "position": feed["seq"], "etag": shipment.headers["etag"],
        }  # fmt: skip

    # -- the doors ----------------------------------------------------------------------------------------

    async def _check_sockets(self, live: Subscriber, before: dict[str, Any]) -> None:
        joining = Subscriber(self.stage.port, self._key, [self.room, FEED], seed="joining")
        for room, last in ((self.room, before["seq"]), (FEED, before["position"])):
            joining.records[room].append(RoomRecord(before["epoch"], last))
        joining.start()
        await subscribers.wait_until_synced([joining], _WAIT_SECONDS)
        expected = self._log_of_database()
        for name, subscriber in (("open socket", live), ("joining socket", joining)):
            self.evidence.expect(name, await self._has_begun_anew(subscriber, before, expected), subscriber.stats)
        await joining.stop()

    async def _has_begun_anew(self, subscriber: Subscriber, before: dict[str, Any], expected: list[str]) -> bool:
        async def is_level() -> bool:
            shipment, feed = (subscriber.current_record(room) for room in (self.room, FEED))
            return (
                shipment is not None
                and feed is not None
                and before["epoch"] not in {shipment.epoch, feed.epoch}
                and shipment.last == len(expected)
                and shipment.ids == expected[shipment.base :]
            )

        try:
            await self._wait_until(is_level, seconds=10)
        except TimeoutError:
            return False
        return subscriber.stats.snapshots["epoch"] >= len(subscriber.records)

    async def _follow(
        self, libraries: contextlib.AsyncExitStack, known: tuple[str, int] | None = None
    ) -> Mapping[str, Client]:
        """Let each client library follow the shipment until the stack is closed."""
        return {
            name: await libraries.enter_async_context(library(self.stage.url, self._key, self.room, known))
            for name, library in LIBRARIES.items()
        }

    async def _check_libraries(
        self, followers: Mapping[str, Client], before: dict[str, Any], libraries: contextlib.AsyncExitStack
    ) -> None:
        resumed = await self._follow(libraries, (before["epoch"], before["seq"]))
        last = len(self._log_of_database())
        for name in followers:
            # An open one may first have been given the restored state, later what was written since.
            for door, client in ((f"{name}, open", followers[name]), (f"{name}, resumed", resumed[name])):
                await self._check_library(door, client, last)

    async def _check_library(self, door: str, client: Client, last: int) -> None:
        async def is_level() -> bool:
            following = await client.following()
            return "epoch" in following.reasons and following.seq == last

        # Both may wait for up to half a minute before they try again.
        with contextlib.suppress(TimeoutError):
            await self._wait_until(is_level, seconds=40)
        self.evidence.expect(door, await is_level(), await client.following())

    async def _check_streams(self, before: dict[str, Any]) -> None:
        streams = {f"/api/shipments/{self.reference}/stream": "seq", "/api/events/stream": "position"}
        for path, cursor in streams.items():
            first = await self._first_stream_event(path, f"{before['epoch']}:{before[cursor]}")
            self.evidence.expect(f"stream {path.rsplit('/', 2)[-2]}", first.get("reason") == "epoch", first)

    async def _first_stream_event(self, path: str, last_event_id: str) -> dict[str, Any]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.stage.port, limit=2**20)
        headers = f"Authorization: Bearer {self._key}\r\nLast-Event-ID: {last_event_id}"
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}\r\n\r\n".encode())
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                while not (line := await reader.readline()).startswith(b"data: "):
                    if not line:
                        return {}
            event: dict[str, Any] = orjson.loads(line.removeprefix(b"data: "))
            return event
        finally:
            writer.close()

    async def _check_rest(self, before: dict[str, Any]) -> None:
        path, epoch = f"/api/shipments/{self.reference}", before["epoch"]
        for wait in (0, 2):
            doors = {
                "shipment's events": f"{path}/events?epoch={epoch}&after={before['seq']}&wait={wait}",
                "feed": f"/api/events?epoch={epoch}&after={before['position']}&wait={wait}",
            }
            for door, url in doors.items():
                body = (await self._get(url)).json()
                told = (body["recovered"], body.get("reason"), body["events"]) == (False, "epoch", [])
                self.evidence.expect(f"{door}, wait {wait}", told, body)
        answer = await self._client.request("GET", path, If_None_Match=before["etag"])
        found = answer.status, answer.json() and answer.json()["pieces"]
        self.evidence.expect("ETag", found == (200, 903), found)
        refused = await self._client.request("PATCH", path, {"pieces": 1}, If_Match=before["etag"])
        self.evidence.expect("If-Match", refused.status == 412, refused.status)
        rows = (await self._get("/api/shipments?limit=200")).json()["results"]
        pieces = [row["pieces"] for row in rows if row["reference"] == self.reference]
        self.evidence.expect("page", pieces == [903], pieces)
        repeated = await self._amend(103)
        found = repeated["pieces"], repeated["seq"]
        self.evidence.expect("Idempotency-Key", found == (103, before["seq"] + 1), found)

    # -- questions ----------------------------------------------------------------------------------------

    async def _get(self, path: str) -> Any:
        answer = await self._client.request("GET", path)
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {answer.body[:300]!r}")
        return answer

    async def _is_numbered(self) -> bool:
        with psycopg.connect(self.stage.database.url) as connection:
            row = connection.execute("SELECT count(*) FROM shipments_unnumberedevent").fetchone()
        return row == (0,)

    async def _has_another_epoch(self, former: str) -> bool:
        answer = await self._client.request("GET", f"/api/shipments/{self.reference}/events")
        return answer.status == 200 and answer.json()["epoch"] != former

    def _log_of_database(self) -> list[str]:
        with psycopg.connect(self.stage.database.url) as connection:
            return [identifier for (identifier,) in connection.execute(_LOG, [self.reference])]

    @staticmethod
    async def _wait_until(condition: Callable[[], Awaitable[bool]], *, seconds: float = _WAIT_SECONDS) -> None:
        async with asyncio.timeout(seconds):
            while not await condition():  # noqa: ASYNC110  it asks the product and the database
                await asyncio.sleep(0.1)
