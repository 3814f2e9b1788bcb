"""The other end of the fan-out bench, in a process of its own: many sockets, counted by epoll.

It opens its sockets, says `{"ready": n, "seconds": s}`, and then for each line `{"expect": k}` on its standard
input counts deliveries until k have come, and answers with the times of receipt: median, 95th, 99th, last.
"""

import base64
import itertools
import json
import os
import select
import socket
import struct
import sys
import time
from collections import deque
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
    at_once: int = 64  # on their way in at a time
    first_room: int = 0


def text_frame(text: str) -> bytes:
    """This will return a client's frame; its mask is zero, which is a mask like any other."""
    payload = text.encode()
    size = len(payload)
    head = struct.pack("!BB", 0x81, 0x80 | size) if size < 126 else struct.pack("!BBH", 0x81, 0x80 | 126, size)
    return head + b"\0\0\0\0" + payload


class Opening:
    """One socket on its way into its room."""

    def __init__(self, target: Target, number: int, *, receive_buffer: int = 0) -> None:
        self.line = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer:
            self.line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.line.setblocking(False)
        self.line.connect_ex((target.host, target.port))
        key = base64.b64encode(os.urandom(16)).decode()
        more = "".join(f"{name}: {value}\r\n" for name, value in target.headers.items())
        head = HEAD.format(path=target.path, host=f"{target.host}:{target.port}", key=key, more=more)
        said = [text.replace("{room}", str(target.first_room + number % target.rooms)) for text in target.says]
        self._steps = deque([(head.encode(), b"101 ")])
        self._steps += [
            (text_frame(text) if text else b"", heard.encode())
            for text, heard in zip(said, target.hears, strict=True)
        ]
        self._heard = b""
        self._number = number
        self._begun = False

    def go_on(self) -> bool:
        """This will do what can be done now, and say whether the socket is in its room."""
        if not self._begun:
            self._begun = True  # writable: the connection stands
            self._say()
            return False
        try:
            chunk = self.line.recv(65536)
        except BlockingIOError:
            return False
        if not chunk:
            raise SystemExit(f"socket {self._number} was closed: {self._heard[-300:]!r}")
        self._heard += chunk
        while self._steps and self._steps[0][1] in self._heard:
            self._heard = self._heard.split(self._steps.popleft()[1], 1)[1]
            self._say()
        return not self._steps

    def _say(self) -> None:
        if self._steps and self._steps[0][0]:
            self.line.send(self._steps[0][0])


def open_all(target: Target) -> dict[int, socket.socket]:
    """This will return the sockets by their numbers, opened with a steady crowd on its way in."""
    poll, under_way, opened = select.epoll(), dict[int, Opening](), dict[int, socket.socket]()
    numbers = iter(range(target.sockets))
    deadline = time.monotonic() + DEADLINE_SECONDS
    while len(opened) < target.sockets:
        for number in itertools.islice(numbers, target.at_once - len(under_way)):
            each = Opening(target, number)
            under_way[each.line.fileno()] = each
            poll.register(each.line.fileno(), select.EPOLLOUT)
        if time.monotonic() > deadline:
            raise SystemExit(f"only {len(opened)} of {target.sockets} sockets were opened")
        for fd, _ in poll.poll(1):
            poll.modify(fd, select.EPOLLIN)
            if under_way[fd].go_on():
                poll.unregister(fd)
                opened[fd] = under_way.pop(fd).line
    return opened


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
    lines = open_all(target)
    seconds = time.monotonic() - started
    poll = select.epoll()
    for fd in lines:
        poll.register(fd, select.EPOLLIN)
    print(json.dumps({"ready": len(lines), "seconds": seconds}), flush=True)
    for asked in sys.stdin:
        expect = json.loads(asked)["expect"]
        print(json.dumps(count(lines, poll, target.mark.encode(), expect)), flush=True)


if __name__ == "__main__":
    main()
