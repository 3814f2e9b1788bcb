"""Our Daphne: the server of every role.

uvloop under Twisted's reactor, a deep listen backlog, and `hardened.HardenedDaphne`.
"""

import gc
import os
import sys
from pathlib import Path
from typing import Final, Literal

import structlog

from monitoring import runtime

Role = Literal["api", "ws", "all"]
BACKLOG: Final = 4096

log = structlog.get_logger(__name__)


def run(role: Role, *, unix: str | None = None, host: str | None = None, port: int | None = None) -> None:
    """This will serve one role on a unix socket or on host and port until SIGTERM or SIGINT.

    The reactor is installed here and not at import: a process that forks roles must not have one.
    """
    os.environ["FREIGHT_ROLE"] = role
    _install_reactor()
    if unix:
        Path(unix).unlink(missing_ok=True)  # what a killed server left
        endpoint = f"unix:{unix.replace(':', chr(92) + ':')}:mode=600:backlog={BACKLOG}:lockfile=0"
    else:
        endpoint = f"tcp:{port}:interface={(host or '127.0.0.1').replace(':', chr(92) + ':')}:backlog={BACKLOG}"
    # After the reactor: the one loads Daphne, the other the product.
    from freight.asgi import application
    from freight.hardened import HardenedDaphne

    runtime.enter(role)
    server = HardenedDaphne(
        application=application,
        endpoints=[endpoint],
        ping_interval=20,
        ping_timeout=20,
        websocket_timeout=-1,
        websocket_max_message_size=64 * 1024,
        websocket_max_frame_size=64 * 1024,
        request_buffer_size=65536,
        server_name="freight",
        verbosity=0,
        ready_callable=_freeze,
    )
    log.info("serving", role=role, endpoint=endpoint, pid=os.getpid())
    server.run()


def _install_reactor() -> None:
    if "twisted.internet.reactor" in sys.modules:
        return
    import uvloop  # only a server needs it
    from twisted.internet import asyncioreactor  # must come before anything that imports the reactor

    asyncioreactor.install(uvloop.new_event_loop())  # type: ignore[no-untyped-call]


def _freeze() -> None:
    """This will take what was loaded out of the garbage collector's sight."""
    gc.collect()
    gc.freeze()
