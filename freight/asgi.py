"""The ASGI application: health checks first, then WebSockets and event streams, the fast path, and Django."""

# ruff: noqa: E402  the imports below need the loaded apps

import os
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "freight.settings")
django.setup(set_prefix=False)

from channels.routing import ProtocolTypeRouter

from freight import health
from freight.fast_path.application import FastPathApplication
from freight.server.django_handler import SingleThreadHandler
from monitoring.dependencies import deadlines
from monitoring.health.endpoints import Application
from ratelimits import overrides
from realtime.connections.consumers import SocketConsumer
from realtime.sse.application import StreamApplication

_WEBSOCKET_PATHS = frozenset({"/ws", "/ws/"})


async def _refuse(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Refuse a WebSocket handshake at an unknown path with 403; the router would raise."""
    await receive()
    await send({"type": "websocket.close"})


# From the outside in: whatever needs no Django request comes first.
_http = health.application(StreamApplication(FastPathApplication(SingleThreadHandler())))
_router: Application = ProtocolTypeRouter({"http": _http, "websocket": _refuse})


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Serve one request or WebSocket under the request's budgets; the first starts polling the limit overrides."""
    overrides.start_polling()
    if scope["type"] == "websocket" and scope["path"] in _WEBSOCKET_PATHS:
        # Not through the router: its frame would keep the handshake's scope for as long as the WebSocket lives.
        consumer = SocketConsumer()(scope, receive, send)
        del scope, receive, send
        await consumer
        return
    if scope["type"] != "http":
        await _router(scope, receive, send)
        return
    with deadlines.request_budget():
        await _router(scope, receive, send)
