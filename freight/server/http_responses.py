"""An answer that is there as a whole, as the bytes that Daphne and Twisted would write in several steps.

Four fifths of the answers are: a status, headers, a body with its length. They are put together once and given to
the kernel at once, where nothing waits before them; anything out of the ordinary goes the usual way.
"""

from functools import lru_cache
from typing import Any, Final

from twisted.web.http import NO_BODY_CODES, RESPONSES
from twisted.web.http_headers import Headers

from freight.server import transport_buffer

_LENGTH: Final = b"Content-Length"


def serialize_response(request: Any, head: dict[str, Any], body: bytes) -> bytes | None:
    """Return the answer to a request as it stands on the wire, None where it is not an ordinary one."""
    if request.method == b"HEAD" or request.queued or any(request.responseHeaders.getAllRawHeaders()):
        return None
    code = head["status"]
    fields = {_canonical_name(name): value for name, value in head.get("headers", ())}
    if _LENGTH not in fields or len(fields) != len(head["headers"]):
        return None  # sent in chunks; a name that stands twice
    if request.server.server_name:
        fields.setdefault(b"Server", request.server.server_name.encode())
    lines = [b"%s %d %s" % (request.clientproto, code, RESPONSES.get(code, b"Unknown Status"))]
    lines += [name + b": " + value for name, value in fields.items()]
    text = b"\r\n".join(lines)
    if text.count(b"\n") != len(fields) or text.count(b"\r") != len(fields):
        return None  # a value of several lines
    return text + b"\r\n\r\n" + (b"" if code in NO_BODY_CODES else body)


def write_now(transport: Any, data: bytes) -> None:
    """Send what comes next on a connection: to the kernel, what that does not take to the transport."""
    sent = 0
    if not transport_buffer.buffered_bytes(transport) and transport.connected and not transport.disconnecting:
        try:
            sent = transport.socket.send(data)
        except OSError:
            sent = 0  # full; or broken, which the transport meets in its turn and reports
    if sent < len(data):
        transport.write(data[sent:] if sent else data)


@lru_cache(maxsize=512)
def _canonical_name(name: bytes) -> bytes:
    """Return a name as Twisted writes it."""
    headers = Headers()
    headers.addRawHeader(name, b"")
    return next(iter(headers.getAllRawHeaders()))[0]
