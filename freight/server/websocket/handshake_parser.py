"""The opening of a WebSocket, read at once where it is written as clients write it.

Twisted would take it apart line by line, Daphne make a request of it and write it out again, and Autobahn read it
a second time: a quarter of what a connect costs. Whatever is out of the ordinary goes that way still, so that there
is one judge of what is wrong. Of what is right both say the same: sent in two pieces an opening goes the long way,
and tests hold the two against each other.
"""

import re
from typing import Final, NamedTuple

# What stands in one read; the rest of Twisted's 16 KiB is its own.
_MAX_HEAD_BYTES: Final = 8192
# Path and query need no unquoting and no second thought; names have no underscore, values are ASCII.
_HEAD: Final = re.compile(
    rb"GET (/(?:[\w.~-][\w.~/-]*)?)(?:\?([\w.~/=&%+-]*))? HTTP/1\.1\r\n"
    rb"((?:[A-Za-z][A-Za-z0-9-]*: [!-~](?:[ -~]*[!-~])?\r\n)+)\r\n"
)
_HOST: Final = re.compile(rb"[A-Za-z0-9.-]+(?::[0-9]{1,5})?")
_ORIGIN: Final = re.compile(rb"https?://[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*(?::[0-9]{1,4})?")
_KEY: Final = re.compile(rb"[A-Za-z0-9+/]{22}==")
_PROTOCOLS: Final = re.compile(rb"[\w.~+=/-]+(?:, ?[\w.~+=/-]+)*")
# What browsers offer; none of it is taken up.
_EXTENSIONS: Final = frozenset(
    {b"permessage-deflate", b"permessage-deflate; client_max_window_bits"},
)
_CONNECTION: Final = frozenset({b"upgrade", b"keep-alive, upgrade"})
# A body, or what Twisted and Daphne themselves act on.
_UNSUPPORTED_HEADERS: Final = frozenset({b"content-length", b"daphne-root-path", b"expect", b"transfer-encoding"})


class HandshakeRequest(NamedTuple):
    """What a client asks for. Header names are in lower case."""

    path: bytes
    query: bytes
    headers: list[tuple[bytes, bytes]]
    subprotocols: list[str]
    key: str


def parse(data: bytes) -> HandshakeRequest | None:
    """Return the opening that `data` is, None where it is something else or out of the ordinary."""
    head = _HEAD.fullmatch(data) if len(data) <= _MAX_HEAD_BYTES else None
    if head is None:
        return None
    lines = head[3].split(b"\r\n")[:-1]
    fields = {name.lower(): value for name, _, value in (line.partition(b": ") for line in lines)}
    key = fields.get(b"sec-websocket-key", b"")
    protocols = fields.get(b"sec-websocket-protocol")
    is_supported = (
        fields.get(b"upgrade", b"").lower() == b"websocket"
        and fields.get(b"connection", b"").lower() in _CONNECTION
        and fields.get(b"sec-websocket-version") == b"13"
        and _KEY.fullmatch(key)
        and _HOST.fullmatch(fields.get(b"host", b""))
        and (b"origin" not in fields or _ORIGIN.fullmatch(fields[b"origin"]))
        and (protocols is None or _PROTOCOLS.fullmatch(protocols))
        and fields.get(b"sec-websocket-extensions", b"permessage-deflate") in _EXTENSIONS
        and len(fields) == len(lines)
        and _UNSUPPORTED_HEADERS.isdisjoint(fields)
    )
    subprotocols = [each.strip() for each in protocols.decode().split(",")] if is_supported and protocols else []
    if not is_supported or len(set(subprotocols)) < len(subprotocols):
        return None
    return HandshakeRequest(head[1], head[2] or b"", list(fields.items()), subprotocols, key.decode())
