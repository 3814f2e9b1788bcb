"""The other end of the fan-out bench, in a process of its own: many sockets, counted by epoll.

It opens its sockets, says `{"ready": n, "seconds": s}`, and then for each line `{"expect": k}` on its standard
input counts deliveries until k have come, and answers with the times of receipt: median, 95th, 99th, last.
"""

import base64
import json
import os
import select
import socket
import struct
import sys
import time
from dataclasses import dataclass

DEADLINE_SECONDS = 120.0
HEAD = (
    "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n{more}\r\n"
)


@dataclass(frozen=True)
class Target:
    """How a server is entered, and how a delivery of it is told from the rest."""

    host: str
    port: int
    path: str
    headers: dict[str, str]
    mark: str  # stands once in every frame that counts
    says: list[str]  # sent after the handshake; {room} is the socket's room
    hears: list[str]  # waited for, one after each of `says` (or the handshake)
    rooms: int
    sockets: int


def text_frame(text: str) -> bytes:
    """This will return a client's frame; its mask is zero, which is a mask like any other."""
    payload = text.encode()
    size = len(payload)
    head = struct.pack("!BB", 0x81, 0x80 | size) if size < 126 else struct.pack("!BBH", 0x81, 0x80 | 126, size)
    return head + b"\0\0\0\0" + payload


def opened(target: Target, number: int) -> socket.socket:
    """This will return a socket that is in its room."""
    line = socket.create_connection((target.host, target.port), timeout=30)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    key = base64.b64encode(os.urandom(16)).decode()
    more = "".join(f"{name}: {value}\r\n" for name, value in target.headers.items())
    line.sendall(HEAD.format(path=target.path, host=f"{target.host}:{target.port}", key=key, more=more).encode())
    heard = b""
    steps = ["101 ", *target.hears]
    says = ["", *target.says]
    for step, said in zip(steps, [*says, *[""] * len(steps)], strict=False):
        if said:
            line.sendall(text_frame(said.replace("{room}", str(number % target.rooms))))
        while step.encode() not in heard:
            chunk = line.recv(65536)
            if not chunk:
                raise SystemExit(f"socket {number} was closed: {heard[-300:]!r}")
            heard += chunk
        heard = heard.split(step.encode(), 1)[1]
    line.setblocking(False)
    return line


def count(lines: dict[int, socket.socket], poll: select.epoll, mark: bytes, expect: int) -> dict[str, float]:
    """This will read until so many marks came, and return when the median, 95th, 99th and last came."""
    tails = dict.fromkeys(lines, b"")
    keep = len(mark) - 1
    times: list[tuple[float, int]] = []
    seen = 0
    deadline = time.monotonic() + DEADLINE_SECONDS
    while seen < expect:
        if time.monotonic() > deadline:
            raise SystemExit(f"only {seen} of {expect} came")
        for fd, _ in poll.poll(1):
            chunk = lines[fd].recv(262144)
            if not chunk:
                raise SystemExit("a socket was closed")
            text = tails[fd] + chunk
            tails[fd] = text[-keep:]
            if found := text.count(mark):
                seen += found
                times.append((time.monotonic(), found))
    return {"count": seen} | {name: _at(times, seen * share) for name, share in SHARES.items()}


SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "last": 1.0}


def _at(times: list[tuple[float, int]], nth: float) -> float:
    seen = 0
    for at, found in times:
        seen += found
        if seen >= nth:
            return at
    return times[-1][0]


def main() -> None:
    """This will open the sockets and serve the counts."""
    target = Target(**json.loads(sys.argv[1]))
    started = time.monotonic()
    lines = [opened(target, number) for number in range(target.sockets)]
    poll = select.epoll()
    by_fd = {line.fileno(): line for line in lines}
    for fd in by_fd:
        poll.register(fd, select.EPOLLIN)
    print(json.dumps({"ready": len(lines), "seconds": time.monotonic() - started}), flush=True)
    for asked in sys.stdin:
        expect = json.loads(asked)["expect"]
        print(json.dumps(count(by_fd, poll, target.mark.encode(), expect)), flush=True)


if __name__ == "__main__":
    main()
