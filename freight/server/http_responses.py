"""A complete response as the bytes that Daphne and Twisted would write in several steps.

Four fifths of the responses are a status, headers and a body of known length. They are serialized once and sent to
the kernel in one call where nothing is buffered before them; every other response takes Daphne's path.
"""

from functools import lru_cache
from typing import Any, Final

from twisted.web.http import NO_BODY_CODES, RESPONSES
from twisted.web.http_headers import Headers

from freight.server import transport_buffer

_LENGTH: Final = b"Content-Length"


def serialize_response(request: Any, head: dict[str, Any], body: bytes) -> bytes | None:
    """Return a response as bytes, None where it takes Daphne's path (HEAD, pipelined, chunked, unusual headers)."""
    if request.method == b"HEAD" or request.queued or any(request.responseHeaders.getAllRawHeaders()):
        return None
    code = head["status"]
    fields = {_canonical_name(name): value for name, value in head.get("headers", ())}
    if _LENGTH not in fields or len(fields) != len(head["headers"]):
        return None  # chunked; or a repeated header
    if request.server.server_name:
        fields.setdefault(b"Server", request.server.server_name.encode())
    lines = [b"%s %d %s" % (request.clientproto, code, RESPONSES.get(code, b"Unknown Status"))]
    lines += [name + b": " + value for name, value in fields.items()]
    text = b"\r\n".join(lines)
    if text.count(b"\n") != len(fields) or text.count(b"\r") != len(fields):
        return None  # a line break within a value
    return text + b"\r\n\r\n" + (b"" if code in NO_BODY_CODES else body)


def write_now(transport: Any, data: bytes) -> None:
    """Send bytes to the kernel at once where nothing is buffered; the transport sends the rest."""
    sent = 0
    if not transport_buffer.buffered_bytes(transport) and transport.connected and not transport.disconnecting:
        try:
            sent = transport.socket.send(data)
        except OSError:
            sent = 0  # full; or broken, which the transport will find and report
    if sent < len(data):
        transport.write(data[sent:] if sent else data)


@lru_cache(maxsize=512)
def _canonical_name(name: bytes) -> bytes:
    """Return a header name in Twisted's capitalisation."""
    headers = Headers()
    headers.addRawHeader(name, b"")
    return next(iter(headers.getAllRawHeaders()))[0]
