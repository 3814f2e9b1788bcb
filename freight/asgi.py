"""The ASGI application: health before everything, sockets and streams to the hub, the rest to Django."""

import os
from collections.abc import Awaitable, Callable
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "freight.settings")
django.setup(set_prefix=False)  # loads the apps, which the imports below need

from channels.routing import ProtocolTypeRouter

from freight import health
from freight.fast_path.application import FastPathApplication
from freight.server.django_handler import SingleThreadHandler
from monitoring.dependencies import (
    deadlines,
    redis_deadlines,
)
from ratelimits import overrides
from realtime.connections.consumers import SocketConsumer
from realtime.sse.application import StreamApplication

Application = Callable[[dict[str, Any], Any, Any], Awaitable[None]]

# Where sockets are served.
_WEBSOCKET_PATHS = frozenset({"/ws", "/ws/"})


async def _refuse(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Refuse a socket at an unknown path with 403 instead of an error in the log."""
    await receive()
    await send({"type": "websocket.close"})


# What is served without Django's request comes first, from the outside in.
_http = health.application(StreamApplication(FastPathApplication(SingleThreadHandler())))
_router: Application = ProtocolTypeRouter({"http": _http, "websocket": _refuse})


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Serve one request or socket; the first one lets this process follow changes of the limits."""
    overrides.start_polling()
    if scope["type"] == "websocket" and scope["path"] in _WEBSOCKET_PATHS:
        # Not through the routers: each would stand here, with all of the handshake, as long as the socket lives.
        consumer = SocketConsumer()(scope, receive, send)
        del scope, receive, send
        await consumer
        return
    if scope["type"] != "http":
        await _router(scope, receive, send)
        return
    with deadlines.database_request_budget(), redis_deadlines.redis_request_budget():
        await _router(scope, receive, send)
