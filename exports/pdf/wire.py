"""How one speaks with a renderer: a JSON head, then pieces of bytes, each behind its length."""

import struct
from collections.abc import Mapping, Sequence
from typing import IO, Any, Final

import orjson

# Longer is no message of ours.
MOST_BYTES: Final = 256 * 1024 * 1024
_NUMBER: Final = struct.Struct(">I")


def send(stream: IO[bytes], head: Mapping[str, Any], pieces: Sequence[bytes] = ()) -> None:
    """This will write one message; raises OSError where nobody reads it."""
    parts = [orjson.dumps(head), *pieces]
    stream.write(_NUMBER.pack(len(parts)))
    for part in parts:
        stream.write(_NUMBER.pack(len(part)))
        stream.write(part)
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[dict[str, Any], list[bytes]]:
    """This will read one message; raises EOFError where the other side is gone."""
    head, *pieces = [_exactly(stream, _number(stream)) for _ in range(_number(stream))]
    read: dict[str, Any] = orjson.loads(head)
    return read, pieces


def _number(stream: IO[bytes]) -> int:
    number = int(_NUMBER.unpack(_exactly(stream, _NUMBER.size))[0])
    if number > MOST_BYTES:
        raise EOFError("the other side does not speak this language")
    return number


def _exactly(stream: IO[bytes], length: int) -> bytes:
    found = stream.read(length)
    if len(found) < length:
        raise EOFError("the other side is gone")
    return found
