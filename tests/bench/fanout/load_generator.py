"""The other end of the fan-out bench, in a process of its own: many sockets, counted by epoll.

It opens its sockets, says `{"ready": n, "seconds": s}`, and then for each line `{"expect": k}` on its standard
input counts deliveries until k have come, and answers with the times of receipt: median, 95th, 99th, last.
"""

import base64
import itertools
import json
import os
import re
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
    """How to join rooms of a server, and how to recognise a delivery."""

    host: str
    port: int
    path: str
    headers: dict[str, str]
    marker: str  # occurs once in every delivery
    sent_texts: list[str]  # sent after the handshake; {room} is the socket's room
    expected_replies: list[str]  # one after each of `sent_texts` (or the handshake)
    rooms: int
    sockets: int
    at_once: int = 64  # joining at a time
    first_room: int = 0


def text_frame(text: str) -> bytes:
    """Return a masked frame; its mask is zero, which is a valid mask."""
    payload = text.encode()
    size = len(payload)
    head = struct.pack("!BB", 0x81, 0x80 | size) if size < 126 else struct.pack("!BBH", 0x81, 0x80 | 126, size)
    return head + b"\0\0\0\0" + payload


class PendingSocket:
    """One socket that is joining its room."""

    def __init__(self, target: Target, number: int, *, receive_buffer: int = 0) -> None:
        self.connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection.setblocking(False)
        self.connection.connect_ex((target.host, target.port))
        key = base64.b64encode(os.urandom(16)).decode()
        more = "".join(f"{name}: {value}\r\n" for name, value in target.headers.items())
        head = HEAD.format(path=target.path, host=f"{target.host}:{target.port}", key=key, more=more)
        messages = [
            text.replace("{room}", str(target.first_room + number % target.rooms)) for text in target.sent_texts
        ]
        self._steps = deque([(head.encode(), b"101 ")])
        self._steps += [
            (text_frame(text) if text else b"", heard.encode())
            for text, heard in zip(messages, target.expected_replies, strict=True)
        ]
        self._received = b""
        self._number = number
        self._connected = False

    def advance(self) -> bool:
        """Advance as far as possible without blocking, and return whether the socket has joined its room."""
        if not self._connected:
            self._connected = True  # writable: connected
            self._send_next()
            return False
        try:
            chunk = self.connection.recv(65536)
        except BlockingIOError:
            return False
        if not chunk:
            raise SystemExit(f"socket {self._number} was closed: {self._received[-300:]!r}")
        self._received += chunk
        while self._steps and self._steps[0][1] in self._received:
            self._received = self._received.split(self._steps.popleft()[1], 1)[1]
            self._send_next()
        return not self._steps

    def _send_next(self) -> None:
        if self._steps and self._steps[0][0]:
            self.connection.send(self._steps[0][0])


def open_all(target: Target) -> dict[int, socket.socket]:
    """Open the sockets, `at_once` joining at a time, and return them by descriptor."""
    poll, pending, opened = select.epoll(), dict[int, PendingSocket](), dict[int, socket.socket]()
    numbers = iter(range(target.sockets))
    deadline = time.monotonic() + DEADLINE_SECONDS
    while len(opened) < target.sockets:
        for number in itertools.islice(numbers, target.at_once - len(pending)):
            each = PendingSocket(target, number)
            pending[each.connection.fileno()] = each
            poll.register(each.connection.fileno(), select.EPOLLOUT)
        if time.monotonic() > deadline:
            raise SystemExit(f"only {len(opened)} of {target.sockets} sockets were opened")
        for fd, _ in poll.poll(1):
            poll.modify(fd, select.EPOLLIN)
            if pending[fd].advance():
                poll.unregister(fd)
                opened[fd] = pending.pop(fd).connection
    return opened


class DeliveryCounter:
    """Sockets in their rooms: deliveries are counted, and pings are answered at any time."""

    def __init__(self, connections: dict[int, socket.socket], mark: bytes) -> None:
        self._lines = connections
        self._mark = mark
        assert len(mark) <= _OVERLAP_BYTES
        self._tails = dict.fromkeys(connections, b"")
        self._times: list[tuple[float, int]] = []
        self._buffer = bytearray(_OVERLAP_BYTES + 262144)
        self._free = memoryview(self._buffer)[_OVERLAP_BYTES:]
        self._count = 0
        self.poll = select.epoll()
        for fd in connections:
            self.poll.register(fd, select.EPOLLIN)

    def count(self, expect: int) -> dict[str, float]:
        """Read until `count` markers came, and return when the median, 95th, 99th percentile and last came."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while self._count < expect:
            if time.monotonic() > deadline:
                raise SystemExit(f"only {self._count} of {expect} came")
            for fd, _ in self.poll.poll(1):
                self.read(fd)
        seen, times = self._count, self._times
        self._count, self._times = 0, []
        return {"count": seen} | {name: _time_of(times, seen * share) for name, share in PERCENTILES.items()}

    def read(self, fd: int) -> None:
        """Read what one socket has, behind the rest of a partial marker."""
        buffer, tail = self._buffer, self._tails[fd]
        try:
            end = _OVERLAP_BYTES + self._lines[fd].recv_into(self._free)
        except BlockingIOError:
            return  # another count of the same turn has read it
        if end == _OVERLAP_BYTES:
            raise SystemExit("a socket was closed")
        start = _OVERLAP_BYTES - len(tail)
        buffer[start:_OVERLAP_BYTES] = tail
        # A text that ends here leaves no partial marker.
        self._tails[fd] = (
            b"" if buffer[end - 1] == _BRACE else bytes(buffer[max(start, end - _OVERLAP_BYTES) : end])
        )
        if found := buffer.count(self._mark, start, end):
            self._count += found
            self._times.append((time.monotonic(), found))
        if buffer.find(_PING_BYTE, _OVERLAP_BYTES, end) >= 0:
            self._answer_pings(fd, bytes(buffer[start:end]))

    def _answer_pings(self, fd: int, text: bytes) -> None:
        for ping in _PING.finditer(text):
            payload = ping[1][1:]
            self._lines[fd].send(bytes((0x8A, 0x80 | len(payload))) + b"\0\0\0\0" + payload)
            self._tails[fd] = b""  # answered; a new frame follows


_OVERLAP_BYTES = 16  # bytes of the buffer for a partial marker
_BRACE = ord("}")
_PING_BYTE = b"\x89"
# A ping begins the data or follows a JSON text: within a text its byte never follows a brace.
_PING = re.compile(rb"(?:^|\})\x89(\x00|\x04.{4}|\x0c.{12})", re.DOTALL)
PERCENTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "last": 1.0}


def _time_of(times: list[tuple[float, int]], nth: float) -> float:
    count = 0
    for at, found in times:
        count += found
        if count >= nth:
            return at
    return times[-1][0]


def main() -> None:
    """Open the sockets and serve the counts."""
    target = Target(**json.loads(sys.argv[1]))
    started = time.monotonic()
    counter = DeliveryCounter(open_all(target), target.marker.encode())
    print(json.dumps({"ready": target.sockets, "seconds": time.monotonic() - started}), flush=True)
    counter.poll.register(sys.stdin.fileno(), select.EPOLLIN)
    while True:
        for fd, _ in counter.poll.poll():
            if fd != sys.stdin.fileno():
                counter.read(fd)
                continue
            request = os.read(fd, 65536)  # one line; the next comes after its reply
            if not request:
                return
            counter.poll.unregister(fd)
            print(json.dumps(counter.count(json.loads(request)["expect"])), flush=True)
            counter.poll.register(fd, select.EPOLLIN)


if __name__ == "__main__":
    main()
