"""Start a server: uvloop under Twisted's reactor, a deep listen backlog, and `daphne.DaphneServer`."""

import gc
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal

import structlog

from monitoring.prometheus import registrations

Role = Literal["api", "ws", "all"]
BACKLOG: Final = 4096
# As nginx' client_max_body_size: a proof of delivery as JSON. Files of imports may be larger.
MAX_BODY_BYTES: Final = 11 * 1024 * 1024
# What a form lays around its file.
_FORM_BYTES: Final = 1024 * 1024
# How long requests in progress may take after SIGTERM.
DRAIN_SECONDS: Final = 10.0
# Allocations between collections of the youngest generation, and how many of those between older ones. With
# Python's 700 the collector traverses all open sockets again and again: a third of the time of a connect.
_GC_THRESHOLDS: Final = (10_000, 10, 10)

log = structlog.get_logger(__name__)


def run(
    role: Role,
    *,
    unix: str | None = None,
    host: str | None = None,
    port: int | None = None,
    drain_seconds: float = DRAIN_SECONDS,
    name: str = "",
) -> None:
    """Serve one role on a unix socket or on host and port until SIGTERM or SIGINT, then drain and return.

    `name` in metrics and reports: by default that of the socket (`api-1` of `api-1.sock`), else the lowest free
    number of the role. The reactor is installed here, not at import: a process that forks roles must not have one.
    """
    os.environ["FREIGHT_ROLE"] = role
    install_reactor()
    from exports.sandbox import pool
    from monitoring import fencing, runtime
    from monitoring.dependencies import deadlines
    from shipments.services.history import regressions

    runtime.start_reporting(role, name or name_of_socket(role, unix))
    # Once the loop runs: a server that nobody has asked yet has a heartbeat, too.
    call_when_running(runtime.measure_loop_lag)
    _set_statement_timeout(deadlines.STATEMENT_TIMEOUT_SECONDS)
    deadlines.set_process_timeout()
    regressions.try_check()
    endpoint_description = endpoint(unix=unix, host=host, port=port)
    if unix:
        fencing.announce_socket(Path(unix).absolute())
    log.info(
        "serving", role=role, endpoint=endpoint_description, pid=os.getpid(), descriptors=raise_descriptor_limit()
    )
    _serve_until_drained(endpoint_description, drain_seconds)
    pool.close_shared()
    runtime.stop_reporting()


def _serve_until_drained(endpoint_description: str, drain_seconds: float) -> None:
    # After the reactor: Channels imports it.
    from channels.routing import get_default_application
    from django.conf import settings

    from monitoring.health import process_state
    from realtime.protocol import frames
    from realtime.sse import event_stream

    serve_application(
        get_default_application(),
        endpoint_description,
        drain={
            "seconds": drain_seconds,
            "make_drain_frame": lambda retry_ms: frames.drain(retry_ms=retry_ms),
            "on_start": (process_state.start_draining, event_stream.close_all),
        },
        max_body_bytes=max(MAX_BODY_BYTES, settings.IMPORT_MAX_BYTES + _FORM_BYTES),
    )


def name_of_socket(role: str, unix: str | None) -> str:
    """Return the name that a unix socket gives its server (`api-1` of `/run/api-1.sock`), else an empty one."""
    stem = Path(unix).stem if unix else ""
    return stem if registrations.is_name_of(role, stem) else ""


def call_when_running(function: Callable[[], object]) -> None:
    """Call a function in the first turn of the event loop. The reactor is installed."""
    reactor: Any = sys.modules["twisted.internet.reactor"]
    reactor.callLater(0, function)


def raise_descriptor_limit() -> int:
    """Raise RLIMIT_NOFILE to its hard limit and return it.

    Login shells and systemd set 1,024 by default, which would limit the sockets of a process.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def serve_application(
    application: Any,
    endpoint_description: str,
    *,
    drain: dict[str, Any],
    stalled_seconds: float = 60.0,
    max_body_bytes: int = MAX_BODY_BYTES,
) -> None:
    """Serve an ASGI application until its drain has ended; `drain` are the arguments of Drain.

    The caller has installed the reactor.
    """
    from freight.server.daphne import DaphneServer  # after the reactor
    from freight.server.drain import Drain
    from freight.server.stalled_connections import StalledConnections

    DaphneServer(
        application=application,
        endpoints=[endpoint_description],
        drain=Drain(**drain),
        max_body_bytes=max_body_bytes,
        stalled_connections=StalledConnections(stalled_seconds),
        ping_interval=20,
        ping_timeout=20,
        websocket_timeout=-1,
        # The application refuses more than 16 KiB with an error frame; beyond this the protocol refuses it unread.
        websocket_max_message_size=64 * 1024,
        request_buffer_size=65536,
        server_name="freight",
        verbosity=0,
        ready_callable=tune_garbage_collector,
    ).run()


def endpoint(*, unix: str | None = None, host: str | None = None, port: int | None = None) -> str:
    """Return the endpoint description for Twisted's `serverFromString`; removes the socket of a killed server."""
    if unix:
        Path(unix).unlink(missing_ok=True)
        return f"unix:{_escaped(unix)}:mode=600:backlog={BACKLOG}:lockfile=0"
    return f"tcp:{port}:interface={_escaped(host or '127.0.0.1')}:backlog={BACKLOG}"


def _escaped(text: str) -> str:
    return text.replace(":", "\\:")


def install_reactor() -> None:
    """Install the asyncio reactor on uvloop, unless there is one. Call it before any import of the reactor."""
    if "twisted.internet.reactor" in sys.modules:
        return
    # Only a server needs them.
    import uvloop
    from twisted.internet import asyncioreactor

    asyncioreactor.install(uvloop.new_event_loop())  # type: ignore[no-untyped-call]  # no hints in Twisted


def _set_statement_timeout(seconds: float) -> None:
    """Set PostgreSQL's statement_timeout for this process. Call it before the first connection."""
    from django.conf import settings

    settings.DATABASES["default"]["OPTIONS"]["options"] += f" -c statement_timeout={seconds * 1000:.0f}"


def tune_garbage_collector() -> None:
    """Move everything loaded so far to the permanent generation, and collect less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
