"""The header of a server's data frame. Servers do not mask, so one encoding serves every socket."""

import struct
from typing import Final

_FINAL_TEXT: Final = 0x81
_FINAL_BINARY: Final = 0x82


def encode_frame(payload: bytes, *, binary: bool = False) -> bytes:
    """Return the payload behind a header of RFC 6455, section 5.2: final, unmasked, without extensions."""
    first, length = _FINAL_BINARY if binary else _FINAL_TEXT, len(payload)
    if length < 126:
        return bytes((first, length)) + payload
    if length < 65536:
        return struct.pack("!BBH", first, 126, length) + payload
    return struct.pack("!BBQ", first, 127, length) + payload
