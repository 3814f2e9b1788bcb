"""Parse the request that opens a WebSocket.

There are two paths. `parse_whole` takes a request that came in one read and is written as clients write it, by one
regular expression, before Twisted's HTTP channel sees it (ADR 40). Anything else goes through Twisted and Daphne,
which write the request out again, and `parse_rewritten` has the `websockets` library validate it. Where both accept
a request they agree: sent in two pieces a request takes the second path, and tests compare the two.
"""

import logging
import re
from typing import Final, NamedTuple
from urllib.parse import unquote

from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol

# The longest request of the first path; Twisted reads up to 16 KiB.
_MAX_HEAD_BYTES: Final = 8192
# Path and query need no unquoting; names have no underscore, values are ASCII.
_HEAD: Final = re.compile(
    rb"GET (/(?:[\w.~-][\w.~/-]*)?)(?:\?([\w.~/=&%+-]*))? HTTP/1\.1\r\n"
    rb"((?:[A-Za-z][A-Za-z0-9-]*: [!-~](?:[ -~]*[!-~])?\r\n)+)\r\n"
)
_HOST: Final = re.compile(rb"[A-Za-z0-9.-]+(?::[0-9]{1,5})?")
_KEY: Final = re.compile(rb"[A-Za-z0-9+/]{22}==")
_SUBPROTOCOLS: Final = re.compile(rb"[\w.~+-]+(?:, ?[\w.~+-]+)*")
# The offers of browsers; no extension is negotiated.
_EXTENSIONS: Final = frozenset(
    {b"permessage-deflate", b"permessage-deflate; client_max_window_bits"},
)
_CONNECTION: Final = frozenset({b"upgrade", b"keep-alive, upgrade"})
# Headers of a body, and those that Twisted or Daphne acts on.
_UNSUPPORTED_HEADERS: Final = frozenset({b"content-length", b"daphne-root-path", b"expect", b"transfer-encoding"})
_TARGET: Final = re.compile(r"(/[!\"$-~]*?)(?:\?([!\"$-~]*))?")  # no fragment

_log: Final = logging.getLogger("websockets.server")


class HandshakeRequest(NamedTuple):
    """A valid request to open a WebSocket. Header names are in lower case."""

    raw_path: bytes
    query_string: bytes
    headers: list[tuple[bytes, bytes]]
    subprotocols: list[str]
    key: str
    root_path: str | None = None

    @property
    def path(self) -> str:
        """The unquoted path, as in an ASGI scope."""
        return unquote(self.raw_path.decode())


def parse_whole(data: bytes) -> HandshakeRequest | None:
    """Return the handshake request that `data` consists of, None where it is anything else or unusual."""
    head = _HEAD.fullmatch(data) if len(data) <= _MAX_HEAD_BYTES else None
    if head is None:
        return None
    lines = head[3].split(b"\r\n")[:-1]
    fields = {name.lower(): value for name, _, value in (line.partition(b": ") for line in lines)}
    key = fields.get(b"sec-websocket-key", b"")
    offered = fields.get(b"sec-websocket-protocol")
    is_supported = (
        fields.get(b"upgrade", b"").lower() == b"websocket"
        and fields.get(b"connection", b"").lower() in _CONNECTION
        and fields.get(b"sec-websocket-version") == b"13"
        and _KEY.fullmatch(key)
        and _HOST.fullmatch(fields.get(b"host", b""))
        and (offered is None or _SUBPROTOCOLS.fullmatch(offered))
        and fields.get(b"sec-websocket-extensions", b"permessage-deflate") in _EXTENSIONS
        and len(fields) == len(lines)
        and _UNSUPPORTED_HEADERS.isdisjoint(fields)
    )
    if not is_supported:
        return None
    subprotocols = [each.strip() for each in offered.decode().split(",")] if offered else []
    return HandshakeRequest(head[1], head[2] or b"", list(fields.items()), subprotocols, key.decode())


def parse_rewritten(data: bytes) -> HandshakeRequest | Response:
    """Return the handshake request that Daphne has written out, or the response that refuses it.

    Daphne has checked the names and values of the headers and joined those of one name.
    """
    head, _, body = data.partition(b"\r\n\r\n")
    line, *lines = head.decode("latin1").split("\r\n")
    method, target, version = line.split(" ")
    headers = Headers([(name, value.strip()) for name, _, value in (each.partition(":") for each in lines)])
    validator = ServerProtocol(logger=_log)
    response = validator.accept(Request(target, headers, method, version))
    if response.status_code != 101:
        return response
    parts = _TARGET.fullmatch(target)
    if parts is None or body or "host" not in headers:
        return validator.reject(400, "A WebSocket is opened by a path, with a host and without a body.\n")
    root_path = headers.get("daphne-root-path")
    return HandshakeRequest(
        parts[1].encode(),
        (parts[2] or "").encode(),
        [
            (name.lower().encode(), value.encode("latin1"))
            for name, value in headers.raw_items()
            if "_" not in name and name.lower() != "daphne-root-path"  # CVE-2015-0219
        ],
        [each.strip() for each in headers.get("sec-websocket-protocol", "").split(",") if each.strip()],
        headers["sec-websocket-key"],
        unquote(root_path) if root_path is not None else None,
    )
