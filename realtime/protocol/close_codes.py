"""The close codes of the socket protocol; docs/protocol.md lists them with what a client should do."""

from enum import IntEnum
from typing import Final


class CloseCode(IntEnum):
    """Why the server closes a socket, from the private range 4000 to 4999 of RFC 6455.

    The last three digits are those of the HTTP status with the nearest meaning.
    """

    PROTOCOL_ERROR = 4400
    UNAUTHENTICATED = 4401
    REVOKED = 4403
    NOT_AUTHENTICATED_IN_TIME = 4408
    TOO_MANY_MESSAGES = 4429
    SLOW_CONSUMER = 4431
    DRAINING = 4503


CLOSE_MEANINGS: Final = {
    CloseCode.PROTOCOL_ERROR: "protocol error",
    CloseCode.UNAUTHENTICATED: "not authenticated, or the credentials have expired",
    CloseCode.REVOKED: "login, key, link, session or account revoked",
    CloseCode.NOT_AUTHENTICATED_IN_TIME: "no authentication in time",
    CloseCode.TOO_MANY_MESSAGES: "too many messages, handshakes or sockets",
    CloseCode.SLOW_CONSUMER: "the client reads too slowly",
    CloseCode.DRAINING: "the server drains or cannot check credentials: reconnect with jitter",
}
