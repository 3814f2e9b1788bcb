"""Framing of messages between the pool and a renderer: a JSON head, then byte strings, each length-prefixed.

A message is the number of its parts, then each part behind its length; both are big-endian 32-bit integers.
"""

import struct
from collections.abc import Mapping, Sequence
from typing import IO, Any, Final

import orjson

# A longer part is a protocol error.
MAX_MESSAGE_BYTES: Final = 256 * 1024 * 1024
_LENGTH: Final = struct.Struct(">I")


def send(stream: IO[bytes], head: Mapping[str, Any], pieces: Sequence[bytes] = ()) -> None:
    """Write one message and flush; raises OSError where the other end is closed."""
    parts = [orjson.dumps(head), *pieces]
    stream.write(_LENGTH.pack(len(parts)))
    for part in parts:
        stream.write(_LENGTH.pack(len(part)))
        stream.write(part)
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[dict[str, Any], list[bytes]]:
    """Read one message; raises EOFError where the other end is closed or breaks the protocol."""
    head, *pieces = [_read_exactly(stream, _read_length(stream)) for _ in range(_read_length(stream))]
    message_head: dict[str, Any] = orjson.loads(head)
    return message_head, pieces


def _read_length(stream: IO[bytes]) -> int:
    length = int(_LENGTH.unpack(_read_exactly(stream, _LENGTH.size))[0])
    if length > MAX_MESSAGE_BYTES:
        raise EOFError(f"a part of {length:,} bytes is no message of the pool")
    return length


def _read_exactly(stream: IO[bytes], length: int) -> bytes:
    chunk = stream.read(length)
    if len(chunk) < length:
        raise EOFError("the other end is closed")
    return chunk
