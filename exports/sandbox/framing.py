"""How one speaks with a renderer: a JSON head, then pieces of bytes, each behind its length."""

import struct
from collections.abc import Mapping, Sequence
from typing import IO, Any, Final

import orjson

# Longer is no message of ours.
MAX_MESSAGE_BYTES: Final = 256 * 1024 * 1024
_LENGTH: Final = struct.Struct(">I")


def send(stream: IO[bytes], head: Mapping[str, Any], pieces: Sequence[bytes] = ()) -> None:
    """Write one message; raises OSError where nobody reads it."""
    parts = [orjson.dumps(head), *pieces]
    stream.write(_LENGTH.pack(len(parts)))
    for part in parts:
        stream.write(_LENGTH.pack(len(part)))
        stream.write(part)
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[dict[str, Any], list[bytes]]:
    """Read one message; raises EOFError where the other side is gone."""
    head, *pieces = [_read_exactly(stream, _read_length(stream)) for _ in range(_read_length(stream))]
    message_head: dict[str, Any] = orjson.loads(head)
    return message_head, pieces


def _read_length(stream: IO[bytes]) -> int:
    length = int(_LENGTH.unpack(_read_exactly(stream, _LENGTH.size))[0])
    if length > MAX_MESSAGE_BYTES:
        raise EOFError("the other side does not speak this language")
    return length


def _read_exactly(stream: IO[bytes], length: int) -> bytes:
    chunk = stream.read(length)
    if len(chunk) < length:
        raise EOFError("the other side is gone")
    return chunk
