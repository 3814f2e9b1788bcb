"""A server process with the applications of `asgi_applications`, and raw sockets to misbehave with."""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.drills.harness.environment import ROOT, free_port
from tests.drills.harness.waiting import comes_true

UPGRADE = (
    b"GET %s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@dataclass
class ServerProcess:
    """A running server and its log file."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ws(self, path: str) -> str:
        return f"ws://127.0.0.1:{self.port}{path}"

    def state(self) -> dict[str, Any]:
        """Return the counters of the applications, with memory, processor time and close codes."""
        state: dict[str, Any] = httpx.get(f"{self.url}/state", timeout=60).json()
        return state

    @property
    def rss(self) -> int:
        return int(psutil.Process(self.process.pid).memory_info().rss)

    def connect(self, *, receive_buffer: int = 0) -> socket.socket:
        """Return a TCP connection; a small `receive_buffer` makes the server's writes block soon."""
        client = socket.socket()
        if receive_buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.settimeout(60)
        client.connect(("127.0.0.1", self.port))
        return client

    def upgrade(self, path: bytes, **options: Any) -> socket.socket:
        """Return a TCP connection after the WebSocket handshake."""
        client = self.connect(**options)
        client.sendall(UPGRADE % path)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += receive(client, 1)
        assert head.startswith(b"HTTP/1.1 101"), head
        return client


@contextlib.contextmanager
def run_server(folder: Path, *, drain_seconds: float = 10, stalled_seconds: float = 60) -> Iterator[ServerProcess]:
    """Run a server within a `with` block; it is killed at the end unless it has ended."""
    port = free_port()
    log = folder / f"server-{port}.log"
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
    server_process = ServerProcess(port, process, log)
    try:
        assert comes_true(90, lambda: process.poll() is not None or _is_up(server_process)), log.read_text()
        assert process.poll() is None, log.read_text()
        yield server_process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)


def _is_up(server_process: ServerProcess) -> bool:
    try:
        return httpx.get(f"{server_process.url}/state", timeout=2).status_code == 200
    except httpx.TransportError:
        return False


def receive(client: socket.socket, max_bytes: int) -> bytes:
    """Return the next bytes; fails where the server has closed the connection."""
    block = client.recv(max_bytes)
    assert block, "the server has closed the connection"
    return block


def client_frame(payload: bytes, *, opcode: int = 1, final: bool = True) -> bytes:
    """Return a client's frame, masked with zeros."""
    first, length = opcode | (0x80 if final else 0), len(payload)
    if length < 126:
        head = bytes((first, 0x80 | length))
    elif length < 65536:
        head = bytes((first, 0x80 | 126)) + length.to_bytes(2, "big")
    else:
        head = bytes((first, 0x80 | 127)) + length.to_bytes(8, "big")
    return head + bytes(4) + payload


def parse_frames(stream: bytes) -> list[tuple[int, bytes]]:
    """Return the complete frames, as (opcode, payload), in a server's bytes."""
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
    """Return all bytes until the server closes or resets the connection."""
    data = b""
    with contextlib.suppress(ConnectionError):
        while block := client.recv(1 << 20):
            data += block
    return data
