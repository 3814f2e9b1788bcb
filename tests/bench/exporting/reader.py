"""Downloads at the speed of the socket: the seconds to the first and to the last byte of the body."""

import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(slots=True)
class Download:
    """One response; times in seconds since the request."""

    status: int
    headers: dict[str, str]
    first: float
    last: float
    size: int


def download(port: int, path: str, headers: Mapping[str, str]) -> Download:
    """Make a request and read the response to its end; raises SystemExit where a chunked body is cut."""
    lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    buffer = bytearray(1 << 20)
    with socket.create_connection(("127.0.0.1", port), timeout=300) as connection:
        began = time.perf_counter()
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        head = b""
        while b"\r\n\r\n" not in head or head.endswith(b"\r\n\r\n"):
            received = connection.recv_into(buffer)
            if not received:
                break
            head += buffer[:received]
        first = time.perf_counter() - began
        head_bytes, _, body = head.partition(b"\r\n\r\n")
        size, tail = len(body), body[-16:]
        while received := connection.recv_into(buffer):
            size += received
            tail = (tail + buffer[max(0, received - 16) : received])[-16:]
        last = time.perf_counter() - began
    result = Download(*_parse_head(head_bytes), first, last, size)
    if result.headers.get("transfer-encoding") == "chunked" and not tail.endswith(b"0\r\n\r\n"):
        raise SystemExit(f"{path} on {port} broke off after {size} bytes")
    return result


def _parse_head(head_bytes: bytes) -> tuple[int, dict[str, str]]:
    first, *others = head_bytes.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in others)
    return int(first.split()[1]), {name.lower(): value.strip() for name, _, value in pairs}
