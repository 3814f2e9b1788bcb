"""The servers of the fan-out bench: Freight, and what others would have built, each with a way to publish."""

import asyncio
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import httpx
import msgpack
import psutil
import redis

from tests.bench.fanout.load_generator import Target
from tests.drills.harness import process
from tests.drills.harness.environment import ROOT, database_url, free_port
from tests.drills.harness.process import Handle, SpawnLauncher

HERE: Final = Path(__file__).parent
MARK: Final = "shipment:update"
# The limiter works as usual; one user opens all sockets from one address.
LIMITS: Final = {
    "RATE_LIMIT_SOCKETS_PER_USER": "100000",
    "RATE_LIMIT_SOCKETS_PER_ADDRESS": "100000",
    "RATE_LIMIT_WS_CONNECT_MAX": "1000000",
}


class Peer(ABC):
    """One server under measurement. `frames` are what Freight itself would send, by room."""

    name: str

    def __init__(self, folder: Path, redis_url: str) -> None:
        self.folder, self.redis_url = folder, redis_url
        self.port = free_port()
        self.process: Handle | None = None

    @property
    def _log(self) -> Path:
        return self.folder / f"{self.name}.log"

    def command(self) -> tuple[list[str], dict[str, str]]:
        """Return what starts the server, and its further environment."""
        raise NotImplementedError

    def launch(self) -> Handle:
        """Start the server without waiting for it."""
        command, more = self.command()
        with self._log.open("wb") as output:
            return subprocess.Popen(command, cwd=ROOT, env=os.environ | more, stdout=output, stderr=output)

    @abstractmethod
    def target(self, *, sockets: int, rooms: int) -> Target:
        """Return how its sockets are opened."""

    @abstractmethod
    def publish(self, frames: Sequence[tuple[int, bytes]]) -> None:
        """Publish frames to rooms, from this process, as fast as it can."""

    def flood(self, frames: Sequence[tuple[int, bytes]]) -> None:
        """Publish more than the product's publisher queues."""
        self.publish(frames)

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self.process = self.launch()
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                self.check_listening()
            except httpx.TransportError:
                time.sleep(0.1)
            else:
                return
        raise SystemExit(f"{self.name} did not start: {self._log.read_text()[-2000:]}")

    def check_listening(self) -> None:
        """Make any request; raises httpx.TransportError where nothing listens."""
        httpx.get(f"http://127.0.0.1:{self.port}/", timeout=1)

    def descriptors(self) -> int:
        """Return how many descriptors it may have open."""
        assert self.process
        return int(psutil.Process(self.process.pid).rlimit(psutil.RLIMIT_NOFILE)[0])

    def stop(self) -> None:
        """End the server."""
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def cpu_seconds(self) -> float:
        """Return the CPU time that the server's threads have used so far, to the microsecond.

        The usual figure comes in steps of 10 ms, which is longer than many a turn.
        """
        assert self.process
        tasks = Path(f"/proc/{self.process.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9

    def memory(self) -> int:
        """Return its resident memory in bytes."""
        assert self.process
        return int(psutil.Process(self.process.pid).memory_info().rss)


class Textbook(Peer):
    """Channels as in its tutorial, on Daphne, over the pub/sub layer."""

    name = "textbook"

    def command(self) -> tuple[list[str], dict[str, str]]:
        module = "tests.bench.fanout.textbook.asgi:application"
        daphne = [sys.executable, "-m", "daphne", "-p", str(self.port), "-v", "0", module]
        return daphne, {"BENCH_REDIS": self.redis_url}

    def target(self, *, sockets: int, rooms: int) -> Target:
        return Target("127.0.0.1", self.port, "/ws/", {}, MARK, ["{room}"], ["joined"], rooms, sockets)

    def publish(self, frames: Sequence[tuple[int, bytes]]) -> None:
        from channels_redis.pubsub import RedisPubSubChannelLayer  # needs settings

        async def send() -> None:
            layer = RedisPubSubChannelLayer(hosts=[self.redis_url])
            for room, frame in frames:
                await layer.group_send(f"bench_{room}", {"type": "update", "text": frame.decode()})
            await layer.flush()

        asyncio.run(send())


class SocketIo(Peer):
    """Node, socket.io and its Redis adapter: what the replaced system used."""

    name = "socket.io"

    def command(self) -> tuple[list[str], dict[str, str]]:
        script = self.folder / "node" / "socketio.mjs"
        return ["node", str(script), str(self.port), self.redis_url], {}

    def target(self, *, sockets: int, rooms: int) -> Target:
        path = "/socket.io/?EIO=4&transport=websocket"
        says, hears = ["40", '42["join","{room}"]'], ['0{"sid"', '40{"sid"', '42["joined"']
        return Target("127.0.0.1", self.port, path, {}, MARK, ["", *says], hears, rooms, sockets)

    def publish(self, frames: Sequence[tuple[int, bytes]]) -> None:
        client = redis.Redis.from_url(self.redis_url)
        for room, frame in frames:
            packet = {"type": 2, "data": ["u", json.loads(frame)], "nsp": "/"}
            options = {"rooms": [str(room)], "except": [], "flags": {}}
            client.publish(f"socket.io#/#{room}#", msgpack.packb(["bench", packet, options]))


class Bun(Peer):
    """Bun's own server, uWebSockets inside."""

    name = "bun"

    def command(self) -> tuple[list[str], dict[str, str]]:
        bun = self.folder / "node" / "node_modules" / ".bin" / "bun"
        return [str(bun), str(self.folder / "node" / "bun.js"), str(self.port), self.redis_url], {}

    def target(self, *, sockets: int, rooms: int) -> Target:
        return Target("127.0.0.1", self.port, "/", {}, MARK, ["{room}"], ["joined"], rooms, sockets)

    def publish(self, frames: Sequence[tuple[int, bytes]]) -> None:
        client = redis.Redis.from_url(self.redis_url)
        for room, frame in frames:
            client.publish("bench", f"{room} ".encode() + frame)


class Freight(Peer):
    """This product with everything on: authentication, limits, metrics, the event log."""

    name = "freight"

    def __init__(
        self,
        folder: Path,
        redis_url: str,
        *,
        token: str,
        prefix: str,
        hint: Callable[[int, bytes], None],
        message: Callable[[int, bytes], tuple[str, dict[str, Any]]],
    ) -> None:
        super().__init__(folder, redis_url)
        self._token, self._prefix, self._hint, self._message = token, prefix, hint, message
        self.unix: Path | None = None

    def launch(self) -> Handle:
        role = process.ws(unix=self.unix) if self.unix else process.ws(port=self.port)
        launcher = SpawnLauncher({"DATABASE_URL": database_url(), **LIMITS})
        return launcher.launch(role, log=self._log)

    def check_listening(self) -> None:
        if self.unix is None:
            super().check_listening()
            return
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(self.unix))) as http:
            http.get("http://freight/", timeout=1)

    def target(self, *, sockets: int, rooms: int) -> Target:
        join = json.dumps({"type": "join:room", "shipmentId": f"{self._prefix}-{{room}}"})
        headers = {"Authorization": self._token, "Sec-WebSocket-Protocol": "freight.v1"}
        return Target(
            "127.0.0.1",
            self.port,
            "/ws/",
            headers,
            MARK,
            ["", join],
            ['"welcome"', '"room:joined"'],
            rooms,
            sockets,
        )

    def publish(self, frames: Sequence[tuple[int, bytes]]) -> None:
        for room, frame in frames:
            self._hint(room, frame)

    def flood(self, frames: Sequence[tuple[int, bytes]]) -> None:
        from channels.layers import get_channel_layer  # needs settings

        messages = [self._message(room, frame) for room, frame in frames]

        async def send() -> None:
            layer = get_channel_layer()
            for group, message in messages:
                await layer.group_send(group, message)
            await layer.flush()

        asyncio.run(send())


def install_node(folder: Path) -> None:
    """Install the peers' packages by npm, beside the bench's data."""
    node = folder / "node"
    node.mkdir(exist_ok=True)
    for name in ("package.json", "socketio.mjs", "bun.js"):
        shutil.copy(HERE / name, node / name)
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit("The peers of this bench run on node: install nodejs and npm.")
    subprocess.run([npm, "install", "--no-audit", "--no-fund", "--loglevel=error"], cwd=node, check=True)


class LoadProcess:
    """The load process of one peer."""

    def __init__(self, target: Target) -> None:
        self._port = target.port
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.fanout.load_generator", json.dumps(dataclasses.asdict(target))],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.opened = self._read()

    def expect(self, count: int) -> None:
        """Begin to count deliveries."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"expect": count}) + "\n")
        self._process.stdin.flush()

    def wait_for_deliveries(self) -> dict[str, Any]:
        """Wait until all expected deliveries came, and return their times."""
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"the load process of {self._port} has ended")
        read: dict[str, Any] = json.loads(line)
        return read

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
