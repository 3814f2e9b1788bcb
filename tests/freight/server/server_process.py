"""Our server in a process of its own, and clients that behave badly on purpose."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

ROOT = Path(__file__).resolve().parents[3]
UPGRADE = (
    b"GET %s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@dataclass
class ServerProcess:
    """A running server."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ws(self, path: str) -> str:
        return f"ws://127.0.0.1:{self.port}{path}"

    def state(self) -> dict[str, Any]:
        answer: dict[str, Any] = httpx.get(f"{self.url}/state", timeout=60).json()
        return answer

    @property
    def rss(self) -> int:
        return int(psutil.Process(self.process.pid).memory_info().rss)

    def connect(self, *, receive_buffer: int = 0) -> socket.socket:
        """Return a plain connection, with a small buffer where it is to fill up soon."""
        client = socket.socket()
        if receive_buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.settimeout(60)
        client.connect(("127.0.0.1", self.port))
        return client

    def upgrade(self, path: bytes, **options: Any) -> socket.socket:
        """Return a connection that has become a WebSocket, to be read and written by hand."""
        client = self.connect(**options)
        client.sendall(UPGRADE % path)
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += receive(client, 1)
        assert answer.startswith(b"HTTP/1.1 101"), answer
        return client


@contextlib.contextmanager
def run_server(folder: Path, *, drain_seconds: float = 10, stalled_seconds: float = 60) -> Iterator[ServerProcess]:
    """Serve the applications while the block runs."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    log = folder / f"served-{port}.log"
    command = [
        sys.executable,
        "-m",
        "tests.freight.server.asgi_applications",
        str(port),
        str(drain_seconds),
        str(stalled_seconds),
    ]
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=ROOT, env=dict(os.environ), stdout=out, stderr=out)
    served = ServerProcess(port, process, log)
    try:
        assert wait_until(90, lambda: process.poll() is not None or _is_up(served)), log.read_text()
        assert process.poll() is None, log.read_text()
        yield served
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)


def _is_up(served: ServerProcess) -> bool:
    try:
        return httpx.get(f"{served.url}/state", timeout=2).status_code == 200
    except httpx.TransportError:
        return False


def wait_until(seconds: float, done: Callable[[], bool]) -> bool:
    """Whether something comes true in time."""
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def receive(client: socket.socket, max_bytes: int) -> bytes:
    """The next bytes; fails where the server has hung up, which would be read as nothing for ever."""
    block = client.recv(max_bytes)
    assert block, "the server has hung up"
    return block


def client_frame(payload: bytes, *, opcode: int = 1, final: bool = True) -> bytes:
    """A client's frame, by a mask of zeros."""
    first, length = opcode | (0x80 if final else 0), len(payload)
    if length < 126:
        head = bytes((first, 0x80 | length))
    elif length < 65536:
        head = bytes((first, 0x80 | 126)) + length.to_bytes(2, "big")
    else:
        head = bytes((first, 0x80 | 127)) + length.to_bytes(8, "big")
    return head + bytes(4) + payload


def parse_frames(stream: bytes) -> list[tuple[int, bytes]]:
    """The whole frames (opcode, payload) that stand in a server's bytes."""
    parsed, at = [], 0
    while at + 2 <= len(stream):
        length, head = stream[at + 1], 2
        if length == 126:
            length, head = int.from_bytes(stream[at + 2 : at + 4], "big"), 4
        elif length == 127:
            length, head = int.from_bytes(stream[at + 2 : at + 10], "big"), 10
        if at + head + length > len(stream):
            break
        parsed.append((stream[at] & 0x0F, stream[at + head : at + head + length]))
        at += head + length
    return parsed


def read_all(client: socket.socket) -> bytes:
    """Everything until the other side ends, however it does."""
    data = b""
    with contextlib.suppress(ConnectionError):
        while block := client.recv(1 << 20):
            data += block
    return data
