"""Our Daphne: the server of every role.

uvloop under Twisted's reactor, a deep listen backlog, and `hardened.HardenedDaphne`.
"""

import gc
import os
import resource
import sys
from pathlib import Path
from typing import Any, Final, Literal

import structlog

Role = Literal["api", "ws", "all"]
BACKLOG: Final = 4096
# How long requests under way may take once the process is told to stop.
DRAIN_SECONDS: Final = 10.0
# When the garbage collector looks: at what is new after so many objects, at more every 10th time. Python's own
# 700 have it walk through all open sockets again and again while others come: a third of the time of a connect.
_GC_THRESHOLDS: Final = (10_000, 10, 10)

log = structlog.get_logger(__name__)


def run(
    role: Role,
    *,
    unix: str | None = None,
    host: str | None = None,
    port: int | None = None,
    drain_seconds: float = DRAIN_SECONDS,
) -> None:
    """Serve one role on a unix socket or on host and port until SIGTERM or SIGINT, and then drain.

    The reactor is installed here and not at import: a process that forks roles must not have one.
    """
    os.environ["FREIGHT_ROLE"] = role
    install_reactor()
    from exports.sandbox import pool
    from freight.asgi import application  # after the reactor
    from monitoring import runtime
    from monitoring.dependencies import deadlines
    from monitoring.health import endpoints
    from realtime.protocol import frames
    from realtime.sse import event_stream

    runtime.start_reporting(role)
    _set_statement_timeout(deadlines.STATEMENT_TIMEOUT_SECONDS)
    deadlines.set_process_timeout()
    endpoint_description = endpoint(unix=unix, host=host, port=port)
    log.info(
        "serving", role=role, endpoint=endpoint_description, pid=os.getpid(), descriptors=raise_descriptor_limit()
    )
    serve_application(
        application,
        endpoint_description,
        drain={
            "seconds": drain_seconds,
            "farewell": lambda retry_ms: frames.drain(retry_ms=retry_ms),
            "on_begin": (endpoints.start_draining, event_stream.close_all),
        },
    )
    pool.close_shared()


def raise_descriptor_limit() -> int:
    """Raise the number of files and sockets that the process may have open to the hard limit; returns it.

    Login shells and systemd give 1,024 by default, which would be the most sockets of a process.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def serve_application(
    application: Any, endpoint_description: str, *, drain: dict[str, Any], stalled_seconds: float = 60.0
) -> None:
    """Serve an ASGI application; the reactor is installed."""
    from freight.server.daphne import DaphneServer  # after the reactor
    from freight.server.drain import Drain
    from freight.server.transport_buffer import StalledConnections

    DaphneServer(
        application=application,
        endpoints=[endpoint_description],
        drain=Drain(**drain),
        stalled_connections=StalledConnections(stalled_seconds),
        ping_interval=20,
        ping_timeout=20,
        websocket_timeout=-1,
        # The application answers more than 16 KiB with an error; more than this is not even read.
        websocket_max_message_size=64 * 1024,
        websocket_max_frame_size=64 * 1024,
        request_buffer_size=65536,
        server_name="freight",
        verbosity=0,
        ready_callable=tune_garbage_collector,
    ).run()


def endpoint(*, unix: str | None = None, host: str | None = None, port: int | None = None) -> str:
    """Return what Twisted listens on, as it wants it written."""
    if unix:
        Path(unix).unlink(missing_ok=True)  # what a killed server left
        return f"unix:{_escaped(unix)}:mode=600:backlog={BACKLOG}:lockfile=0"
    return f"tcp:{port}:interface={_escaped(host or '127.0.0.1')}:backlog={BACKLOG}"


def _escaped(text: str) -> str:
    return text.replace(":", "\\:")


def install_reactor() -> None:
    """Put uvloop under Twisted; before anything that imports the reactor."""
    if "twisted.internet.reactor" in sys.modules:
        return
    import uvloop  # only a server needs it
    from twisted.internet import asyncioreactor  # must come before anything that imports the reactor

    asyncioreactor.install(uvloop.new_event_loop())  # type: ignore[no-untyped-call]


def _set_statement_timeout(seconds: float) -> None:
    """Have the database end what takes longer than so many seconds; before the first connection."""
    from django.conf import settings

    settings.DATABASES["default"]["OPTIONS"]["options"] += f" -c statement_timeout={seconds * 1000:.0f}"


def tune_garbage_collector() -> None:
    """Take what was loaded out of the garbage collector's sight, and let it look less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
