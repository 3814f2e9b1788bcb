"""The ASGI application: health before everything, sockets and streams to the hub, the rest to Django."""

import os
from collections.abc import Awaitable, Callable
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "freight.settings")
django.setup(set_prefix=False)  # loads the apps, which the imports below need

from channels.routing import ProtocolTypeRouter  # noqa: E402

from freight import health  # noqa: E402
from freight.handler import SingleThreadHandler  # noqa: E402
from freight.lane import FastPathApplication  # noqa: E402
from monitoring import patience  # noqa: E402
from ratelimits import runtime, waiting  # noqa: E402
from realtime.consumers import SocketConsumer  # noqa: E402
from realtime.streams import StreamApplication  # noqa: E402

Application = Callable[[dict[str, Any], Any, Any], Awaitable[None]]

# Where sockets are served.
_WEBSOCKET_PATHS = frozenset({"/ws", "/ws/"})


async def _refuse(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """This will refuse a socket at an unknown path with 403 instead of an error in the log."""
    await receive()
    await send({"type": "websocket.close"})


# What is served without Django's request comes first, from the outside in.
_http = health.application(StreamApplication(FastPathApplication(SingleThreadHandler())))
_router: Application = ProtocolTypeRouter({"http": _http, "websocket": _refuse})


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """This will serve one request or socket; the first one lets this process follow changes of the limits."""
    runtime.start_polling()
    if scope["type"] == "websocket" and scope["path"] in _WEBSOCKET_PATHS:
        # Not through the routers: each would stand here, with all of the handshake, as long as the socket lives.
        consumer = SocketConsumer()(scope, receive, send)
        del scope, receive, send
        await consumer
        return
    if scope["type"] != "http":
        await _router(scope, receive, send)
        return
    with patience.database_request_budget(), waiting.redis_request_budget():
        await _router(scope, receive, send)
